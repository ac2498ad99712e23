import keras
import numpy as np
import pytest
import tensorflow as tf

import cvhn_tf
from cvhn_tf import parameterizations, targets
from cvhn_tf.complexity import ComplexityRange
from cvhn_tf.parameterizations import (
    Constant,
    Gated,
    Generated,
    Hierarchical,
    Linear,
    LowRank,
    OptimalResponse,
    PiecewiseLinear,
)
from cvhn_tf.parameterizations.base import LOG_STDDEV_RATE
from cvhn_tf.priors import AutomaticRelevance


class Owner(keras.layers.Layer):
    """A layer as `create` wants it."""

    complexity_range, shared = ComplexityRange(), None
    prior, initial_stddev = AutomaticRelevance(), "relative"


def make_variable(parameterization, copies, shape=(3, 2)):
    variable = parameterization.create(Owner(), "w", np.zeros(shape, "float32"))
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


def test_hierarchical_is_a_shared_tensor_and_piecewise_linear_deviations():
    hierarchical, piecewise_linear = Hierarchical(pivots=4), PiecewiseLinear(pivots=4)
    variable = make_variable(hierarchical, 5)
    deviations = keras.Variable(variable[1:])
    encoded = tf.constant([0.0, 0.2, 1 / 3, 0.9, 1.0])
    values = hierarchical.evaluate(variable, encoded)
    np.testing.assert_allclose(values, variable[0] + piecewise_linear.evaluate(deviations, encoded), atol=1e-6)


@pytest.mark.parametrize("threshold", [0.2, 0.5])
def test_a_gate_closes_where_the_complexity_passes_its_threshold(threshold):
    parameterization = Gated(sharpness=40.0)
    variables = parameterization.create(Owner(), "kernel_mean", np.ones((3, 2), "float32"))
    variables["thresholds"].assign(np.full((3, 2), threshold))
    below, at, above = parameterization.evaluate(variables, tf.constant([threshold - 0.2, threshold, threshold + 0.2]))
    np.testing.assert_allclose(below, 1, atol=1e-3)
    np.testing.assert_allclose(at, 0.5, atol=1e-3)
    np.testing.assert_allclose(above, 0, atol=1e-3)


def growing(**arguments):
    """A parameterization of log-stddevs, their variables, and what they are before training."""
    start, gated, layer = np.arange(6, dtype="float32").reshape(3, 2), Gated(**arguments), Owner()
    gated.create(layer, "kernel_mean", start)
    return gated, gated.create(layer, "kernel_log_stddev", start), start


@pytest.mark.parametrize("power", [None, 0.0, 0.5])
def test_gated_stddevs_grow_by_a_power_of_the_complexity_of_each_weights_own(power):
    gated, variables, start = growing(stddev_power=power, stddev_gate=0.0)
    encoded = tf.constant([0.0, 0.25, 1.0])  # λ = 0.01, 0.1, 100
    rise = LOG_STDDEV_RATE * (gated.evaluate(variables, encoded) - start)
    expected = np.log(10) * np.array([-2, -1, 2]) * (power or 0.0)
    np.testing.assert_allclose(rise, np.broadcast_to(expected[:, None, None], rise.shape), atol=1e-5)
    line = variables["ends" if power is None else "growing"]
    line.assign(np.random.default_rng(0).normal(size=(2, 3, 2)))
    low, between, high = gated.evaluate(variables, encoded)
    np.testing.assert_allclose(between, 0.75 * low + 0.25 * high, rtol=1e-5, atol=1e-5)
    assert np.unique(high - low).size == 6


def test_a_gate_that_closes_takes_the_noise_with_it():
    gated, variables, _ = growing(sharpness=8.0, stddev_power=0.25, stddev_gate=0.5)
    encoded = tf.constant([0.0, 0.75, 1.0])
    before = gated.evaluate(variables, encoded)
    variables["thresholds"].assign(np.full((3, 2), 0.5))

    def gates(threshold):
        return 1 / (1 + np.exp(-8.0 * (threshold - encoded.numpy())))

    change = np.exp(LOG_STDDEV_RATE * (gated.evaluate(variables, encoded) - before))
    expected = np.sqrt(gates(0.5) / gates(gated.threshold))
    np.testing.assert_allclose(change, np.broadcast_to(expected[:, None, None], change.shape), rtol=1e-4)


