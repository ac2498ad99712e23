"""Whether a network does anything on some inputs: on a network that is silent there, a check says nothing."""

import keras
import numpy as np

from cvhn_tf.export.networks.rebuild import as_functional
from cvhn_tf.export.verification.inputs import outputs_of

# Share of the outputs' root mean square: what varies by less is taken for constant.
_CONSTANT = 1e-3
_MOSTLY = 0.5


class Variation:
    """How much outputs vary from example to example, summed up batch by batch."""

    def __init__(self):
        self._examples = 0
        self._shape = None

    def add(self, outputs: np.ndarray) -> None:
        """Takes the outputs of a batch into account, the examples along the first axis."""
        outputs = np.atleast_1d(outputs.astype("float64"))
        if self._examples == 0:
            self._shape, self._sums, self._squares = outputs.shape[1:], 0.0, 0.0
        elif outputs.shape[1:] != self._shape:  # such as a product of the batch with itself
            self._shape = None
        self._examples += len(outputs)
        if self._shape is not None:
            self._sums = self._sums + outputs.sum(axis=0)
            self._squares = self._squares + np.square(outputs).sum(axis=0)

    @property
    def is_constant(self) -> bool:
        """Whether all examples gave the same, but for a thousandth of the outputs' root mean square."""
        if self._shape is None:
            return False
        means, squares = self._sums / self._examples, self._squares / self._examples
        variance = np.mean(np.maximum(squares - np.square(means), 0.0))
        return bool(np.sqrt(variance) <= _CONSTANT * np.sqrt(np.mean(squares)))


def is_mostly_dead(keras_model: keras.Model, inputs: list[np.ndarray]) -> bool:
    """Whether most units with ReLU give zero for all of these inputs.

    Args:
        keras_model: Built functional or Sequential Keras model. Models within it are not looked into.
        inputs: List of arrays in the order of the model's inputs.
    """
    model = as_functional(keras_model)
    if model is None:
        return False
    activations = [
        tensor
        for node in (node for nodes in model._nodes_by_depth.values() for node in nodes)
        if _has_relu(node.operation)
        for tensor in node.output_tensors
        if len(tensor.shape) > 1
    ]
    if not activations:
        return False
    largest = [keras.ops.amax(tensor, axis=list(range(len(tensor.shape) - 1))) for tensor in activations]
    units = np.concatenate(outputs_of(keras.Model(model._inputs_struct, largest), inputs))
    return bool(np.mean(units <= 0) > _MOSTLY)


def _has_relu(operation):
    activation = getattr(operation, "activation", None)
    return isinstance(operation, keras.layers.ReLU) or activation in (keras.activations.relu, keras.activations.relu6)
