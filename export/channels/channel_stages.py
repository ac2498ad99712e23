"""What each kind of layer does with channels, the last axis of its tensors: who makes, passes on and reads them.

A stage holds a layer's config and weights apart from Keras, so that channels can be cut out of them. A channel has an
id, a number; all channels with the same id stay or go together.
"""

import keras
import numpy as np

from cvhn_tf.export.channels.channel_ids import ChannelIds

# Each value of their output depends on the one value of the input at its place.
_ELEMENTWISE_NAMES = (
    "celu elu exponential gelu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu linear log_sigmoid mish relu "
    "relu6 selu sigmoid silu soft_shrink softplus softsign sparse_plus sparse_sigmoid squareplus tanh tanh_shrink"
)
_ELEMENTWISE = {getattr(keras.activations, name) for name in _ELEMENTWISE_NAMES.split()}


class Stage:
    """A layer that cannot be analysed: it needs every channel that it reads, and makes every channel that it writes.

    Args:
        node: Keras's record of its one use.

    Attributes:
        operation: Keras layer, or operation of `keras.ops`.
        output_shape: Shape of its output, batch included.
        config: Config of the layer to be made in its place, or None where it keeps its own.
        weights: List of that layer's weights, NumPy arrays.
    """

    def __init__(self, node):
        self.operation = node.operation
        self.output_shape = node.outputs[0].shape
        self.config = None
        self.weights = []
        if isinstance(self.operation, keras.layers.Layer):
            self.weights = [keras.ops.convert_to_numpy(weight) for weight in self.operation.weights]
            self.config = None if type(self) is Stage else self.operation.get_config()
        self._node = node

    def evaluate(self, inputs):
        """What the operation makes of a list of arrays, one for each input, over its channels; as an array."""
        values = [keras.ops.convert_to_tensor(array[None], self._node.outputs[0].dtype) for array in inputs]
        tensors = dict(zip(map(id, self._node.input_tensors), values, strict=True))
        args, kwargs = self._node.arguments.fill_in(tensors)
        return keras.ops.convert_to_numpy(self.operation(*args, **kwargs))[0]

    @staticmethod
    def accepts(layer, input_shapes, output_shape) -> bool:
        """Whether this class knows what the layer does with channels, for these shapes, batch included."""
        return True

    def link(self, inputs, channels: ChannelIds):
        """Ids of the output's channels, from a list with those of each input's."""
        for ids in inputs:
            channels.pin(ids)
        return channels.new(width(self.output_shape), pinned=True)

    def constants(self, inputs):
        """Values of the output's channels that are the same everywhere for any input, NaN for all others.

        Args:
            inputs: List with the same for each input.
        """
        return np.full(width(self.output_shape), np.nan)

    def makers(self, inputs, output):
        """Which of its weights make channels.

        Args:
            inputs: List with the ids of each input's channels.
            output: Ids of the output's channels.

        Returns:
            Dict from the place of a weight to ids, an array that broadcasts to its shape.
        """
        return {}

    def cut(self, kept_inputs, kept_outputs):
        """Takes channels out of weights and config.

        Args:
            kept_inputs: List with a boolean array over the channels of each input.
            kept_outputs: Boolean array over the channels of the output.
        """


class Passing(Stage):
    """Leaves channels apart, and a constant as it is: pooling, cropping, upsampling, what training alone does."""

    def link(self, inputs, channels):
        return inputs[0]

    def constants(self, inputs):
        return inputs[0]

    @staticmethod
    def accepts(layer, input_shapes, output_shape):
        noise_shape = getattr(layer, "noise_shape", None)
        return (noise_shape is None or noise_shape[-1] in (None, 1)) and len(input_shapes[0]) > 1


class Padding(Passing):
    """Adds zeros at the border, beside which only a zero stays a constant."""

    def constants(self, inputs):
        return np.where(inputs[0] == 0, 0.0, np.nan)


class Elementwise(Passing):
    """An activation, or a scale and an offset for all channels."""

    @staticmethod
    def accepts(layer, input_shapes, output_shape):
        is_known = getattr(layer, "activation", keras.activations.linear) in _ELEMENTWISE
        scales = (getattr(layer, "scale", 1.0), getattr(layer, "offset", 0.0))
        return is_known and all(np.ndim(scale) == 0 for scale in scales) and len(input_shapes[0]) > 1

    def constants(self, inputs):
        return apply_to_known(lambda values: self.evaluate([values]), inputs[0])


