"""Noise of the training: its seeds, which differ from replica to replica, and its draws."""

import math

import tensorflow as tf


def of_step(seed, step):
    """A seed of a step's own.

    Args:
        seed: Integer below 2³¹.
        step: int64 tensor, the number of the step.

    Returns:
        Integer tensor of shape (2,).
    """
    return tf.stack([tf.cast(seed, tf.int32), tf.cast(step % 2**31, tf.int32)])


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
    """Draws from N(mean, stddev²), all of them independent.

    Args:
        mean: Tensor.
        stddev: Tensor of the same shape and dtype.
        seed: Integer tensor of shape (2,).

    Returns:
        Tensor like `mean`. Noise for dtypes narrower than float32 is drawn in float32.
    """
    return mean + stddev * _standard_normal(_sizes(mean), seed, mean.dtype)


def antithetic_normal(mean, stddev, seed):
    """Draws from N(mean, stddev²) whose second half along axis 0 has the noise of the first, with the other sign.

    Each draw has the same law as by `normal`, and so has every expectation of a sum over axis 0; it takes half the
    time, and what depends linearly on the noise cancels within a pair.

    Args:
        mean: Tensor of rank 1 or more.
        stddev: Tensor of the same shape and dtype.
        seed: Integer tensor of shape (2,).

    Returns:
        Tensor like `mean`.

    Reference: [Hammersley & Morton, 1956](https://doi.org/10.1017/S0305004100031455).
    """
    sizes = _sizes(mean)
    half = _standard_normal([(sizes[0] + 1) // 2, *sizes[1:]], seed, mean.dtype)
    # A sum would say the same, but TensorFlow 2.21 with oneDNN gives up optimizing a graph, and says so in an error, if
    # it has a ReLU of a sum of a matrix product with a bias and something else.
    return mean - stddev * tf.concat([-half, half], 0)[: sizes[0]]


def _sizes(tensor):
    """Of each axis its size: an integer where it is known, which takes no operation of a graph, else a tensor."""
    computed = None if tensor.shape.is_fully_defined() else tf.unstack(tf.shape(tensor))
    return [size if computed is None or size is not None else computed[i] for i, size in enumerate(tensor.shape)]


def _standard_normal(sizes, seed, dtype):
    """Draws from N(0, 1) by the Box-Muller transform of whole tensors.

    TensorFlow's own normals go through a logarithm and a sine for each value by itself, which on a CPU takes twice as
    long, and for a convolution longer than the convolution.

    Reference: [Box & Muller, 1958](https://doi.org/10.1214/aoms/1177706645).
    """
    known = math.prod(size for size in sizes if isinstance(size, int))
    size = math.prod((size for size in sizes if not isinstance(size, int)), start=known)
    is_even = known % 2 == 0  # and so is the size: every draw of the pairs is one that is asked for
    pairs = size // 2 if is_even else (size + 1) // 2
    drawn_in = dtype if dtype.size >= 4 else tf.float32
    uniform = tf.random.stateless_uniform([2, pairs], seed, dtype=drawn_in)  # in [0, 1)
    lengths, turns = tf.unstack(uniform)
    radius, angle = tf.sqrt(-2 * tf.math.log(1 - lengths)), 2 * math.pi * turns
    draws = tf.concat([radius * tf.cos(angle), radius * tf.sin(angle)], 0)
    return tf.cast(tf.reshape(draws if is_even else draws[:size], sizes), dtype)
