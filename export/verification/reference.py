"""What a Keras model gives on the inputs of a verification, computed once for all files of the model."""

import functools
from collections.abc import Iterator

import keras
import numpy as np

from cvhn_tf.export.verification.activity import is_mostly_dead
from cvhn_tf.export.verification.inputs import batch_size, further_inputs, outputs_of

# Outputs of more numbers are computed for each file again.
_MOST_NUMBERS = 2**22


class Reference:
    """A model and inputs, batch by batch. The weights of the model must not change meanwhile.

    Args:
        keras_model: Built functional or Sequential Keras model.
        inputs: List of arrays, as of `verification_inputs`.
    """

    def __init__(self, keras_model: keras.Model, inputs: list[np.ndarray]):
        self.keras_model, self.inputs = keras_model, inputs
        self.batch_size = batch_size(keras_model, inputs)
        self._outputs: dict[int, list[np.ndarray]] = {}
        self._further: list[Reference] = []
        self._inputs_to_come: Iterator[list[np.ndarray]] | None = None

    def batch(self, start: int) -> list[np.ndarray]:
        """The inputs from an example on."""
        return [array[start : start + self.batch_size] for array in self.inputs]

    def outputs(self, start: int) -> list[np.ndarray]:
        """The outputs for `batch(start)`."""
        if start in self._outputs:
            return self._outputs[start]
        outputs = outputs_of(self.keras_model, self.batch(start))
        kept = sum(array.size for arrays in self._outputs.values() for array in arrays)
        if kept + sum(array.size for array in outputs) <= _MOST_NUMBERS:
            self._outputs[start] = outputs
        return outputs

    @functools.cached_property
    def is_mostly_dead(self) -> bool:
        """Whether most units with ReLU give zero for all of the first batch."""
        return is_mostly_dead(self.keras_model, self.batch(0))

    def further(self) -> Iterator["Reference"]:
        """The same model on further inputs, ever larger, as long as it gives finite numbers."""
        if self._inputs_to_come is None:
            self._inputs_to_come = further_inputs(self.keras_model, self.inputs)
        yield from self._further
        for inputs in self._inputs_to_come:
            reference = Reference(self.keras_model, inputs)
            if not all(np.isfinite(output).all() for output in reference.outputs(0)):
                self._inputs_to_come = iter(())
                return
            self._further.append(reference)
            yield reference
