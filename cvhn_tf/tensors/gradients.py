"""Gradients that are scaled on their way back."""

import tensorflow as tf


@tf.custom_gradient
def scale_gradient(value, scale):
    """The same value; its gradient is multiplied by `scale`, which has a shape that multiplies with it."""
    return tf.identity(value), lambda gradient: (gradient * scale, None)
