"""One copy of the weights, and a low-rank deviation from it that depends on the complexity."""

import math

import keras
import tensorflow as tf

from cvhn_tf.checks.arguments import check_integer
from cvhn_tf.parameterizations.base import Parameterization, add_variable


@keras.saving.register_keras_serializable(package="cvhn_tf")
class LowRank(Parameterization):
    """`a + u(h(s)) v(h(s))ᵀ` for matrices and `a + d(h(s))` for vectors: near one copy of the weights.

    h maps s to `hidden` features, tanh functions of trained slope and centre; u, v and d are linear in them. A
    kernel of more than two dimensions is taken as the matrix (all others, outputs). Beside a, a matrix of m × n costs
    `hidden · rank · (m + n)` parameters, and a vector of n costs `hidden · n`; so does a matrix so thin that its
    factors would be no smaller.

    Args:
        rank: Rank of a matrix's deviation at each complexity, positive.
        hidden: Number of features of s, positive.

    Reference: O. Grebenkova, O. Bakhteev, V. Strijov, "Variational deep learning model optimization with
    complexity control".
    """

    def __init__(self, rank: int = 2, hidden: int = 4) -> None:
        self.rank = check_integer("rank", rank)
        self.hidden = check_integer("hidden", hidden)

    def create(self, layer, name, initial_value):
        features = tf.range(self.hidden, dtype=tf.float32)
        variables = {
            "base": add_variable(layer, f"{name}_base", initial_value),
            # Their transitions are spread evenly over [0, 1], so that the features differ before training.
            "centres": add_variable(layer, f"{name}_centres", (features + 0.5) / self.hidden),
            "slopes": add_variable(layer, f"{name}_slopes", tf.fill([self.hidden], float(self.hidden))),
        }
        rows, columns = _matrix_shape(initial_value.shape)
        if self.rank * (rows + columns) < rows * columns:
            # One factor is zero, so that the deviation is; the other is not, so that gradients reach the first.
            left = keras.initializers.RandomNormal(stddev=self.hidden**-0.5)((self.hidden, self.rank * rows))
            variables["left"] = add_variable(layer, f"{name}_left", left)
            variables["right"] = add_variable(layer, f"{name}_right", tf.zeros((self.hidden, self.rank * columns)))
        else:
            variables["offset"] = add_variable(layer, f"{name}_offset", tf.zeros((self.hidden, rows * columns)))
        return variables

    def evaluate(self, variables, encoded_complexity):
        base = variables["base"].value
        position = encoded_complexity[:, None] - variables["centres"].value
        features = tf.tanh(variables["slopes"].value * position)
        if "offset" in variables:
            deviation = tf.matmul(features, variables["offset"].value)
        else:
            rows, columns = _matrix_shape(base.shape)
            left = tf.reshape(tf.matmul(features, variables["left"].value), [-1, rows, self.rank])
            right = tf.reshape(tf.matmul(features, variables["right"].value), [-1, columns, self.rank])
            deviation = tf.matmul(left, right, transpose_b=True)
        return base + tf.cast(tf.reshape(deviation, [-1, *base.shape]), base.dtype)

    def get_config(self):
        return {"rank": self.rank, "hidden": self.hidden}


def _matrix_shape(shape):
    return (math.prod(shape[:-1]), shape[-1]) if len(shape) > 1 else (1, math.prod(shape))
