"""Units, tied where the network ties them: which weights make a channel, in all layers that do, and what reads it."""

import keras
import numpy as np

from cvhn_tf.export.channels.channel_graph import ChannelGraph
from cvhn_tf.export.networks.rebuild import as_functional
from cvhn_tf.export.pruning.kernel_places import output_layers, owners
from cvhn_tf.tensors import channels
from cvhn_tf.tensors.paths import paths_by_id

# Of these the channels that a kernel writes are units; in LSTM's, say, they are gates.
_LAYERS_OF_UNITS = (*channels.LINEAR_LAYERS, keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)


def unit_groups(network, paths):
    """Numbers the units of a network's layers, but for those of its output layers.

    A unit is what `compact` can take out: a channel, with its weights in all kernels that make it, or a head of
    attention. Sums, products and depthwise convolutions tie the units of several layers. Where `compact` keeps channels
    whatever their weights are, or one of the kernels takes no part, each kernel's part of a channel is a unit.

    Args:
        network: Functional or Sequential Keras model.
        paths: Paths of the kernels to take part.

    Returns:
        Dict from the path of a kernel to an array of its shape: the number of the unit of each weight. Equal numbers in
        several kernels are one unit.
    """
    path_of = paths_by_id(network)
    groups = units_of_kernels(network, paths)
    count = 1 + max((numbers.max() for numbers in groups.values()), default=-1)
    for graph in graphs_of(network):
        free = ~graph.pinned
        makers = [(path_of[id(node.stage.operation.weights[i])], ids) for node, i, ids in graph.makers]
        for path, ids in makers:
            if path not in groups:
                free[ids] = False
        for path, ids in makers:
            if path in groups:
                groups[path] = np.where(free[ids], count + ids, groups[path])
        count += len(free)
    return groups


def units_of_kernels(network, paths):
    """As `unit_groups`, as if no layer tied units: no number is in two kernels."""
    kept = {id(layer) for layer in output_layers(network)}
    owner_of = owners(network)
    groups, count = {}, 0
    for path in paths:
        layer, weight = owner_of[path]
        if isinstance(layer, _LAYERS_OF_UNITS) and id(layer) not in kept:
            groups[path] = count + _number_along(weight.shape, channels.of_weight(layer, weight).output)
            count = 1 + groups[path].max()
    return groups


def stop_reading(network, masks, paths):
    """Sets to zero what still reads units that were dropped, where `compact` could not take them out otherwise.

    A unit without weights is a constant, which `compact` moves into the biases behind it. It cannot where zero padding
    makes another value of it at the border. There the readers stop reading it: they get the constant, which is right
    but for the border, in their bias or the batch normalization behind them, where there is one. They do so even if the
    constant is zero, which it may not be any more with the next statistics or after fine-tuning.

    Args:
        network: Functional or Sequential Keras model, already pruned; it is changed.
        masks: Dict from the path of a kernel to a boolean array, False for what was dropped.
        paths: Paths of the kernels that may lose weights.
    """
    path_of = paths_by_id(network)
    for graph in graphs_of(network):
        made, kept = np.zeros_like(graph.pinned), graph.pinned.copy()
        for node, i, ids in graph.makers:
            mask = masks.get(path_of[id(node.stage.operation.weights[i])])
            made[ids] = True
            kept[ids if mask is None else ids[mask]] = True
        dropped = made & ~kept
        if not dropped.any():
            continue
        constants, others = graph.constants(), graph.constants(not_zero=dropped)
        for node in graph.readers:
            (given,) = node.inputs
            stuck = dropped[graph.ids[given]] & node.stage.reads() & ~node.stage.can_fold(others[given])
            if stuck.any() and path_of[id(node.stage.operation.weights[0])] in paths:
                values = constants[given]
                lacking = node.stage.fold(np.where(np.isfinite(values), values, 0), stuck)
                for stage in (node.stage, graph.add_to_output(node, lacking, with_new_bias=False)):
                    if stage is not None:
                        stage.operation.set_weights(stage.weights)


def graphs_of(network, seen=None):
    """The graphs of a network and of the models within it."""
    seen = set() if seen is None else seen
    seen.add(id(network))
    model = as_functional(network)
    if model is None:
        return
    graph = ChannelGraph(model)
    yield graph
    for node in graph.nodes:
        if id(node.stage.operation) not in seen:
            yield from graphs_of(node.stage.operation, seen)


def _number_along(shape, axes):
    """Array of a shape that numbers the places along some of its axes."""
    axes = sorted(axis % len(shape) for axis in axes)
    sizes = [shape[axis] for axis in axes]
    numbers = np.arange(np.prod(sizes)).reshape([size if i in axes else 1 for i, size in enumerate(shape)])
    return np.broadcast_to(numbers, shape)
