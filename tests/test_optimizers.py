import keras
import numpy as np
import pytest
import tensorflow as tf

from cvhn_tf.optimizers import GrowThenDecay, HoldThenDecay, PivotAdam, default_optimizer


def test_rows_move_as_by_adam_of_their_own():
    """A row that is visited at some steps ends where plain Adam, given only those steps, takes it."""
    rng = np.random.default_rng(0)
    start = rng.normal(size=(5, 3)).astype("float32")
    pivots = keras.Variable(start)
    optimizer = PivotAdam(0.1, global_clipnorm=None)
    rows = [keras.Variable(row) for row in start]
    singles = [keras.optimizers.Adam(0.1) for _ in rows]
    for left in [0, 3, 0, 1, 1, 0]:
        values = rng.normal(size=(2, 3)).astype("float32")
        optimizer.apply([tf.IndexedSlices(values, tf.constant([left, left + 1]), tf.constant([5, 3]))], [pivots])
        for row, value in zip((left, left + 1), values, strict=True):
            singles[row].apply([tf.constant(value)], [rows[row]])
    np.testing.assert_allclose(pivots, np.stack([row.numpy() for row in rows]), atol=1e-5)


def test_repeated_rows_count_once_with_their_sum():
    slices = tf.IndexedSlices(np.ones((3, 2), "float32"), tf.constant([1, 2, 1]), tf.constant([6, 2]))
    sparse, dense = (keras.Variable(np.zeros((6, 2), "float32")) for _ in range(2))
    PivotAdam(0.1, epsilon=1.0, global_clipnorm=None).apply([slices], [sparse])
    PivotAdam(0.1, epsilon=1.0, global_clipnorm=None).apply([tf.convert_to_tensor(slices)], [dense])
    np.testing.assert_allclose(sparse, dense, atol=1e-7)


def test_dense_gradients_are_updated_as_by_adam():
    ours, theirs = keras.Variable([0.0, 0.0]), keras.Variable([0.0, 0.0])
    first, second = PivotAdam(0.1), keras.optimizers.Adam(0.1, global_clipnorm=1.0)
    for gradient in ([3.0, -1.0], [0.1, 0.2]):
        first.apply([tf.constant(gradient)], [ours])
        second.apply([tf.constant(gradient)], [theirs])
    # TensorFlow's kernel takes 1 - 0.999 in float32, which is off by 5e-5; the step has its square root.
    np.testing.assert_allclose(ours, theirs, rtol=2.5e-5)


def test_global_norm_of_sparse_gradients_is_clipped():
    clipped = PivotAdam(1.0)._clip_gradients([tf.IndexedSlices(np.full((1, 4), 3.0, "float32"), tf.constant([2]))])
    assert isinstance(clipped[0], tf.IndexedSlices)
    assert np.linalg.norm(clipped[0].values) == pytest.approx(1.0)


def test_optimizer_survives_its_config():
    optimizer = default_optimizer(100, learning_rate=1e-3, pretrained=True)
    copy = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert copy.get_config() == optimizer.get_config() and isinstance(copy, PivotAdam)
    assert copy.global_clipnorm == 1.0


def test_learning_rate_holds_for_half_of_the_training_and_ends_at_zero():
    schedule = HoldThenDecay(0.2, 100)
    np.testing.assert_allclose([schedule(step) for step in (0, 50, 75, 100, 150)], [0.2, 0.2, 0.1, 0, 0], atol=1e-6)


def test_learning_rate_of_trained_weights_grows_first():
    schedule = GrowThenDecay(0.2, 100)
    np.testing.assert_allclose(
        [schedule(step) for step in (0, 25, 50, 75, 100, 150)], [0, 0.05, 0.2, 0.1, 0, 0], atol=1e-6
    )
    first = [default_optimizer(100, pretrained=pretrained).learning_rate.numpy() for pretrained in (False, True)]
    np.testing.assert_allclose(first, [0.003, 0])


@pytest.mark.parametrize(("steps", "expected"), [(30, 3e-4), (300, 3e-3), (3000, 3e-3)])
def test_learning_rate_of_trained_weights_is_smaller_where_steps_are_few(steps, expected):
    schedule = default_optimizer(steps, pretrained=True)._learning_rate
    assert schedule(steps // 2).numpy() == pytest.approx(expected)
    assert default_optimizer(steps, 0.01, pretrained=True)._learning_rate(steps // 2).numpy() == pytest.approx(0.01)


@pytest.mark.parametrize("arguments", [(0, 10), (-1.0, 10), (1e-3, 0), (float("nan"), 10)])
def test_schedule_refuses_what_is_not_positive(arguments):
    with pytest.raises(ValueError, match="to be a positive number"):
        default_optimizer(arguments[1], arguments[0])


def test_amsgrad_is_refused():
    with pytest.raises(ValueError, match="Received: amsgrad=True"):
        PivotAdam(amsgrad=True)


@pytest.mark.parametrize("dtype", ["float64", "bfloat16"])
def test_rows_of_other_precisions_move(dtype):
    pivots = keras.Variable(np.zeros((5, 3)), dtype=dtype)
    gradient = tf.IndexedSlices(tf.ones((2, 3), dtype), tf.constant([1, 2]), tf.constant([5, 3]))
    PivotAdam(0.125).apply([gradient], [pivots])
    np.testing.assert_allclose(np.asarray(pivots, "float32")[:, 0], [0, -0.125, -0.125, 0, 0], rtol=1e-2)
