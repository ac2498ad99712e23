"""Weights that are pruned together, or alone: units, blocks that LiteRT has sparse kernels for, 1×1 convolutions."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

from cvhn_tf.export.networks.rebuild import as_functional
from cvhn_tf.tensors import channels
from cvhn_tf.tensors.paths import paths_by_id

# Of these the channels that a kernel writes are units; in LSTM's, say, they are gates.
_LAYERS_OF_UNITS = (*channels.LINEAR_LAYERS, keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)
_BLOCK = 4


def unit_groups(network, paths):
    """Numbers the units of a network's layers, but for those of its output layers.

    Args:
        network: Functional or Sequential Keras model.
        paths: Paths of the kernels to take part.

    Returns:
        Dict from the path of a kernel to an array of its shape: the number of the unit of each weight, from 0 on.
    """
    kept = {id(layer) for layer in _output_layers(network)}
    owner_of = owners(network)
    groups = {}
    for path in paths:
        layer, weight = owner_of[path]
        if isinstance(layer, _LAYERS_OF_UNITS) and id(layer) not in kept:
            groups[path] = _number_along(weight.shape, channels.of_weight(layer, weight).output)
    return groups


def block_groups(network, paths):
    """Numbers the 1×4 blocks of Dense kernels: weights of one unit, of four inputs in a row.

    These are the blocks of LiteRT's sparse kernels, which there are for fully connected layers only. Where the number
    of inputs is no multiple of four, the last blocks of the units are smaller. Elsewhere each weight is a group by
    itself.

    Args:
        network: Functional or Sequential Keras model.
        paths: Paths of the kernels to take part.

    Returns:
        Dict from the path of a kernel to an array of its shape: the number of the group of each weight, from 0 on.
    """
    owner_of = owners(network)
    groups = {}
    for path in paths:
        layer, weight = owner_of[path]
        groups[path] = np.arange(np.prod(weight.shape)).reshape(weight.shape)
        if isinstance(layer, keras.layers.Dense):
            inputs, units = weight.shape
            groups[path] = np.arange(inputs)[:, None] // _BLOCK * units + np.arange(units)
    return groups


def pointwise_kernels(network, paths):
    """The kernels of 1×1 convolutions, but for those behind the last mean of maps.

    Of these XNNPACK leaves out zeros, where more than two thirds are; see `fast_sparse`. Those behind the last mean
    become Dense layers there.

    Args:
        network: Functional or Sequential Keras model.
        paths: Paths of the kernels to take part.

    Returns:
        List of paths.

    Raises:
        ValueError: If there is no such convolution.
    """
    on_maps = {id(layer) for layer in _layers_on_maps(as_functional(network))}
    owner_of = owners(network)
    found = []
    for path in paths:
        layer, _ = owner_of[path]
        if type(layer) is keras.layers.Conv2D and set(layer.kernel_size) == {1} and id(layer) in on_maps:
            found.append(path)
    if not found:
        raise ValueError(
            "Expected a network with 1×1 convolutions for structure='pointwise'. "
            f"Received: model '{network.name}', which has none"
        )
    return found


@dataclasses.dataclass(frozen=True)
class Structure:
    """What is pruned as one.

    Args:
        number_groups: `number_groups(network, paths)` gives a dict from the path of a kernel to an array of its shape,
            the number of each weight's group, from 0 on; kernels that it lacks are kept whole. None for single weights.
        spares_best: Whether the group of highest SNR of each kernel stays in any case.
        broken_by_compact: Whether `compact` may tear apart the groups that are left, so that a file is made without it
            too.
        choose_kernels: `choose_kernels(network, paths)` gives those of the paths whose kernels take part: a sparsity is
            a share of their weights, and all others are kept whole. None for all.
    """

    number_groups: Callable | None
    spares_best: bool = False
    broken_by_compact: bool = False
    choose_kernels: Callable | None = None


# By the names that `prune(structure=…)` takes; a row is all that another one needs.
STRUCTURES = {
    "weight": Structure(None),
    "unit": Structure(unit_groups, spares_best=True),
    # Removed inputs move the others across the borders of blocks.
    "block": Structure(block_groups, broken_by_compact=True),
    "pointwise": Structure(None, choose_kernels=pointwise_kernels),
}


def masks_of_highest_groups(snr, groups, sparsity=None, threshold=None, spare_best=False):
    """Marks the weights to keep: whole groups are dropped, those of lowest SNR first.

    Args:
        snr: Dict from path to array of SNRs.
        groups: Dict from path to array of the number of each weight's group, from 0 on; paths that it lacks are kept.
        sparsity: Largest share of all weights in `snr` to drop, in [0, 1).
        threshold: Instead of `sparsity`: SNR below which groups are dropped.
        spare_best: Whether the group of highest SNR of each path is kept in any case.

    Returns:
        Dict from path to boolean array, True for kept weights.
    """
    values = {path: group_snr(snr[path], groups[path]) for path in groups}
    sizes = np.concatenate([[0], *(np.bincount(groups[path].ravel()) for path in groups)])[1:]
    ends = np.cumsum([0, *(len(part) for part in values.values())])
    ranks = np.concatenate([[], *values.values()])
    if spare_best:
        best = [end + np.argmax(part) for end, part in zip(ends, values.values(), strict=False)]
        ranks[np.array(best, int)] = np.inf
    if threshold is None:
        budget = sparsity * sum(part.size for part in snr.values()) + 1e-6
        order = np.argsort(ranks, kind="stable")
        dropped = np.zeros(len(ranks), bool)
        dropped[order[np.cumsum(sizes[order]) <= budget]] = True
    else:
        dropped = ranks < threshold
    dropped &= ranks < np.inf
    return {path: ~dropped[end + groups[path]] for end, path in zip(ends, groups, strict=False)}


def owners(network):
    """Dict from the path of each weight to the layer that has it, and the weight."""
    path_of = paths_by_id(network)
    found = {}
    for layer in network._flatten_layers():  # a layer comes behind the model or wrapper that it is in
        found.update((path_of[id(weight)], (layer, weight)) for weight in layer.weights)
    return found


def group_snr(snr, groups):
    """SNR of each group: the root of the mean of SNR² over its weights, in the order of their numbers.

    Where the posterior's precision 1/σ² follows the curvature of the loss, ½ SNR² is what it costs to set one weight
    to zero; so the mean of SNR² is the cost of a group for each weight that it saves. ‖mean‖/‖stddev‖ would not do:
    one weight that could take any value hides all those beside it that are certain.
    """
    sums = np.bincount(groups.ravel(), np.square(snr, dtype="float64").ravel())
    return np.sqrt(sums / np.bincount(groups.ravel()))


def _number_along(shape, axes):
    """Array of a shape that numbers the places along some of its axes."""
    axes = sorted(axis % len(shape) for axis in axes)
    sizes = [shape[axis] for axis in axes]
    numbers = np.arange(np.prod(sizes)).reshape([size if i in axes else 1 for i, size in enumerate(shape)])
    return np.broadcast_to(numbers, shape)


def _output_layers(network):
    """The layers with kernels whose units, with none of these between, are the outputs of a network."""
    return _layers_behind(as_functional(network))[0]


def _layers_on_maps(model, leads_to_maps=False):
    """The layers of a functional model behind which, or by which, a map of more than one position is made."""
    found, read = [], {id(tensor) for tensor in model.outputs} if leads_to_maps else set()
    for depth in sorted(model._nodes_by_depth):  # from the outputs on
        for node in model._nodes_by_depth[depth]:
            leads = any(_is_map(tensor.shape) or id(tensor) in read for tensor in node.outputs)
            nested = as_functional(node.operation)
            if nested is not None:
                found += _layers_on_maps(nested, leads)
                leads |= any(_is_map(tensor.shape) for tensor in nested.inputs)
            if leads:
                found.append(node.operation)
                read.update(id(tensor) for tensor in node.input_tensors)
    return found


def _is_map(shape):
    return len(shape) == 4 and shape[1:3] != (1, 1)


def _layers_behind(model):
    """The last layers with kernels before the outputs of a functional model, and whether an input comes by them."""
    makers = {id(tensor): node for nodes in model._nodes_by_depth.values() for node in nodes for tensor in node.outputs}
    found, tensors, is_open = [], list(model.outputs), False
    while tensors:
        node = makers.pop(id(tensors.pop()), None)
        if node is None:
            continue
        if node.is_input:
            is_open = True
            continue
        nested = as_functional(node.operation)
        if nested is not None:
            layers, goes_through = _layers_behind(nested)
            found += layers
            if not goes_through:
                continue
        elif any(len(weight.shape) > 1 for weight in getattr(node.operation, "weights", ())):
            found += node.operation._flatten_layers()
            continue
        tensors += node.input_tensors
    return found, is_open
