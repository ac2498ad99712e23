"""Noise in the outputs, of each example's own."""

import keras
import tensorflow as tf

from cvhn_tf.estimators.base import Estimator
from cvhn_tf.tensors import noise
from cvhn_tf.tensors.channels import LAST
from cvhn_tf.tensors.masks import with_mask_of


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
