"""Which axes are channels: of a layer's inputs and outputs, and of its weights.

A group prior gives the weights of one unit one scale, and Flipout flips the signs of whole channels. Both have to
know along which axes the units lie, and these differ from layer class to layer class.
"""

import dataclasses

import keras

_CONVOLUTIONS = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
)
# Layers whose pre-activation is linear in all of their weights together.
LINEAR_LAYERS = (keras.layers.Dense, keras.layers.EinsumDense, *_CONVOLUTIONS)
TRANSPOSED_LAYERS = (keras.layers.Conv1DTranspose, keras.layers.Conv2DTranspose, keras.layers.Conv3DTranspose)
_DEPTHWISE = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)


@dataclasses.dataclass(frozen=True)
class ChannelAxes:
    """Axes along which channels lie.

    Args:
        input: Axes of the channels that are read, of a layer's input or of a weight.
        output: Axes of the channels that are written, of a layer's output or of a weight.
    """

    input: tuple[int, ...]
    output: tuple[int, ...]


LAST = ChannelAxes((-1,), (-1,))


def of_tensors(layer) -> ChannelAxes:
    """Axes of the input and of the output of a layer that is linear in its weights."""
    if isinstance(layer, keras.layers.EinsumDense):
        inputs, kernel, outputs = _einsum_terms(layer)
        return ChannelAxes(_axes(inputs, _labels(kernel)), _axes(outputs, _labels(kernel)))
    if isinstance(layer, _CONVOLUTIONS) and layer.data_format == "channels_first":
        return ChannelAxes((1,), (1,))
    return LAST


def of_weight(layer, weight) -> ChannelAxes:
    """Axes of a layer's weight.

    In vectors and biases each value stands alone: all of their axes are channels, of the input and of the output.
    The input channels of a grouped convolution count within their group. Weights of layers that are not linear in
    them, such as LSTM's, are taken for matrices (…, input, output).

    Args:
        layer: `keras.layers.Layer`.
        weight: One of its variables.
    """
    rank = len(weight.shape)
    if rank < 2 or weight.name.startswith("bias"):
        return _each_value_alone(rank)
    if isinstance(layer, keras.layers.EinsumDense):
        inputs, kernel, outputs = _einsum_terms(layer)
        return ChannelAxes(_axes(kernel, _labels(inputs)), _axes(kernel, _labels(outputs)))
    if isinstance(layer, _DEPTHWISE) or weight.name == "depthwise_kernel":
        return ChannelAxes((-2,), (-2, -1))
    return ChannelAxes((-1,), (-2,)) if isinstance(layer, TRANSPOSED_LAYERS) else of_matrix(rank)


def of_matrix(rank) -> ChannelAxes:
    """Axes of a weight (…, input, output); of a vector each value stands alone."""
    return _each_value_alone(rank) if rank < 2 else ChannelAxes((-2,), (-1,))


def _each_value_alone(rank):
    return ChannelAxes(tuple(range(rank)), tuple(range(rank)))


def _einsum_terms(layer):
    """Input, kernel and output of an equation such as `"...b,bc->...c"`."""
    operands, outputs = layer.equation.replace(" ", "").split("->")
    inputs, kernel = operands.split(",")
    return inputs, kernel, outputs


def _labels(term):
    return set(term.replace("...", ""))


def _axes(term, labels):
    """Axes of a term that carry one of the labels; those behind an ellipsis count from the end."""
    before, _, behind = term.partition("...")
    axes = [i for i, label in enumerate(before) if label in labels]
    axes += [i - len(behind) for i, label in enumerate(behind) if label in labels]
    return tuple(axes)
