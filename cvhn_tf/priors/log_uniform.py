"""The prior of sparse variational dropout."""

import keras
import tensorflow_probability as tfp

from cvhn_tf.priors.base import Prior, sum_over_weight
from cvhn_tf.priors.log_uniform_distribution import LogUniform as LogUniformDistribution
from cvhn_tf.priors.response import FittedResponse


@keras.saving.register_keras_serializable(package="cvhn_tf")
class LogUniform(Prior):
    """The log-uniform prior p(|w|) ∝ 1/|w| of sparse variational dropout.

    The KL depends on `α = stddev² / mean²` alone, by the published fit (`log_uniform_distribution.py`), and falls to 0
    for a weight that is nothing but noise. The prior is improper, so the KL is no code length.

    Reference: [Molchanov et al., 2017](https://arxiv.org/abs/1701.05369).
    """

    response = FittedResponse()  # its KL is nearly that of `AutomaticRelevance`

    def kl(self, posterior, complexity, channels=None):
        return sum_over_weight(tfp.distributions.kl_divergence(posterior, LogUniformDistribution(posterior.dtype)))
