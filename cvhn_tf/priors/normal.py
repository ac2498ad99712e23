"""Priors of one fixed variance for all weights, and of one that λ narrows."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from cvhn_tf.checks.arguments import check_positive
from cvhn_tf.priors.base import Prior, sum_over_weight
from cvhn_tf.priors.response import FixedResponse


@keras.saving.register_keras_serializable(package="cvhn_tf")
class Normal(Prior):
    """The fixed prior N(0, stddev²) of Graves (2011) and of Grebenkova et al.

    Under a fixed prior the KL is the bits-back description length of the weights.

    Args:
        stddev: Standard deviation of every weight, positive.
    """

    def __init__(self, stddev: float = 1.0) -> None:
        self.stddev = check_positive("stddev", stddev)
        self.response = FixedResponse(self.stddev)

    def kl(self, posterior, complexity, channels=None):
        prior = tfp.distributions.Normal(tf.zeros((), posterior.dtype), tf.cast(self.stddev, posterior.dtype))
        return sum_over_weight(tfp.distributions.kl_divergence(posterior, prior))

    def get_config(self):
        return {"stddev": self.stddev}


@keras.saving.register_keras_serializable(package="cvhn_tf")
class ScaledNormal(Prior):
    """The prior N(0, stddev² / λ): complexity narrows the prior instead of weighing the KL, whose weight is 1.

    At λ = 1 the loss is that of `Normal`, and at any λ the means are pulled to zero as strongly. But the reward for
    noise, −log stddev, does not grow with λ, so that each λ has an evidence lower bound of its own: that of the model
    with this prior. The "reparameterized" variant of Grebenkova et al.

    Args:
        stddev: Standard deviation of every weight at λ = 1, positive.
    """

    def __init__(self, stddev: float = 1.0) -> None:
        self.stddev = check_positive("stddev", stddev)
        self.response = FixedResponse(self.stddev, narrows=True)

    def kl(self, posterior, complexity, channels=None):
        stddev = tf.cast(self.stddev * tf.math.rsqrt(complexity), posterior.dtype)
        stddev = tf.reshape(stddev, [-1] + [1] * (len(posterior.batch_shape) - 1))
        prior = tfp.distributions.Normal(tf.zeros((), posterior.dtype), stddev)
        return sum_over_weight(tfp.distributions.kl_divergence(posterior, prior))

    def kl_weight(self, complexity):
        return tf.ones_like(complexity)

    def get_config(self):
        return {"stddev": self.stddev}
