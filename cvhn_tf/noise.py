"""Noise of the training: its seeds, which differ from replica to replica, and its draws."""

import math

import tensorflow as tf


def of_replica(seed):
    """A seed of the replica's own: one noise for all of them would give each the same errors.

    Args:
        seed: Integer tensor of shape (2,).

    Returns:
        Integer tensor of shape (2,).
    """
    context = tf.distribute.get_replica_context()
    replica = 0 if context is None else tf.cast(context.replica_id_in_sync_group, tf.int32)
    return tf.random.experimental.stateless_fold_in(seed, 1 + replica)


def normal(mean, stddev, seed):
    """Draws from N(mean, stddev²).

    By the Box-Muller transform of whole tensors: TensorFlow's own normals go through a logarithm and a sine for each
    value by itself, which on a CPU takes three times as long, and for a convolution longer than the convolution.

    Args:
        mean: Tensor.
        stddev: Tensor of the same shape and dtype.
        seed: Integer tensor of shape (2,).

    Returns:
        Tensor like `mean`. Noise for dtypes narrower than float32 is drawn in float32.

    Reference: [Box & Muller, 1958](https://doi.org/10.1214/aoms/1177706645).
    """
    size = tf.size(mean)
    dtype = mean.dtype if mean.dtype.size >= 4 else tf.float32
    uniform = tf.random.stateless_uniform([2, (size + 1) // 2], seed, dtype=dtype)  # in [0, 1)
    radius = tf.sqrt(-2 * tf.math.log(1 - uniform[0]))
    angle = 2 * math.pi * uniform[1]
    standard = tf.concat([radius * tf.cos(angle), radius * tf.sin(angle)], 0)[:size]
    return mean + stddev * tf.cast(tf.reshape(standard, tf.shape(mean)), mean.dtype)