class Normalization(Passing):
    """Batch normalization over the last axis."""

    @staticmethod
    def accepts(layer, input_shapes, output_shape):
        return layer.axis in (-1, len(output_shape) - 1) and len(layer.weights) == 2 + layer.scale + layer.center

    def constants(self, inputs):
        weights = [weight.astype("float64") for weight in self.weights]
        gamma = weights.pop(0) if self.config["scale"] else 1.0
        beta = weights.pop(0) if self.config["center"] else 0.0
        mean, variance = weights
        return gamma * (inputs[0] - mean) / np.sqrt(variance + self.config["epsilon"]) + beta

    def shift(self, change):
        """Adds `change`, an array over the channels, to whatever comes in."""
        self.weights[-2] = (self.weights[-2] - change).astype(self.weights[-2].dtype)

    def cut(self, kept_inputs, kept_outputs):
        self.weights = [weight[kept_outputs] for weight in self.weights]


class Flattening(Stage):
    """Flatten and Reshape, where rows of the output are whole rows of channels of the input, one or more."""

    @staticmethod
    def accepts(layer, input_shapes, output_shape):
        (shape,) = input_shapes
        return len(shape) > 1 and None not in (*shape[1:], *output_shape[1:]) and output_shape[-1] % shape[-1] == 0

    def link(self, inputs, channels):
        return np.tile(inputs[0], self.output_shape[-1] // len(inputs[0]))

    def constants(self, inputs):
        return np.tile(inputs[0], self.output_shape[-1] // len(inputs[0]))

    def cut(self, kept_inputs, kept_outputs):
        self.output_shape = (*self.output_shape[:-1], int(kept_outputs.sum()))
        if "target_shape" in self.config:
            self.config["target_shape"] = self.output_shape[1:]


class Merging(Stage):
    """Add and its like tie the channels of their inputs together. One that is spread over all channels is kept."""

    @staticmethod
    def accepts(layer, input_shapes, output_shape):
        ranks = {len(shape) for shape in input_shapes}
        return ranks == {len(output_shape)} and len(output_shape) > 1 and None not in {s[-1] for s in input_shapes}

    def link(self, inputs, channels):
        whole = [ids for ids in inputs if len(ids) == width(self.output_shape)]
        for ids in inputs:
            if len(ids) != width(self.output_shape):
                channels.pin(ids)
        for ids in whole[1:]:
            channels.tie(whole[0], ids)
        return whole[0]

    def constants(self, inputs):
        inputs = np.broadcast_arrays(*inputs)
        if isinstance(self.operation, keras.layers.Multiply | operation_class(keras.ops.multiply, 2)):
            return np.where(np.any(np.equal(inputs, 0), axis=0), 0.0, np.prod(inputs, axis=0))
        return np.where(np.isfinite(inputs).all(axis=0), self.evaluate(inputs), np.nan)


class Joining(Stage):
    """Concatenate along the channels."""

    @staticmethod
    def accepts(layer, input_shapes, output_shape):
        return layer.axis in (-1, len(output_shape) - 1) and None not in {shape[-1] for shape in input_shapes}

    def link(self, inputs, channels):
        return np.concatenate(inputs)

    def constants(self, inputs):
        return np.concatenate(inputs)


def operation_class(function, tensors):
    """The class behind a function of `keras.ops` of so many tensors, which has no public name."""
    return type(function(*[keras.KerasTensor((1,))] * tensors)._keras_history.operation)


def width(shape) -> int:
    """Number of channels of a tensor; 0 where it has none or they are not known."""
    return (shape[-1] or 0) if len(shape) > 1 else 0


def is_elementwise(layer) -> bool:
    """Whether the activation that a layer with weights ends in leaves channels apart."""
    return layer.activation in _ELEMENTWISE


def activate(layer, values):
    """What an elementwise activation of a layer makes of an array over its channels; NaN stays."""
    return apply_to_known(lambda known: keras.ops.convert_to_numpy(layer.activation(known.astype("float32"))), values)


def apply_to_known(function, values):
    """An elementwise function of those values that are known; NaN for others, and where it gives no number."""
    known = np.isfinite(values)
    result = np.full(len(values), np.nan)
    if known.any():
        outputs = function(values[known])
        result[known] = np.where(np.isfinite(outputs), outputs, np.nan)
    return result
