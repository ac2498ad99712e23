"""What a structure costs: the parameters of its layers, their multiply-adds, or what a table says."""

import math

import keras

from cvhn_tf.structure.choices import is_choice
from cvhn_tf.structure.usage import Usage
from cvhn_tf.tensors import channels
from cvhn_tf.tensors.linear import is_linear

COSTS = ("multiply_adds", "parameters")
_SEPARABLE = (keras.layers.SeparableConv1D, keras.layers.SeparableConv2D)
_RECURRENT = (keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN)


class Costs:
    """What a structure of a target costs.

    Args:
        usage: `Usage` of the target.
        structure_cost: `"parameters"`, `"multiply_adds"` of one example, or a dict from the name of each layer to what
            a call of it costs, in any unit. Layers of the same name in nested models cost the same.

    Attributes:
        total: Cost of the target with all paths.

    Raises:
        ValueError: If a table lacks a layer, or the multiply-adds of a layer cannot be told.
    """

    def __init__(self, usage, structure_cost) -> None:
        self._of_layers = [0.0] * len(usage.layers)
        self._of_calls = [0.0] * len(usage.calls)
        if structure_cost == "parameters":
            self._of_layers = [float(count_parameters(layer)) for layer in usage.layers]
        elif structure_cost == "multiply_adds":
            self._of_calls = [float(count) for count in _multiply_adds_of_calls(usage)]
        else:
            layers = [layer for layer in usage.layers if isinstance(layer, keras.layers.Layer) and layer.weights]
            missing = [layer.name for layer in layers if layer.name not in structure_cost]
            if missing:
                raise ValueError(
                    "Expected `structure_cost` to have each layer with weights of `target`. "
                    f"Received: a table without {missing[0]!r}"
                )
            self._of_calls = [
                float(structure_cost.get(getattr(usage.layers[call.layer], "name", None), 0.0)) for call in usage.calls
            ]
        self.total = sum(self._of_layers) + sum(self._of_calls)

    def expected(self, of_layers, of_calls):
        """E[cost(z)] by the probabilities that `Usage.probabilities` gives, in the unit of the cost."""
        pairs = [*zip(self._of_layers, of_layers, strict=True), *zip(self._of_calls, of_calls, strict=True)]
        return sum(cost * probability for cost, probability in pairs if cost)


def count_parameters(layer) -> int:
    """Number of the weights of a layer, those of its state included."""
    return sum(math.prod(weight.shape) for weight in getattr(layer, "weights", ()))


def count_multiply_adds(layer, inputs, outputs) -> int:
    """Multiplications, each with an addition, that the weights of a layer take part in for one example.

    Those of normalization, which a converter folds into others, are not counted, nor are lookups.

    Args:
        layer: Built layer, or an operation of Keras.
        inputs: List of the `keras.KerasTensor`s that it is called with.
        outputs: List of those that it gives.

    Raises:
        ValueError: If a size is free, or it is not known how the layer uses its weights.
    """
    weights = getattr(layer, "weights", ())
    matrices = [weight for weight in weights if len(weight.shape) > 1 and not weight.name.startswith("bias")]
    if not matrices or is_choice(layer) or isinstance(layer, keras.layers.Embedding):
        return 0
    if any(None in tensor.shape[1:] for tensor in (*inputs, *outputs)):
        raise _unknown(layer, f"shapes {[tuple(tensor.shape) for tensor in (*inputs, *outputs)]} of free size")
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


def multiply_adds_of(network: keras.Model) -> int | None:
    """Multiply-adds of a network for one example, None if they cannot be told.

    Args:
        network: Built functional or Sequential model.
    """
    usage = Usage(network)
    try:
        return sum(_multiply_adds_of_calls(usage))
    except ValueError:
        return None


def _multiply_adds_of_calls(usage):
    return [count_multiply_adds(usage.layers[call.layer], call.inputs, call.outputs) for call in usage.calls]


def _unknown(layer, received):
    return ValueError(
        f"The multiply-adds of layer '{layer.name}' ({type(layer).__name__}) cannot be counted. Expected a dict of "
        f"costs, or `structure_cost='parameters'`. Received: a layer with {received}"
    )
