"""Priors p(w) of the target's weights: each gives the description length of a posterior, its KL, in nats.

    loss = NLL + λ · KL(q(w | λ) ‖ p(w)) / N

A prior is a small value object: `Normal(stddev=0.1)`, its config, or its name `"normal"` say the same.
"""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from cvhn_tf.serialization import resolve


class Prior:
    """Base class: a subclass gives `kl`, and `get_config` if it has arguments."""

    def kl(self, posterior, complexity):
        """KL(posterior ‖ prior) for each complexity.

        Args:
            posterior: `tfp.distributions.Normal` of shape (complexities, *weight_shape).
            complexity: Tensor of shape (complexities,), for priors that depend on λ.

        Returns:
            Tensor of shape (complexities,), in nats, summed over the weight.
        """
        raise NotImplementedError

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable(package="cvhn_tf")
class Normal(Prior):
    """The fixed prior N(0, stddev²) of Graves (2011) and of Grebenkova et al.

    Under a fixed prior the KL is the bits-back description length of the weights.

    Args:
        stddev: Standard deviation of every weight, positive.
    """

    def __init__(self, stddev=1.0):
        if not stddev > 0:
            raise ValueError(f"Expected `stddev` to be positive. Received: stddev={stddev}")
        self.stddev = float(stddev)

    def kl(self, posterior, complexity):
        prior = tfp.distributions.Normal(tf.zeros((), posterior.dtype), tf.cast(self.stddev, posterior.dtype))
        return _sum_over_weight(tfp.distributions.kl_divergence(posterior, prior))

    def get_config(self):
        return {"stddev": self.stddev}


@keras.saving.register_keras_serializable(package="cvhn_tf")
class AutomaticRelevance(Prior):
    """Zero-mean normal prior whose variance is fitted to each weight.

    Maximising the evidence over the prior variance gives `mean² + stddev²`, and then
    `KL = ½ log(1 + SNR²)` nats per weight, with `SNR = |mean| / stddev`: the capacity of a Gaussian
    channel. It measures what a weight tells, but it is no code length, since the prior is fitted per weight.

    Reference: [Kharitonov et al., 2018](https://arxiv.org/abs/1811.00596).
    """

    def kl(self, posterior, complexity):
        return 0.5 * _sum_over_weight(tf.math.log1p(tf.square(posterior.loc / posterior.scale)))


def _sum_over_weight(kl):
    return tf.reduce_sum(tf.reshape(kl, [tf.shape(kl)[0], -1]), axis=1)


def get(identifier) -> Prior:
    """Takes a `Prior`, its serialised config, or its name: `"normal"`, `"automatic_relevance"`."""
    return resolve("prior", identifier, Prior, {"normal": Normal, "automatic_relevance": AutomaticRelevance})
