import keras
import numpy as np
import pytest
import tensorflow as tf

from cvhn_tf import parameterizations
from cvhn_tf.parameterizations import Constant, Linear, PiecewiseLinear


def make_variable(parameterization, copies, shape=(3, 2)):
    variable = parameterization.create(keras.layers.Layer(), "w", np.zeros(shape, "float32"))
    assert variable.shape == (copies, *shape)
    variable.assign(np.random.default_rng(0).normal(size=variable.shape))
    return variable


# Two complexities of nine pivots are gathered; ten complexities use nearly all pivots, which are multiplied.
@pytest.mark.parametrize("repeats", [1, 5])
def test_pivots_are_hit_exactly_and_between_them_is_a_straight_line(repeats):
    parameterization = PiecewiseLinear(pivots=9)
    variable = make_variable(parameterization, 9)
    for i in range(8):
        at_pivot = parameterization.evaluate(variable, tf.constant([i / 8, (i + 1) / 8] * repeats))
        np.testing.assert_array_equal(at_pivot[0], variable[i])
        np.testing.assert_array_equal(at_pivot[1], variable[i + 1])
        between = parameterization.evaluate(variable, tf.constant([(i + 0.25) / 8] * 2 * repeats))
        np.testing.assert_allclose(between[0], 0.75 * variable[i] + 0.25 * variable[i + 1], atol=1e-6)


def test_one_complexity_gives_gradients_to_its_two_pivots_only():
    parameterization = PiecewiseLinear(pivots=9)
    variable = make_variable(parameterization, 9)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(parameterization.evaluate(variable, tf.constant([0.3])))
    gradient = tape.gradient(loss, variable.value)
    assert isinstance(gradient, tf.IndexedSlices)
    np.testing.assert_array_equal(gradient.indices, [2, 3])
    np.testing.assert_allclose(gradient.values[:, 0, 0], [0.6, 0.4], atol=1e-6)


def test_linear_is_its_ends_and_the_line_between():
    variable = make_variable(Linear(), 2)
    values = Linear().evaluate(variable, tf.constant([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(values, [variable[0], (variable[0] + variable[1]) / 2, variable[1]], atol=1e-6)


def test_constant_does_not_depend_on_complexity():
    variable = make_variable(Constant(), 1)
    values = Constant().evaluate(variable, tf.constant([0.0, 0.7]))
    np.testing.assert_array_equal(values, [variable[0], variable[0]])


@pytest.mark.parametrize("parameterization", [Constant(), Linear(), PiecewiseLinear(7)])
def test_initial_value_is_the_same_at_every_complexity(parameterization):
    value = np.random.default_rng(0).normal(size=(3, 2)).astype("float32")
    variable = parameterization.create(keras.layers.Layer(), "w", value)
    for encoded in (0.0, 0.123, 1.0):
        np.testing.assert_allclose(parameterization.evaluate(variable, tf.constant([encoded]))[0], value, rtol=1e-6)


@pytest.mark.parametrize("parameterization", [Constant(), Linear(), PiecewiseLinear(7)])
def test_parameterization_survives_its_config(parameterization):
    copy = parameterizations.get(keras.saving.serialize_keras_object(parameterization))
    assert type(copy) is type(parameterization) and copy.get_config() == parameterization.get_config()


@pytest.mark.parametrize("pivots", [1, 0, -2, 2.5, True, "3"])
def test_bad_pivots_are_refused(pivots):
    with pytest.raises(ValueError, match="Received: pivots="):
        PiecewiseLinear(pivots)
