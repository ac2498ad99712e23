"""Estimators of the expected NLL: how noise from the posterior enters a layer's outputs during training."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from cvhn_tf import noise
from cvhn_tf.channels import LAST
from cvhn_tf.masks import with_mask_of
from cvhn_tf.serialization import resolve


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
            channels: `cvhn_tf.channels.ChannelAxes` of the inputs and outputs, for layers that are linear in their
                weights.

        Returns:
            Outputs of `function`.
        """
        raise NotImplementedError

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable(package="cvhn_tf")
class WeightSampling(Estimator):
    """One draw of the weights, w = mean + stddev · ε, shared by the examples of a batch. Any layer."""

    def sample(self, function, inputs, posteriors, seed, channels=LAST):
        seeds = tf.random.experimental.stateless_split(seed, num=len(posteriors))
        return function(inputs, [noise.normal(p.loc, p.scale, seeds[i]) for i, p in enumerate(posteriors)])


@keras.saving.register_keras_serializable(package="cvhn_tf")
class LocalReparameterization(Estimator):
    """Draws the pre-activations instead of the weights, for layers that are linear in their weights.

    With w ~ N(mean, stddev²), a linear layer f has pre-activations N(f(x; mean), f(x²; stddev²)): noise of each
    example's own, hence gradients of far lower variance than one weight draw per batch. It is drawn for the first half
    of the batch; the second half takes the same with the other sign, which changes no expectation of a sum over
    examples. A layer that is called twice has noise in the two calls that no draw of its weights could give: it takes
    `Flipout`.

    Reference: [Kingma et al., 2015](https://arxiv.org/abs/1506.02557).
    """

    linear_only = True
    draws_weights = False

    def sample(self, function, inputs, posteriors, seed, channels=LAST):
        mean = function(inputs, [posterior.loc for posterior in posteriors])
        stddev = _output_stddev(function, inputs, [posterior.scale for posterior in posteriors], mean.dtype)
        return with_mask_of(mean, noise.antithetic_normal(mean, tf.cast(stddev, mean.dtype), seed))


@keras.saving.register_keras_serializable(package="cvhn_tf")
class Flipout(Estimator):
    """One draw of the weights' noise for a batch, with random signs of each example's own on its channels.

    For a layer f that is linear in its weights, with Δ = stddev · ε, the outputs are `f(x; mean) + r ∘ f(s ∘ x; Δ)`,
    where s and r are ±1, one for each example and channel of its inputs and outputs. They turn Δ into `s Δ rᵀ`, which
    has the same distribution, so that each example sees weight sampling's law, positions of one feature map and
    calls of a shared layer correlated as there, while the noise of two examples is uncorrelated.

    Reference: [Wen et al., 2018](https://arxiv.org/abs/1803.04386).
    """

    linear_only = True

    def sample(self, function, inputs, posteriors, seed, channels=LAST):
        seeds = tf.random.experimental.stateless_split(seed, num=2 + len(posteriors))
        mean = function(inputs, [posterior.loc for posterior in posteriors])
        draws = [noise.normal(tf.zeros_like(p.scale), p.scale, seeds[2 + i]) for i, p in enumerate(posteriors)]
        x = tf.cast(keras.tree.flatten(inputs)[0], mean.dtype)
        x *= _signs(x, channels.input, seeds[0])
        perturbation = function(keras.tree.pack_sequence_as(inputs, [x]), draws)
        return with_mask_of(mean, mean + perturbation * _signs(perturbation, channels.output, seeds[1]))


@keras.saving.register_keras_serializable(package="cvhn_tf")
class Deterministic(Estimator):
    """No noise: the deterministic baseline, whose posteriors are points. Any layer.

    Goes with the prior `"l2"` only.
    """

    deterministic = True

    def sample(self, function, inputs, posteriors, seed, channels=LAST):
        return function(inputs, [posterior.loc for posterior in posteriors])


_ESTIMATORS = {
    "deterministic": Deterministic,
    "flipout": Flipout,
    "local_reparameterization": LocalReparameterization,
    "weight_sampling": WeightSampling,
}


def get(identifier) -> Estimator:
    """Takes an `Estimator`, its config, or its name: the class's, such as `"local_reparameterization"`."""
    return resolve("estimator", identifier, Estimator, _ESTIMATORS)


def _signs(tensor, axes, seed):
    """Random signs for each example (axis 0) and channel of a tensor, to be multiplied with it."""
    rank = len(tensor.shape)
    channels = {axis % rank for axis in axes}
    shape = tf.shape(tensor)
    kept = [shape[axis] if axis == 0 or axis in channels else 1 for axis in range(rank)]
    return tfp.random.rademacher(tf.stack(kept), dtype=tensor.dtype, seed=seed)


def _output_stddev(function, inputs, stddevs, compute_dtype):
    x = tf.cast(keras.tree.flatten(inputs)[0], compute_dtype)
    if compute_dtype == tf.float16:
        # Squares leave float16's range, so both factors are brought to at most 1, and back in float32.
        x_scale, stddev_scale = _largest([x]), _largest(stddevs)
        x = x / tf.cast(x_scale, x.dtype)
        stddevs = [stddev / stddev_scale for stddev in stddevs]
    squared_inputs = keras.tree.pack_sequence_as(inputs, [tf.square(x)])
    variance = tf.cast(function(squared_inputs, [tf.square(stddev) for stddev in stddevs]), stddevs[0].dtype)
    # The slope of sqrt is infinite at 0, which an all-zero input without a bias reaches; some convolutions round to
    # less. After a ReLU, which costs nothing in a convolution, the slope is 0 there.
    stddev = tf.sqrt(tf.nn.relu(variance) + 1e-16)
    return stddev * x_scale * stddev_scale if compute_dtype == tf.float16 else stddev


def _largest(tensors):
    largest = [tf.cast(tf.reduce_max(tf.abs(tensor)), tf.float32) for tensor in tensors]
    return tf.stop_gradient(tf.maximum(tf.reduce_max(tf.stack(largest)), 1e-6))
