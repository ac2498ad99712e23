"""Draws of the training's noise."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from cvhn_tf.tensors import noise


def standard(size, seed=0, dtype="float32"):
    return noise.normal(tf.zeros(size, dtype), tf.ones(size, dtype), tf.constant([0, seed])).numpy()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_draws_are_normal_in_the_middle_and_in_the_tails(dtype):
    draws = standard([1_000_000], dtype=dtype)
    assert draws.dtype == dtype
    assert scipy.stats.kstest(draws, "norm").pvalue > 1e-3
    for bound in (3, 4):
        expected = 2 * scipy.stats.norm.sf(bound) * draws.size
        assert abs(np.sum(np.abs(draws) > bound) - expected) < 5 * np.sqrt(expected)


def test_the_two_of_each_pair_are_independent():
    first, second = np.split(standard([1_000_000]), 2)
    # Uncorrelated, and so are their sizes.
    for power in (1, 2):
        assert abs(np.corrcoef(first**power, second**power)[0, 1]) < 5 / np.sqrt(first.size)


@pytest.mark.parametrize("shape", [[], [1], [3], [5, 7], [2, 3, 4]])
def test_draws_have_the_shape_of_the_mean(shape):
    assert standard(shape).shape == tuple(shape)


def test_half_precision_is_drawn_in_single():
    draws = standard([100_000], dtype="float16")
    assert draws.dtype == np.float16 and np.isfinite(draws).all()
    np.testing.assert_array_equal(draws, standard([100_000]).astype("float16"))


def test_mean_and_stddev_move_and_scale_the_same_draws_and_get_gradients():
    mean, stddev = tf.Variable([1.0, -2.0, 0.0]), tf.Variable([0.5, 2.0, 0.0])
    with tf.GradientTape() as tape:
        draws = noise.normal(mean, stddev, tf.constant([0, 0]))
    of_mean, of_stddev = tape.gradient(draws, [mean, stddev])
    np.testing.assert_allclose(draws, mean + stddev * standard([3]), rtol=1e-6)
    np.testing.assert_allclose(of_mean, np.ones(3))
    np.testing.assert_allclose(of_stddev, standard([3]), rtol=1e-6)


def test_a_seed_fixes_the_draws():
    np.testing.assert_array_equal(standard([10], seed=3), standard([10], seed=3))
    assert not np.intersect1d(standard([10], seed=3), standard([10], seed=4)).size


@pytest.mark.parametrize("examples", [1, 2, 5, 8])
def test_antithetic_draws_come_in_pairs_of_opposite_sign(examples):
    zeros = tf.zeros([examples, 3])
    draws = noise.antithetic_normal(zeros, 1 + zeros, tf.constant([0, 0])).numpy()
    half = (examples + 1) // 2
    assert draws.shape == (examples, 3) and np.unique(np.abs(draws[:half])).size == 3 * half
    np.testing.assert_array_equal(draws[half:], -draws[: examples - half])


def test_antithetic_draws_of_each_half_are_normal():
    zeros = tf.zeros([1000, 1000])
    for half in np.split(noise.antithetic_normal(zeros, 1 + zeros, tf.constant([0, 0])).numpy(), 2):
        assert scipy.stats.kstest(half.ravel(), "norm").pvalue > 1e-3


def test_antithetic_draws_take_mean_and_stddev_of_each_value():
    mean, stddev = tf.range(6.0)[:, None], 1 + tf.range(6.0)[:, None]
    draws = noise.antithetic_normal(mean, stddev, tf.constant([0, 0]))
    zeros = tf.zeros_like(mean)
    unit = noise.antithetic_normal(zeros, 1 + zeros, tf.constant([0, 0]))
    np.testing.assert_allclose(draws, mean + stddev * unit, rtol=1e-6)
