"""How many multiplications, each with an addition, the call of a layer takes."""

import math

import keras
from keras import layers

from cvhn_tf.structure.choices import is_choice
from cvhn_tf.tensors import channels
from cvhn_tf.tensors.linear import is_linear

_SEPARABLE = (layers.SeparableConv1D, layers.SeparableConv2D)
_RECURRENT = (layers.LSTM, layers.GRU, layers.SimpleRNN)
_MULTI_HEAD = (layers.MultiHeadAttention, layers.GroupQueryAttention)


def count_multiply_adds(layer, inputs, outputs) -> int:
    """Multiplications, each with an addition, for one example: those that the weights of a layer take part in.

    In attention those of queries with keys, and of what comes of it with values, are counted too. Those of
    normalization, which a converter folds into others, are not counted, nor are lookups.

    Args:
        layer: Built layer, or an operation of Keras.
        inputs: List of the `keras.KerasTensor`s that it is called with.
        outputs: List of those that it gives.

    Raises:
        ValueError: If a size is free, or it is not known how the layer uses its weights.
    """
    weights = getattr(layer, "weights", ())
    matrices = [weight for weight in weights if len(weight.shape) > 1 and not weight.name.startswith("bias")]
    is_attention = type(layer) is layers.Attention
    if is_choice(layer) or isinstance(layer, layers.Embedding) or not (matrices or is_attention):
        return 0
    if any(None in tensor.shape[1:] for tensor in (*inputs, *outputs)):
        raise _unknown(layer, f"shapes {[tuple(tensor.shape) for tensor in (*inputs, *outputs)]} of free size")
    if isinstance(layer, layers.TimeDistributed):
        return inputs[0].shape[1] * count_multiply_adds(layer.layer, _of_one_step(inputs), _of_one_step(outputs))
    if isinstance(layer, layers.Bidirectional):
        ways = (layer.forward_layer, layer.backward_layer)
        return sum(count_multiply_adds(way, inputs, outputs) for way in ways)
    if is_attention:
        queries, values = inputs[0].shape, inputs[1].shape
        return math.prod(queries[1:-1]) * values[-2] * (queries[-1] + values[-1])
    if type(layer) in _MULTI_HEAD:
        return _of_heads(layer, inputs[0].shape, inputs[1].shape)
    written = math.prod(outputs[0].shape[1:])
    if isinstance(layer, _RECURRENT):  # each step multiplies by all of them
        return inputs[0].shape[1] * sum(math.prod(weight.shape) for weight in matrices)
    if isinstance(layer, _SEPARABLE):
        return written // layer.filters * sum(math.prod(weight.shape) for weight in matrices)
    if not is_linear(layer):
        raise _unknown(layer, "weights that it is not known to multiply")
    (kernel,) = matrices
    axes = channels.of_weight(layer, kernel)
    transposed = isinstance(layer, channels.TRANSPOSED_LAYERS)
    own = {axis % len(kernel.shape) for axis in (axes.input if transposed else axes.output)}
    each = math.prod(size for axis, size in enumerate(kernel.shape) if axis not in own)
    return each * (math.prod(inputs[0].shape[1:]) if transposed else written)


def _of_heads(layer, queries, values):
    """Projections at all positions, and for each head the products of queries, keys and values.

    Keys stand at the positions of values, whether they are given or not.
    """
    kernels = [layer._query_dense, layer._key_dense, layer._value_dense, layer._output_dense]
    of_queries, of_keys, of_values, of_outputs = (math.prod(dense.kernel.shape) for dense in kernels)
    axes = getattr(layer, "attention_axes", None) or range(1, len(values) - 1)
    attended = math.prod(values[axis] for axis in axes)
    heads, of_head = layer._query_dense.kernel.shape[1:]
    products = math.prod(queries[1:-1]) * attended * heads * (of_head + layer._value_dense.kernel.shape[-1])
    return (
        math.prod(queries[1:-1]) * (of_queries + of_outputs)
        + math.prod(values[1:-1]) * (of_keys + of_values)
        + products
    )


def _of_one_step(tensors):
    return [keras.KerasTensor((tensor.shape[0], *tensor.shape[2:]), tensor.dtype) for tensor in tensors]


def _unknown(layer, received):
    return ValueError(
        f"The multiply-adds of layer '{layer.name}' ({type(layer).__name__}) cannot be counted. Expected a dict of "
        f"costs, or `structure_cost='parameters'`. Received: a layer with {received}"
    )
