"""A variance for each unit, fitted to it."""

import keras
import tensorflow as tf

from cvhn_tf.priors.base import Prior, sum_over_weight
from cvhn_tf.tensors.channels import of_matrix


@keras.saving.register_keras_serializable(package="cvhn_tf")
class GroupRelevance(Prior):
    """Zero-mean normal prior whose variance is fitted to each unit, so that whole units die.

    The weights of a unit share one variance v, and maximising the evidence over it gives
    `v = mean over the unit of (mean² + stddev²)`, and then `KL = ½ Σ log(v / stddev²)` nats. As long as one weight
    of a unit is large, noise in its other weights is cheap and their values are not; where none is, all sink
    together. As with `AutomaticRelevance`, the KL is no code length.

    A unit is a channel that a layer writes (`axis="output"`: a Dense unit, a filter) or reads (`axis="input"`: an
    input feature, the unit or filter of the layer before). A bias has a variance of its own for each value.

    Args:
        axis: `"output"` or `"input"`.

    One variance for each input is automatic relevance determination as MacKay and Neal had it.

    Reference: [Louizos et al., 2017](https://arxiv.org/abs/1705.08665), on scales of whole units.
    """

    def __init__(self, axis: str = "output") -> None:
        if axis not in ("output", "input"):
            raise ValueError(f"Expected `axis` to be 'output' or 'input'. Received: axis={axis!r}")
        self.axis = axis

    def kl(self, posterior, complexity, channels=None):
        variance = tf.square(posterior.scale)
        fitted = tf.reduce_mean(tf.square(posterior.loc) + variance, self._axes_of_unit(posterior, channels), True)
        return 0.5 * sum_over_weight(tf.math.log(fitted / variance))

    def _axes_of_unit(self, posterior, channels):
        """Axes over which the weights of one unit lie: all but the complexities' and the channels'."""
        rank = len(posterior.batch_shape) - 1
        units = {axis % rank for axis in getattr(channels or of_matrix(rank), self.axis)}
        return [1 + axis for axis in range(rank) if axis not in units]

    def get_config(self):
        return {"axis": self.axis}
