"""Gradients that are scaled on their way back, by a number for each complexity."""

import tensorflow as tf


@tf.custom_gradient
def scale_gradient(value, scale):
    """The same value; its gradient is multiplied by `scale`, which has a shape that multiplies with it."""
    return tf.identity(value), lambda gradient: (gradient * scale, None)


def for_each_weight(numbers, like):
    """A number for each complexity, in the type of a tensor (complexities, *weight_shape), to multiply with it."""
    return tf.reshape(tf.cast(numbers, like.dtype), [-1] + [1] * (len(like.shape) - 1))
