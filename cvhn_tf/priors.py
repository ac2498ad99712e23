"""Priors p(w) of the target's weights: each gives the description length of a posterior, its KL, in nats.

    loss = NLL + kl_weight(λ) · KL(q(w | λ) ‖ p(w)) / N,   kl_weight(λ) = λ unless the prior says otherwise

A prior is a small value object: `Normal(stddev=0.1)`, its config, or its name `"normal"` say the same.
"""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from cvhn_tf.argument_checks import check_positive
from cvhn_tf.channels import of_matrix
from cvhn_tf.log_uniform import LogUniform as LogUniformDistribution
from cvhn_tf.serialization import resolve


class Prior:
    """Base class: a subclass gives `kl`, and `get_config` if it has arguments.

    Attributes:
        deterministic: Whether the prior is for weights without noise, whose posterior is a point. Such a prior goes
            with a deterministic estimator, and with no other.
    """

    deterministic = False

    @property
    def posterior_parameters(self) -> tuple[str, ...]:
        """Names of what is trained for each weight: `"mean"`, and `"log_stddev"` where there is noise."""
        return ("mean",) if self.deterministic else ("mean", "log_stddev")

    def kl(self, posterior, complexity, channels=None):
        """KL(posterior ‖ prior) for each complexity.

        Args:
            posterior: `tfp.distributions.Normal` of shape (complexities, *weight_shape); for a deterministic prior
                `tfp.distributions.Deterministic`.
            complexity: Tensor of shape (complexities,), for priors that depend on λ.
            channels: `cvhn_tf.channels.ChannelAxes` of the weight, for priors of whole units. By default those of
                a matrix (…, input, output).

        Returns:
            Tensor of shape (complexities,), in nats, summed over the weight.
        """
        raise NotImplementedError

    def kl_weight(self, complexity):
        """What the KL is multiplied by in the loss: λ itself.

        Args:
            complexity: Tensor of shape (complexities,).

        Returns:
            Tensor of the same shape.
        """
        return complexity

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

    def __init__(self, stddev: float = 1.0) -> None:
        self.stddev = check_positive("stddev", stddev)

    def kl(self, posterior, complexity, channels=None):
        prior = tfp.distributions.Normal(tf.zeros((), posterior.dtype), tf.cast(self.stddev, posterior.dtype))
        return _sum_over_weight(tfp.distributions.kl_divergence(posterior, prior))

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

    def kl(self, posterior, complexity, channels=None):
        stddev = tf.cast(self.stddev * tf.math.rsqrt(complexity), posterior.dtype)
        stddev = tf.reshape(stddev, [-1] + [1] * (len(posterior.batch_shape) - 1))
        prior = tfp.distributions.Normal(tf.zeros((), posterior.dtype), stddev)
        return _sum_over_weight(tfp.distributions.kl_divergence(posterior, prior))

    def kl_weight(self, complexity):
        return tf.ones_like(complexity)

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

    def kl(self, posterior, complexity, channels=None):
        return _relevance_kl(posterior.loc, posterior.scale)


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
        return 0.5 * _sum_over_weight(tf.math.log(fitted / variance))

    def _axes_of_unit(self, posterior, channels):
        """Axes over which the weights of one unit lie: all but the complexities' and the channels'."""
        rank = len(posterior.batch_shape) - 1
        units = {axis % rank for axis in getattr(channels or of_matrix(rank), self.axis)}
        return [1 + axis for axis in range(rank) if axis not in units]

    def get_config(self):
        return {"axis": self.axis}


@keras.saving.register_keras_serializable(package="cvhn_tf")
class LogUniform(Prior):
    """The log-uniform prior p(|w|) ∝ 1/|w| of sparse variational dropout.

    The KL depends on `α = stddev² / mean²` alone, by the published fit (`cvhn_tf.log_uniform`), and falls to 0 for
    a weight that is nothing but noise. The prior is improper, so the KL is no code length.

    Reference: [Molchanov et al., 2017](https://arxiv.org/abs/1701.05369).
    """

    def kl(self, posterior, complexity, channels=None):
        return _sum_over_weight(tfp.distributions.kl_divergence(posterior, LogUniformDistribution(posterior.dtype)))


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

    def kl(self, posterior, complexity, channels=None):
        return 0.5 * _sum_over_weight(tf.square(posterior.loc / self.stddev))

    def get_config(self):
        return {"stddev": self.stddev}


_PRIORS = {
    "automatic_relevance": AutomaticRelevance,
    "group_relevance": GroupRelevance,
    "l2": L2,
    "log_uniform": LogUniform,
    "normal": Normal,
    "scaled_normal": ScaledNormal,
}


def get(identifier) -> Prior:
    """Takes a `Prior`, its serialised config, or its name: the class's, such as `"scaled_normal"` or `"l2"`."""
    return resolve("prior", identifier, Prior, _PRIORS)


@tf.custom_gradient
def _relevance_kl(mean, stddev):
    """`½ Σ log(1 + SNR²)` for each complexity; its gradient takes fewer passes over the weights than the chain rule."""
    snr = mean / stddev
    ratio = 1 + tf.square(snr)  # of the prior's variance to the posterior's

    def gradient(upstream):
        upstream = tf.reshape(upstream, [-1] + [1] * (len(mean.shape) - 1))
        of_mean = upstream * snr / (ratio * stddev)
        return of_mean, -of_mean * snr

    return 0.5 * _sum_over_weight(tf.math.log(ratio)), gradient


def _sum_over_weight(kl):
    return tf.reduce_sum(tf.reshape(kl, [tf.shape(kl)[0], -1]), axis=1)
