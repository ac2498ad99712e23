"""Weights that are pruned together, or alone: units, blocks that LiteRT has sparse kernels for, 1×1 convolutions."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

from cvhn_tf.export.networks.rebuild import as_functional
from cvhn_tf.export.pruning.kernel_places import layers_on_maps, owners
from cvhn_tf.export.pruning.units import unit_groups

_BLOCK = 4


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
    on_maps = {id(layer) for layer in layers_on_maps(as_functional(network))}
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
        ties_kernels: Whether equal numbers in several kernels are one group: a channel that is to vanish from all
            layers. Else each kernel has groups of its own.
        spares_best: Whether the group of highest SNR of each kernel stays in any case.
        broken_by_compact: Whether `compact` may tear apart the groups that are left, so that a file is made without it
            too.
        choose_kernels: `choose_kernels(network, paths)` gives those of the paths whose kernels take part: a sparsity is
            a share of their weights, and all others are kept whole. None for all.
    """

    number_groups: Callable | None
    ties_kernels: bool = False
    spares_best: bool = False
    broken_by_compact: bool = False
    choose_kernels: Callable | None = None


# By the names that `prune(structure=…)` takes; a row is all that another one needs.
STRUCTURES = {
    "weight": Structure(None),
    "unit": Structure(unit_groups, ties_kernels=True, spares_best=True),
    # Removed inputs move the others across the borders of blocks.
    "block": Structure(block_groups, broken_by_compact=True),
    "pointwise": Structure(None, choose_kernels=pointwise_kernels),
}


def masks_of_highest_groups(snr, groups, sparsity=None, threshold=None, spare_best=False):
    """Marks the weights to keep: whole groups are dropped, those of lowest SNR first.

    Args:
        snr: Dict from path to array of SNRs.
        groups: Dict from path to array of the number of each weight's group, equal numbers in several paths being one
            group; paths that it lacks are kept.
        sparsity: Largest share of all weights in `snr` to drop, in [0, 1).
        threshold: Instead of `sparsity`: SNR below which groups are dropped.
        spare_best: Whether the group of highest SNR of each path is kept in any case.

    Returns:
        Dict from path to boolean array, True for kept weights.
    """
    flat = _flat(groups.values())
    sizes = np.bincount(flat)
    values = group_snr(_flat(snr[path] for path in groups), flat)
    ranks = np.where(sizes > 0, values, np.inf)
    if spare_best:
        for present in map(_present, groups.values()):
            ranks[present[np.argmax(values[present])]] = np.inf
    if threshold is None:
        budget = sparsity * sum(part.size for part in snr.values()) + 1e-6
        order = np.argsort(ranks, kind="stable")
        dropped = np.zeros(len(ranks), bool)
        dropped[order[np.cumsum(sizes[order]) <= budget]] = True
    else:
        dropped = ranks < threshold
    dropped &= ranks < np.inf
    return {path: ~dropped[numbers] for path, numbers in groups.items()}


def group_snr(snr, groups):
    """SNR of each group: the root of the mean of SNR² over its weights, in the order of their numbers.

    Where the posterior's precision 1/σ² follows the curvature of the loss, ½ SNR² is what it costs to set one weight
    to zero; so the mean of SNR² is the cost of a group for each weight that it saves. ‖mean‖/‖stddev‖ would not do:
    one weight that could take any value hides all those beside it that are certain. Numbers that no weight has get 0.
    """
    sums = np.bincount(groups.ravel(), np.square(snr, dtype="float64").ravel())
    return np.sqrt(sums / np.maximum(np.bincount(groups.ravel()), 1))


def set_apart(groups):
    """The groups of kernels that are numbered each from 0 on, numbered through."""
    numbered, first = {}, 0
    for path, numbers in groups.items():
        numbered[path] = first + numbers
        first += 1 + int(numbers.max())
    return numbered


def tied_paths(paths, groups):
    """The paths in lists, together where they have weights of one group: as they are to be ranked with one another."""
    lists = []
    for path in paths:
        found, numbers = [], set(_present(groups[path]).tolist()) if path in groups else set()
        for pair in [pair for pair in lists if pair[1] & numbers]:
            lists.remove(pair)
            found += pair[0]
            numbers |= pair[1]
        lists.append(([*found, path], numbers))
    return [found for found, _ in lists]


def _present(numbers):
    """The numbers that an array has, ascending."""
    first = numbers.min()
    return first + np.flatnonzero(np.bincount(numbers.ravel() - first))


def _flat(arrays):
    return np.concatenate([np.zeros(0, int), *(array.ravel() for array in arrays)])
