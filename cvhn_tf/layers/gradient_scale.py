"""How far a step moves standard deviations: gradients of one size at every λ, and a slower log σ."""

import tensorflow as tf

from cvhn_tf.parameterizations.base import LOG_STDDEV_RATE


@tf.custom_gradient
def stddev_of(value, gradient_scale):
    """The stddev of what a parameterization gives, its gradient scaled in the same passes over the weights."""
    stddev = tf.exp(LOG_STDDEV_RATE * value)
    return stddev, lambda gradient: (gradient * stddev * (LOG_STDDEV_RATE * gradient_scale), None)
