"""Estimators of the expected NLL: how noise from the posterior enters a layer's outputs during training."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from cvhn_tf.serialization import resolve


class Estimator:
    """Base class: a subclass gives `sample`, and says in `linear_only` which layers can use it."""

    linear_only = False

    def sample(self, function, inputs, posteriors, seed):
        """Random outputs of a layer.

        Args:
            function: `function(inputs, weights) -> outputs`, the layer without its activation. Each weight
                has shape (complexities, *weight_shape).
            inputs: Nested structure of tensors, the inputs of the layer.
            posteriors: List of `tfp.distributions.Normal`, one for each weight, of shape
                (complexities, *weight_shape).
            seed: Integer tensor of shape (2,).

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

    def sample(self, function, inputs, posteriors, seed):
        seeds = tf.random.experimental.stateless_split(seed, num=len(posteriors))
        return function(inputs, [posterior.sample(seed=seeds[i]) for i, posterior in enumerate(posteriors)])


@keras.saving.register_keras_serializable(package="cvhn_tf")
class LocalReparameterization(Estimator):
    """Draws the pre-activations instead of the weights, for layers that are linear in their weights.

    With w ~ N(mean, stddev²), a linear layer f has pre-activations N(f(x; mean), f(x²; stddev²)): independent
    noise for each example, hence gradients of far lower variance than one weight draw per batch.

    Reference: [Kingma et al., 2015](https://arxiv.org/abs/1506.02557).
    """

    linear_only = True

    def sample(self, function, inputs, posteriors, seed):
        mean = function(inputs, [posterior.loc for posterior in posteriors])
        stddev = _output_stddev(function, inputs, [posterior.scale for posterior in posteriors], mean.dtype)
        return tfp.distributions.Normal(mean, tf.cast(stddev, mean.dtype)).sample(seed=seed)


def get(identifier) -> Estimator:
    """Takes an `Estimator`, its config, or its name: `"local_reparameterization"`, `"weight_sampling"`."""
    names = {"local_reparameterization": LocalReparameterization, "weight_sampling": WeightSampling}
    return resolve("estimator", identifier, Estimator, names)


def _output_stddev(function, inputs, stddevs, compute_dtype):
    x = tf.cast(keras.tree.flatten(inputs)[0], compute_dtype)
    if compute_dtype == tf.float16:
        # Squares leave float16's range, so both factors are brought to at most 1, and back in float32.
        x_scale, stddev_scale = _largest([x]), _largest(stddevs)
        x = x / tf.cast(x_scale, x.dtype)
        stddevs = [stddev / stddev_scale for stddev in stddevs]
    squared_inputs = keras.tree.pack_sequence_as(inputs, [tf.square(x)])
    variance = tf.cast(function(squared_inputs, [tf.square(stddev) for stddev in stddevs]), stddevs[0].dtype)
    # The slope of sqrt is infinite at 0, which an all-zero input without a bias reaches.
    stddev = tf.sqrt(tf.maximum(variance, 1e-16))
    return stddev * x_scale * stddev_scale if compute_dtype == tf.float16 else stddev


def _largest(tensors):
    largest = [tf.cast(tf.reduce_max(tf.abs(tensor)), tf.float32) for tensor in tensors]
    return tf.stop_gradient(tf.maximum(tf.reduce_max(tf.stack(largest)), 1e-6))
