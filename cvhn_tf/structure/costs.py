"""What a structure costs: the parameters of its layers, their multiply-adds, or what a table says."""

import math

import keras

from cvhn_tf.structure.multiply_adds import count_multiply_adds
from cvhn_tf.structure.usage import Usage

COSTS = ("multiply_adds", "parameters")


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
