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

    def make_train_function(self, force=False):
        _check_rows_are_scaled(self)
        super().make_train_function(force)

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


def _check_rows_are_scaled(model):
    """Raises a `ValueError` if Keras would divide gradients that hold the rows alone that a step has read."""
    optimizer = model.optimizer
    most = 4 * getattr(model, "complexity_samples", 0)  # up to which `PiecewiseLinear` reads all rows
    factor = getattr(optimizer, "loss_scale_factor", None)
    if factor is None or getattr(optimizer, "divides_rows", False):
        return
    for variable in model.trainable_variables:
        if getattr(variable, "rows_follow_complexity", False) and variable.shape[0] > most:
            raise ValueError(
                "Expected `loss_scale_factor=None` in an optimizer of Keras's, which divides no gradients of rows "
                f"as '{variable.path}' has; `cvhn_tf.PivotAdam` does. Received: loss_scale_factor={factor}, "
                f"{type(optimizer).__name__}"
            )


def _one_or_list(shapes):
    return shapes[0] if len(shapes) == 1 else shapes
