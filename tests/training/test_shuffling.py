"""Batches whose order is a function of the seed and the epoch."""

import numpy as np

import cvhn_tf


def epochs_of(batches, steps, count):
    """The indices that the batches of each epoch hold."""
    taken = iter(batches)
    return [np.concatenate([next(taken)[1].numpy() for _ in range(steps)]) for _ in range(count)]


def test_each_epoch_is_a_permutation_of_its_own():
    x, y = np.arange(10, dtype="float32") * 2, np.arange(10)
    batches = cvhn_tf.shuffled_batches((x, y), 4, seed=0)
    assert [len(batch_x) for batch_x, _ in batches.take(4)] == [4, 4, 2, 4]
    for batch_x, batch_y in batches.take(6):
        np.testing.assert_array_equal(batch_x, batch_y * 2)
    first, second = epochs_of(batches, 3, 2)
    np.testing.assert_array_equal(np.sort(first), y)
    np.testing.assert_array_equal(np.sort(second), y)
    assert not np.array_equal(first, second)


def test_order_depends_on_seed_and_epoch_alone():
    y = np.arange(100)
    whole = epochs_of(cvhn_tf.shuffled_batches((y, y), 30, seed=5), 4, 4)
    resumed = epochs_of(cvhn_tf.shuffled_batches((y, y), 30, seed=5, first_epoch=2), 4, 2)
    np.testing.assert_array_equal(whole[2:], resumed)
    other = epochs_of(cvhn_tf.shuffled_batches((y, y), 30, seed=6), 4, 1)
    assert not np.array_equal(whole[0], other[0])
