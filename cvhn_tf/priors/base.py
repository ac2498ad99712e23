"""What a prior is: it gives the description length of a posterior, its KL, in nats.

loss = NLL + kl_weight(λ) · KL(q(w | λ) ‖ p(w)) / N,   kl_weight(λ) = λ unless the prior says otherwise
"""

from typing import Any

import tensorflow as tf


class Prior:
    """Base class: a subclass gives `kl`, and `get_config` if it has arguments.

    Attributes:
        deterministic: Whether the prior is for weights without noise, whose posterior is a point. Such a prior goes
            with a deterministic estimator, and with no other.
        response: `FittedResponse`, `FixedResponse` or an object with the same methods: what the best mean and stddev of
            a weight are at each λ, which the parameterization `OptimalResponse` is made of. None where it is not known.
    """

    deterministic = False
    response: Any = None

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
            channels: `cvhn_tf.tensors.channels.ChannelAxes` of the weight, for priors of whole units. By default those
                of a matrix (…, input, output).

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


def sum_over_weight(kl):
    """KLs of single weights, of shape (complexities, *weight_shape), as one for each complexity."""
    complexities = tf.shape(kl)[0] if kl.shape[0] is None else kl.shape[0]
    return tf.reduce_sum(tf.reshape(kl, [complexities, -1]), axis=1)
