"""One set of weights that all complexities share, and piecewise-linear deviations from it."""

import keras
import numpy as np
import tensorflow as tf

from cvhn_tf.checks.arguments import check_integer
from cvhn_tf.parameterizations.base import Parameterization, add_variable, combine_rows
from cvhn_tf.parameterizations.pivots import triangles
from cvhn_tf.tensors.once import once


@keras.saving.register_keras_serializable(package="cvhn_tf")
class Hierarchical(Parameterization):
    """`a + Σ hat_k(s) d_k`: shared weights a, and deviations d_k at s = 0, 1/(pivots − 1), …, 1 with lines between.

    The functions of s are those of `PiecewiseLinear`, but what the networks have in common is learned once, from
    every step, and the deviations stay small. Pivots that share nothing each see only their own complexities, and those
    of large λ learn too slowly.

    Holds `pivots + 1` copies of the target's means and log-stddevs, the deviations zero before training.

    Args:
        pivots: Number of deviations, at least 2.

    Reference: [Yserentant, 1986](https://doi.org/10.1007/BF01389538), on why a hierarchical basis speeds up iterations
    in a space of piecewise-linear functions.
    """

    def __init__(self, pivots: int = 3) -> None:
        self.pivots = check_integer("pivots", pivots, at_least=2)

    def create(self, layer, name, initial_value):
        deviations = np.zeros((self.pivots, *initial_value.shape), initial_value.dtype)
        return add_variable(layer, name, np.concatenate([initial_value[None], deviations]))

    def evaluate(self, variables, encoded_complexity):
        rows = once(encoded_complexity, ("hierarchical", self.pivots), lambda: self.weigh_rows(encoded_complexity))
        return combine_rows(rows, variables)

    def weigh_rows(self, encoded_complexity, factor=1.0):
        """Weights of the shared set and of the deviations, times `factor`, a number for each complexity or one for all.

        Args:
            encoded_complexity: Tensor of shape (complexities,), values in [0, 1].
            factor: Number, or tensor of shape (complexities,).

        Returns:
            Tensor of shape (complexities, pivots + 1).
        """
        hats = triangles(encoded_complexity, self.pivots)
        return tf.concat([tf.ones_like(hats[:, :1]), hats], 1) * tf.reshape(factor, [-1, 1])

    def get_config(self):
        return {"pivots": self.pivots}
