"""A model around a graph of layers shows the inputs and outputs that a functional Keras model shows."""

import keras

from cvhn_tf.training.data import check_not_one_hot
from cvhn_tf.training.tracing import TracedOnce


class GraphModel(TracedOnce):
    """Base class: a subclass sets `_graph`, a functional model whose last inputs are λ, the seed of the noise, and more
    where it sets `_drawn_inputs`.

    Attributes:
        output_names: Names of the layers that make the outputs, by which losses, metrics and targets may be given.
        input_names: Names of the inputs.
    """

    output_names: list[str] | None = None
    input_names: list[str] | None = None
    _drawn_inputs = 2

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if y is not None and y_pred is not None:
            check_not_one_hot(getattr(self, "loss", None), y, y_pred)
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def _aggregate_additional_loss(self, loss):
        # Layers add losses in the dtype that they compute in, and Keras sums those of one dtype only:
        # findings/added_losses_fail_in_half_precision.sh.
        return super()._aggregate_additional_loss(keras.ops.cast(loss, keras.backend.floatx()))

    @property
    def inputs(self):
        """List of the target's inputs, each a `keras.KerasTensor`."""
        return self._graph.inputs[: -self._drawn_inputs]

    @property
    def outputs(self):
        """List of the target's outputs, each a `keras.KerasTensor`."""
        return keras.tree.flatten(self._generated_outputs)

    @property
    def input_shape(self):
        """Shape of the target's input, or a list of shapes where it has several."""
        return _one_or_list([tensor.shape for tensor in self.inputs])

    @property
    def output_shape(self):
        """Shape of the target's output, or a list of shapes where it has several."""
        return _one_or_list([tensor.shape for tensor in self.outputs])

    @property
    def _generated_outputs(self):
        return self._graph._outputs_struct[0]


def _one_or_list(shapes):
    return shapes[0] if len(shapes) == 1 else shapes
