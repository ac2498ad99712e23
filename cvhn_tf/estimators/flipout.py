"""Noise in the weights, with signs of each example's own."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from cvhn_tf.estimators.base import Estimator
from cvhn_tf.tensors import noise
from cvhn_tf.tensors.channels import LAST
from cvhn_tf.tensors.masks import with_mask_of


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
        # Not a sum, as in `noise.antithetic_normal`.
        return with_mask_of(mean, mean - perturbation * -_signs(perturbation, channels.output, seeds[1]))


def _signs(tensor, axes, seed):
    """Random signs for each example (axis 0) and channel of a tensor, to be multiplied with it."""
    rank = len(tensor.shape)
    channels = {axis % rank for axis in axes}
    shape = tf.shape(tensor)
    kept = [shape[axis] if axis == 0 or axis in channels else 1 for axis in range(rank)]
    return tfp.random.rademacher(tf.stack(kept), dtype=tensor.dtype, seed=seed)
