"""Sets of weights at points of the complexity range, and straight lines between them."""

import keras
import numpy as np
import tensorflow as tf

from cvhn_tf.checks.arguments import check_integer
from cvhn_tf.parameterizations.base import Parameterization, add_variable, combine_rows
from cvhn_tf.tensors.once import once


@keras.saving.register_keras_serializable(package="cvhn_tf")
class PiecewiseLinear(Parameterization):
    """Linear interpolation between `pivots` sets of weights, at s = 0, 1/(pivots − 1), …, 1.

    Holds `pivots` copies of the target's means and log-stddevs. Where these are more than four for each complexity of a
    step, only the two pivots around each are read and changed, so that its time hardly grows with their number.

    Args:
        pivots: Number of weight sets, at least 2.
    """

    def __init__(self, pivots: int = 5) -> None:
        self.pivots = check_integer("pivots", pivots, at_least=2)

    def create(self, layer, name, initial_value):
        variable = _add_copies(layer, name, initial_value, self.pivots)
        # λ is drawn jointly: replicas need to exchange the values of their gradients only, not the rows.
        variable.rows_follow_complexity = True
        return variable

    def evaluate(self, variable, encoded_complexity):
        complexities = encoded_complexity.shape[0]
        position = encoded_complexity * (self.pivots - 1)
        if 4 * complexities >= self.pivots:
            # Many of the pivots are in use: to weigh all of them costs less than to gather and scatter rows.
            return combine_rows(triangles(encoded_complexity, self.pivots), variable)
        left = tf.clip_by_value(tf.cast(tf.floor(position), tf.int32), 0, self.pivots - 2)
        # One gather of all neighbours: its gradient is a tf.IndexedSlices of just these rows.
        neighbours = tf.gather(variable.value, tf.concat([left, left + 1], 0))
        left_values, right_values = tf.split(neighbours, 2)
        fraction = tf.reshape(position - tf.cast(left, position.dtype), [-1] + [1] * (len(variable.shape) - 1))
        fraction = tf.cast(fraction, left_values.dtype)
        return (1 - fraction) * left_values + fraction * right_values  # exact at both pivots

    def get_config(self):
        return {"pivots": self.pivots}


@keras.saving.register_keras_serializable(package="cvhn_tf")
class Linear(PiecewiseLinear):
    """`(1 − s) · a + s · b`: two sets of weights, one for each end of the complexity range."""

    def __init__(self) -> None:
        super().__init__(pivots=2)

    def get_config(self):
        return {}


@keras.saving.register_keras_serializable(package="cvhn_tf")
class Constant(Parameterization):
    """No dependence on λ: an ordinary variational network, with one set of weights for the whole range."""

    def create(self, layer, name, initial_value):
        return _add_copies(layer, name, initial_value, 1)

    def evaluate(self, variable, encoded_complexity):
        return tf.repeat(variable.value, tf.shape(encoded_complexity)[0], axis=0)


def triangles(encoded_complexity, pivots):
    """Weights of the pivots in linear interpolation: 1 at a pivot, falling to 0 at its neighbours.

    Args:
        encoded_complexity: Tensor of shape (complexities,), values in [0, 1].
        pivots: Number of pivots.

    Returns:
        Tensor of shape (complexities, pivots).
    """

    def make():
        position = tf.expand_dims(encoded_complexity * (pivots - 1), 1)
        distance = tf.abs(position - np.arange(pivots, dtype=position.dtype.as_numpy_dtype))
        return tf.maximum(1 - distance, 0)

    return once(encoded_complexity, ("triangles", pivots), make)


def _add_copies(layer, name, initial_value, copies):
    return add_variable(layer, name, np.broadcast_to(initial_value, (copies, *initial_value.shape)))
