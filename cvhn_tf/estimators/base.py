"""What an estimator of the expected NLL is: how noise from the posterior enters a layer's outputs in training."""

from cvhn_tf.tensors.channels import LAST


class Estimator:
    """Base class: a subclass gives `sample`, and says which layers and posteriors it is for.

    Attributes:
        linear_only: Whether it is for layers that are linear in their weights only.
        draws_weights: Whether the noise is that of weights, so that a layer that is called twice with one seed has the
            same weights both times. `VariationalHypernetwork` has `Flipout` in the place of an estimator of which this
            is not so, for layers that the target calls more than once.
        deterministic: Whether it is for weights without noise. Such an estimator goes with a deterministic prior,
            and with no other.
    """

    linear_only = False
    draws_weights = True
    deterministic = False

    def sample(self, function, inputs, posteriors, seed, channels=LAST):
        """Random outputs of a layer.

        Args:
            function: `function(inputs, weights) -> outputs`, the layer without its activation. Each weight
                has shape (complexities, *weight_shape).
            inputs: Nested structure of tensors, the inputs of the layer.
            posteriors: List of `tfp.distributions.Normal`, one for each weight, of shape
                (complexities, *weight_shape).
            seed: Integer tensor of shape (2,).
            channels: `cvhn_tf.tensors.channels.ChannelAxes` of the inputs and outputs, for layers that are linear in
                their weights.

        Returns:
            Outputs of `function`.
        """
        raise NotImplementedError

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)
