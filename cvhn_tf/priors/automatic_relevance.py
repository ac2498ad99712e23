"""A variance for each weight, fitted to it."""

import keras
import tensorflow as tf

from cvhn_tf.priors.base import Prior, sum_over_weight
from cvhn_tf.priors.response import FittedResponse


@keras.saving.register_keras_serializable(package="cvhn_tf")
class AutomaticRelevance(Prior):
    """Zero-mean normal prior whose variance is fitted to each weight.

    Maximising the evidence over the prior variance gives `mean² + stddev²`, and then
    `KL = ½ log(1 + SNR²)` nats per weight, with `SNR = |mean| / stddev`: the capacity of a Gaussian
    channel. It measures what a weight tells, but it is no code length, since the prior is fitted per weight.

    Reference: [Kharitonov et al., 2018](https://arxiv.org/abs/1811.00596).
    """

    response = FittedResponse()

    def kl(self, posterior, complexity, channels=None):
        return _relevance_kl(posterior.loc, posterior.scale)


@tf.custom_gradient
def _relevance_kl(mean, stddev):
    """`½ Σ log(1 + SNR²)` for each complexity; its gradient takes fewer passes over the weights than the chain rule."""
    snr = mean / stddev
    ratio = 1 + tf.square(snr)  # of the prior's variance to the posterior's

    def gradient(upstream):
        upstream = tf.reshape(upstream, [-1] + [1] * (len(mean.shape) - 1))
        of_mean = upstream * snr / (ratio * stddev)
        return of_mean, -of_mean * snr

    return 0.5 * sum_over_weight(tf.math.log(ratio)), gradient
