"""How far a step moves means and standard deviations: gradients of one size at every λ, and a slower log σ."""

import tensorflow as tf

from cvhn_tf.parameterizations.base import LOG_STDDEV_RATE


@tf.custom_gradient
def scale_gradient(value, scale):
    return tf.identity(value), lambda gradient: (gradient * scale, None)


@tf.custom_gradient
def stddev_of(value, gradient_scale):
    """The stddev of what a parameterization gives, and as `scale_gradient` in the same passes over the weights."""
    stddev = tf.exp(LOG_STDDEV_RATE * value)
    return stddev, lambda gradient: (gradient * stddev * (LOG_STDDEV_RATE * gradient_scale), None)
