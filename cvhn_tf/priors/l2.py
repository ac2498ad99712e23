"""Weight decay in the place of a KL."""

import keras
import tensorflow as tf

from cvhn_tf.checks.arguments import check_positive
from cvhn_tf.priors.base import Prior, sum_over_weight
from cvhn_tf.priors.response import FixedResponse


@keras.saving.register_keras_serializable(package="cvhn_tf")
class L2(Prior):
    """Weight decay, the deterministic baseline: `Σ w² / (2 stddev²)` for weights without noise.

    Up to a constant this is `−log N(w; 0, stddev²)` in nats, so that λ = 1 trains the most probable weights under the
    prior `Normal(stddev)`. It stands in the place of a KL, which for a point is infinite, and is no code length.
    Goes with the estimator `"deterministic"` only.

    Args:
        stddev: Standard deviation of every weight, positive.
    """

    deterministic = True

    def __init__(self, stddev: float = 1.0) -> None:
        self.stddev = check_positive("stddev", stddev)
        self.response = FixedResponse(self.stddev)

    def kl(self, posterior, complexity, channels=None):
        return 0.5 * sum_over_weight(tf.square(posterior.loc / self.stddev))

    def get_config(self):
        return {"stddev": self.stddev}