def test_what_large_complexities_have_of_their_own_has_larger_gradients():
    plain, boosted = Gated(gradient_power=1.0), Gated(gradient_power=0.5)
    for encoded, complexity in ((0.0, 0.01), (0.75, 10.0)):
        gradients = []
        for gated in (plain, boosted):
            means = gated.create(Owner(), "kernel_mean", np.arange(1, 7, dtype="float32").reshape(3, 2))
            with tf.GradientTape() as tape:
                outputs = tf.reduce_sum(gated.evaluate(means, tf.constant([encoded])))
            gradients.append(tape.gradient(outputs, [means["values"].value, means["thresholds"].value]))
        boost = np.sqrt(1 + complexity)
        (values, thresholds), (boosted_values, boosted_thresholds) = gradients
        np.testing.assert_allclose(boosted_values[:2], values[:2], rtol=1e-5)
        np.testing.assert_allclose(boosted_values[2], boost * values[2], rtol=1e-5)
        np.testing.assert_allclose(boosted_thresholds, boost * thresholds, rtol=1e-5)


def test_a_config_of_before_means_the_gates_of_then():
    old = parameterizations.get({"class_name": "cvhn_tf>Gated", "config": {"pivots": 2, "sharpness": 2.0}})
    assert (old.threshold, old.stddev_power, old.stddev_gate, old.gradient_power) == (1.6, None, 0.0, 1.0)
    again = parameterizations.get(keras.saving.serialize_keras_object(old))
    assert again.get_config() == old.get_config()
    between = {"pivots": 2, "sharpness": 2.0, "threshold": 1.6, "stddev_slope": None, "gradient_power": 1.0}
    assert Gated.from_config(between).get_config() == old.get_config()
    sloped = Gated.from_config(between | {"stddev_slope": 2.3})
    assert sloped.stddev_power == pytest.approx(0.25, abs=1e-3) and sloped.stddev_gate == 0


ALL = [Constant(), Gated(3, 8.0), Hierarchical(3), Linear(), PiecewiseLinear(7), LowRank(1, 3), Generated(6, 3, 10)]
ALL += [Gated(2, 4.0, 1.3, stddev_power=0.25, stddev_gate=0.5, gradient_power=0.5), OptimalResponse()]


def create(parameterization, value, name="kernel_mean"):
    layer = Owner()
    layer.shared = parameterization.create_shared(("mean", "log_stddev"))
    return parameterization.create(layer, name, value), layer


@pytest.mark.parametrize("shape", [(), (5,), (9, 8), (6, 1), (3, 3, 2, 4)], ids=str)
@pytest.mark.parametrize("parameterization", ALL)
def test_initial_value_is_the_same_at_every_complexity(parameterization, shape):
    value = np.random.default_rng(0).normal(size=shape).astype("float32")
    variables, _ = create(parameterization, value)
    values = parameterization.evaluate(variables, tf.constant([0.0, 0.123, 1.0]))
    np.testing.assert_allclose(values, [value] * 3, rtol=1e-6)


@pytest.mark.parametrize("shape", [(5,), (3, 3, 2, 4)], ids=str)
@pytest.mark.parametrize("parameterization", ALL[1:-1])
def test_every_variable_gets_a_gradient_and_any_dependence_on_complexity_is_learned(parameterization, shape):
    start = np.random.default_rng(0).normal(size=shape).astype("float32")
    # The same deviation of all weights: of any rank, and for any chunk.
    wanted = np.stack([start + 0.5, start - 1.0])
    variables, layer = create(parameterization, start)
    trained = [v for v in layer.trainable_variables if "log_stddev" not in v.path]
    optimizer = keras.optimizers.Adam(0.03)
    optimizer.build(trained)

    def loss():
        values = parameterization.evaluate(variables, tf.constant([0.0, 1.0]))
        return tf.reduce_mean(tf.square(values - wanted))

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            value = loss()
        gradients = [tf.convert_to_tensor(g) for g in tape.gradient(value, [v.value for v in trained])]
        optimizer.apply(gradients, trained)
        return gradients

    before = float(loss())
    gradients = [step() for _ in range(200)]
    # Zero factors keep gradients from the others at the first step only.
    assert all(np.any(gradient != 0) for gradient in gradients[1])
    assert float(loss()) < 0.02 * before


