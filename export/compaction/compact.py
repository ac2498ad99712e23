"""Removing dead units, so that zeros become smaller dense layers: the file shrinks and the network runs faster."""

import keras
import numpy as np

from cvhn_tf.architecture import free_name
from cvhn_tf.checks.arguments import check_positive
from cvhn_tf.export.channels.attention_stages import Attention
from cvhn_tf.export.channels.channel_graph import ChannelGraph
from cvhn_tf.export.channels.channel_stages import Flattening, Passing
from cvhn_tf.export.networks.check_network import check_network
from cvhn_tf.export.networks.rebuild import as_functional, rebuild
from cvhn_tf.export.networks.select_features import SelectFeatures

# Selecting features costs time, an operation and an index each in the file: worth it only if many weights go.
_LEAST_UNUSED_SHARE = 0.25
_OPERATION_BYTES = 320
_INDEX_BYTES = 4


def compact(keras_model: keras.Model, weight_bits: float = 32) -> keras.Model:
    """A smaller model with the same outputs, without the channels that are dead.

    A channel (a unit of a Dense layer, a filter of a convolution, and what normalization, pooling, activations and
    depthwise convolutions make of it) is dead if nothing reads it, since all its outgoing weights are zero, or if it
    is constant, since all its incoming weights are: then its part goes into the bias behind it, or into the batch
    normalization there. Channels that are added or multiplied are tied: they go together or not at all. Removing some
    may kill others, so this repeats until none dies. Input features that the first Dense layer does not read are
    selected away where their weights, stored whole, take more than the indices of the others and the operation. Models
    within the model are made smaller each by itself. A head of `keras.layers.MultiHeadAttention` is dead if its values
    are constant, since their weights are zero, or its rows of the output's projection are zero.

    Around layers that are not known to leave channels apart (shared ones, normalization of other kinds, attention,
    recurrent layers, transposed convolutions, your own), and where a constant that is not zero meets zero padding,
    channels are kept.

    Args:
        keras_model: Built functional or Sequential Keras model, channels last. It is not changed.
        weight_bits: Bits of a weight in the file that is to come, positive. The fewer, the more weights input features
            must have to be worth selecting away.

    Returns:
        Functional Keras model, or `keras_model` itself if nothing can be removed.

    Raises:
        ValueError: If it is no such model, or `weight_bits` is not positive.
        TypeError, ValueError: If something can be removed and Keras cannot make one of the layers from its config.
    """
    check_network("keras_model", keras_model)
    check_positive("weight_bits", weight_bits)
    model = as_functional(keras_model)
    if model is None:
        return keras_model
    graph = ChannelGraph(model)
    changed = _remove_dead_heads(graph)
    changed |= _remove_dead_channels(graph)
    selected = _select_features(model, graph, weight_bits)
    nested = {}
    for node in graph.nodes:
        layer = node.stage.operation
        if as_functional(layer) is not None and id(layer) not in nested:
            nested[id(layer)] = compact(layer, weight_bits)
            changed |= nested[id(layer)] is not layer
    return rebuild(model, graph, selected, nested) if changed or selected else keras_model


def _remove_dead_heads(graph):
    """Removes heads of attention, but for one of each layer. Returns whether there were any."""
    any_removed = False
    for node in graph.nodes:
        if isinstance(node.stage, Attention):
            dead = node.stage.dead_heads()
            dead[0] &= not dead.all()
            if dead.any():
                node.stage.cut_heads(dead)
                any_removed = True
    return any_removed


def _remove_dead_channels(graph):
    """Removes until nothing more dies. Returns whether anything did."""
    any_removed = False
    while True:
        removed, changed = _remove_once(graph)
        any_removed |= removed
        if not changed:
            return any_removed


def _remove_once(graph):
    """Removes what is dead now. Returns whether anything was, and whether more may have died of it."""
    constants = graph.constants()
    needed = graph.pinned.copy()
    for node in graph.readers:
        (given,) = node.inputs
        needed[graph.ids[given][node.stage.reads() & ~node.stage.can_fold(constants[given])]] = True
    spared = np.zeros_like(needed)
    for ids in graph.ids:  # a layer keeps one unit, which need read nothing since nothing reads it
        if len(ids) and not (needed | spared)[ids].any():
            spared[ids[0]] = True
    dead = ~(needed | spared)
    changed = removed = any(dead[ids].any() for ids in graph.ids)
    for node in graph.readers:
        (given,), (made,) = node.inputs, node.outputs
        unneeded = ~needed[graph.ids[given]]
        if unneeded.any():
            lacking = node.stage.fold(constants[given], unneeded & node.stage.reads())
            if lacking.any():
                graph.add_to_output(node, lacking)
        blind = spared[graph.ids[made]]
        changed |= bool(blind.any()) and node.stage.blind(blind)
    if removed:
        graph.cut(dead)
    return removed, changed


def _select_features(model, graph, weight_bits):
    """Takes out what Dense layers do not read of the model's inputs.

    Returns:
        Dict from the id of such a layer to the `SelectFeatures` that is to be called before it.
    """
    makers = {node.outputs[0]: node for node in graph.nodes}
    selected = {}
    for node in graph.readers:
        (given,) = node.inputs
        while given in makers and isinstance(makers[given].stage, Passing | Flattening):
            (given,) = makers[given].inputs
        layer = node.stage.operation
        if given not in graph.sources or not isinstance(layer, keras.layers.Dense):
            continue
        used = node.stage.reads()
        used[0] |= not used.any()
        saved = np.sum(~used) * node.stage.kernel.shape[-1] * weight_bits / 8
        pays = np.mean(~used) >= _LEAST_UNUSED_SHARE and saved > _OPERATION_BYTES + _INDEX_BYTES * np.sum(used)
        if len(node.stage.output_shape) == 2 and pays:
            node.stage.keep_inputs(used)
            selected[id(layer)] = SelectFeatures(np.flatnonzero(used), name=free_name(model, f"{layer.name}_inputs"))
    return selected
