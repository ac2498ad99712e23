"""Narrow convolutions before pooling, computed in phases: the same outputs from fewer and wider steps."""

import math

import keras
import numpy as np

from cvhn_tf.architecture import free_name
from cvhn_tf.export.channels.channel_graph import ChannelGraph
from cvhn_tf.export.channels.channel_stages import Elementwise, Normalization, Passing, is_elementwise
from cvhn_tf.export.networks.check_network import check_network
from cvhn_tf.export.networks.rebuild import as_functional, rebuild

# Filters that LiteRT's kernels compute at once: on phones, and on most x86 processors. Fewer take as long.
_LANES = (8, 16)
# Such steps that have to be saved: the operation more takes as long as some 500, a sixth of a microsecond.
_LEAST_SAVING = 1000
_POOLING = (keras.layers.AveragePooling2D, keras.layers.MaxPooling2D)


def polyphase(keras_model: keras.Model) -> keras.Model:
    """A model with the same outputs that is faster where a convolution is too narrow for the processor, and pooled.

    LiteRT computes eight or sixteen filters at a time, so that one with three takes as long. Where p×q pooling follows,
    the p·q positions that it takes together become filters of their own: a convolution with stride (p, q), p·q times
    as many filters, and kernels p − 1 and q − 1 larger, which are zero beside the old one. Then the pooling is along
    these. It does so where that makes fewer steps of eight filters, and of sixteen, by 1,000 at least; with 5×5 kernels
    and 2×2 pooling of images larger than a thumbnail, where there are up to four filters.

    Goes behind `compact` and `finetune`, before `to_tflite`: for speed, since kernels grow. Convolutions within models
    of the model stay as they are.

    Args:
        keras_model: Built functional or Sequential Keras model, channels last. It is not changed.

    Returns:
        Functional Keras model, or `keras_model` itself if there is no such convolution.

    Raises:
        ValueError: If it is no such model.
        TypeError, ValueError: If there is such a convolution and Keras cannot make one of the layers from its config.

    Reference: P. P. Vaidyanathan, "Multirate digital filters, filter banks, polyphase networks, and applications: a
    tutorial", Proceedings of the IEEE, 1990.

    Example:

    ```python
    pruned = export.prune(model, complexity=0.1, sparsity=0.6, scope="layer", structure="unit")
    network = export.finetune(export.compact(pruned), (x_train, y_train))
    artifact = export.to_tflite(export.polyphase(network))
    ```
    """
    check_network("keras_model", keras_model)
    model = as_functional(keras_model)
    if model is None:
        return keras_model
    graph = ChannelGraph(model)
    reshapes = {}
    for node in graph.readers:
        chain = _pooled_chain(graph, node)
        if chain is not None and _is_faster(node.stage, chain[-1]):
            reshapes[id(chain[-1].operation)] = _split_into_phases(chain, model)
    return rebuild(model, graph, reshapes) if reshapes else keras_model


def _pooled_chain(graph, node):
    """The stages from a convolution to the pooling behind it, or None if there is none that allows for phases."""
    layer = node.stage.operation
    if type(layer) is not keras.layers.Conv2D or {*layer.strides, *layer.dilation_rate} != {1}:
        return None
    if not is_elementwise(layer):
        return None
    chain = [node.stage]
    while (node := graph.next_to(node)) is not None:
        chain.append(node.stage)
        if type(node.stage.operation) in _POOLING and isinstance(node.stage, Passing):  # and not one that is shared
            return chain if _divides(*chain[-2:], layer) else None
        if not isinstance(node.stage, Elementwise | Normalization):
            return None
    return None


def _divides(before, pooling, convolution):
    """Whether each pooled value has positions of its own, and padding stays what it is."""
    layer, sizes = pooling.operation, before.output_shape[1:3]
    if layer.data_format != "channels_last" or tuple(layer.strides) != tuple(layer.pool_size) or None in sizes:
        return False
    is_even = all(size % pool == 0 for size, pool in zip(sizes, layer.pool_size, strict=True))
    return is_even or "same" not in (layer.padding, convolution.padding)


def _is_faster(convolution, pooling):
    rows, columns, inputs, filters = convolution.weights[0].shape
    pool = pooling.operation.pool_size
    steps = math.prod(convolution.output_shape[1:3]) * rows * columns * inputs
    steps_in_phases = math.prod(pooling.output_shape[1:3]) * (rows + pool[0] - 1) * (columns + pool[1] - 1) * inputs
    return all(
        steps * math.ceil(filters / lanes) - steps_in_phases * math.ceil(math.prod(pool) * filters / lanes)
        >= _LEAST_SAVING
        for lanes in _LANES
    )


def _split_into_phases(chain, model):
    """Changes the stages of a chain.

    Returns:
        Layer to be called before the pooling: it puts the phases side by side.
    """
    convolution, *between, pooling = chain
    pool = tuple(pooling.operation.pool_size)
    phases = math.prod(pool)
    kernel, *bias = convolution.weights
    rows, columns, inputs, filters = kernel.shape
    larger = np.zeros((rows + pool[0] - 1, columns + pool[1] - 1, inputs, phases, filters), kernel.dtype)
    for phase, (row, column) in enumerate(np.ndindex(pool)):
        larger[row : row + rows, column : column + columns, :, phase] = kernel
    convolution.weights = [larger.reshape(*larger.shape[:3], -1), *(np.tile(values, phases) for values in bias)]
    convolution.config |= {"filters": phases * filters, "kernel_size": larger.shape[:2], "strides": pool}
    for stage in between:
        stage.weights = [np.tile(values, phases) for values in stage.weights]
    pooling.config |= {"pool_size": (1, phases), "strides": (1, phases), "padding": "valid"}
    height, width = pooling.output_shape[1:3]
    name = free_name(model, f"{pooling.operation.name}_phases")
    return keras.layers.Reshape((height, width * phases, filters), name=name)