@pytest.mark.parametrize("parameterization", [LowRank(), Generated()])
def test_near_one_copy_of_the_weights(parameterization):
    target = targets.lenet_300_100((28, 28, 1), 10)
    model = cvhn_tf.VariationalHypernetwork(target, parameterization=parameterization)
    copies = sum(int(np.prod(v.shape)) for v in model.trainable_variables) / (2 * target.count_params())
    assert 1 < copies < 1.1


def test_low_rank_deviations_have_the_rank_and_vectors_any_value():
    parameterization = LowRank(rank=2, hidden=5)
    variables, layer = create(parameterization, np.zeros((9, 8), "float32"))
    for variable in layer.trainable_variables:
        variable.assign(np.random.default_rng(0).normal(size=variable.shape))
    deviations = parameterization.evaluate(variables, tf.constant([0.1, 0.6])) - variables["base"]
    assert [np.linalg.matrix_rank(deviation, tol=1e-4) for deviation in deviations] == [2, 2]
    # The factors of a column would hold more than the column itself.
    variables, _ = create(parameterization, np.zeros((9, 1), "float32"))
    assert variables["offset"].shape == (5, 9)


def test_generating_network_is_one_for_the_model(target):
    model = cvhn_tf.VariationalHypernetwork(target, parameterization=Generated(6, 3, 10))
    first, second = (layer for layer in model._flatten_layers() if isinstance(layer, cvhn_tf.Variational))
    assert first.shared is second.shared
    weights = [v for v in model.trainable_variables if "generator" in v.path]
    assert len(weights) == 5  # two of the hidden layer's inputs, its bias, the outputs of means and log-stddevs
    other = cvhn_tf.VariationalHypernetwork(target, parameterization=model.parameterization)
    assert not {id(v) for v in other.trainable_variables} & {id(v) for v in model.trainable_variables}


@pytest.mark.parametrize("parameterization", ALL)
def test_parameterization_survives_its_config(parameterization):
    copy = parameterizations.get(keras.saving.serialize_keras_object(parameterization))
    assert type(copy) is type(parameterization) and copy.get_config() == parameterization.get_config()


@pytest.mark.parametrize("pivots", [1, 0, -2, 2.5, True, "3"])
def test_bad_pivots_are_refused(pivots):
    with pytest.raises(ValueError, match="Received: pivots="):
        PiecewiseLinear(pivots)


@pytest.mark.parametrize("sharpness", [0, -1.0, float("nan"), float("inf"), True, "3"])
def test_bad_sharpness_is_refused(sharpness):
    with pytest.raises(ValueError, match="Received: sharpness="):
        Gated(sharpness=sharpness)


@pytest.mark.parametrize(
    "name, value",
    [("threshold", value) for value in (0.9, 11, float("nan"), True, "3")]
    + [("stddev_power", value) for value in (-0.1, 1.1, float("nan"), "3")]
    + [("stddev_gate", value) for value in (-0.1, 1.1, float("nan"), None, "3")]
    + [("gradient_power", value) for value in (-0.1, 1.1, float("nan"), None, "3")],
)
def test_bad_slopes_and_powers_are_refused(name, value):
    with pytest.raises(ValueError, match=f"Received: {name}="):
        Gated(**{name: value})


@pytest.mark.parametrize("value", [0, -1, 2.5, True, "3"])
@pytest.mark.parametrize(
    "parameterization, name",
    [(LowRank, "rank"), (LowRank, "hidden"), (Generated, "hidden"), (Generated, "embedding"), (Generated, "chunk")],
)
def test_bad_sizes_are_refused(parameterization, name, value):
    with pytest.raises(ValueError, match=f"Received: {name}="):
        parameterization(**{name: value})
