import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import cvhn_tf
from cvhn_tf import parameterizations, priors
from cvhn_tf.layers import Variational
from cvhn_tf.parameterizations import OptimalResponse

COMPLEXITIES = np.array([0.01, 0.1, 1.0, 10.0, 100.0], "float32")


def layer_of(prior="automatic_relevance", pivots=2, **arguments):
    layer = Variational(keras.layers.Dense(3), parameterization=OptimalResponse(pivots), prior=prior, **arguments)
    layer.build((None, 4))
    return layer


def variable_of(layer, name):
    return next(variable for variable in layer.variables if variable.name == name)


@pytest.mark.parametrize("prior", [priors.AutomaticRelevance(), priors.Normal(0.5), priors.ScaledNormal(0.5)])
def test_response_is_the_optimum_of_a_quadratic_loss(prior):
    """Derivatives of h (μ − w)² / 2 + h σ² / 2 + weight · KL / N are zero there, if λ_c is what it says."""
    best, curvature, examples = np.float32(0.3), 2.0, 50.0
    scale = best if isinstance(prior, priors.AutomaticRelevance) else prior.stddev
    log_critical = np.log(examples * curvature * scale**2)
    for complexity in COMPLEXITIES[0.9 * np.exp(log_critical) > COMPLEXITIES]:
        log_complexity = tf.constant([[np.log(complexity)]], tf.float32)
        shrinkage = prior.response.shrinkage(log_complexity - log_critical)
        mean, log_variance = best * (1 - shrinkage), prior.response.log_variance(best, shrinkage, log_complexity)
        stddev = tf.exp(0.5 * log_variance)
        with tf.GradientTape() as tape:
            tape.watch([mean, stddev])
            kl = prior.kl(tfp.distributions.Normal(mean, stddev), tf.constant([complexity]))
            of_kl = prior.kl_weight(tf.constant([complexity])) * kl / examples
            loss = curvature / 2 * (tf.square(mean - best) + tf.square(stddev)) + of_kl
        for gradient in tape.gradient(loss, [mean, stddev]):
            np.testing.assert_allclose(gradient, 0, atol=2e-4)


@pytest.mark.parametrize("prior", ["automatic_relevance", "log_uniform", "normal", "scaled_normal"])
def test_before_training_means_are_the_weights_and_stddevs_what_was_asked_for(prior):
    layer = layer_of(prior, initial_stddev=0.01)
    kernel, bias = layer.posteriors(tf.constant(COMPLEXITIES))
    weights = layer.replaced_weights()[0]
    for mean in kernel.loc:
        np.testing.assert_allclose(mean, weights, rtol=1e-5)
    np.testing.assert_array_equal(bias.loc, np.zeros((5, 3)))
    middle = np.sqrt(np.mean(np.square(kernel.scale[2])))
    np.testing.assert_allclose(middle, 0.01, rtol=0.02)
    assert (np.diff(kernel.scale, axis=0) > 0).all() or prior == "scaled_normal"


@pytest.mark.parametrize("dtype", ["float32", "float64", "mixed_bfloat16"])
@pytest.mark.parametrize("prior", ["automatic_relevance", "log_uniform", "normal", "scaled_normal", "l2"])
def test_before_training_means_are_the_weights_to_the_last_bit(prior, dtype):
    layer = Variational(
        keras.layers.Dense(37, dtype=dtype),
        prior=prior,
        estimator="deterministic" if prior == "l2" else "local_reparameterization",
    )
    layer.build((None, 13))
    for mean in layer.means(tf.constant(COMPLEXITIES))[0]:
        np.testing.assert_array_equal(mean, layer.replaced_weights()[0])


@pytest.mark.parametrize(
    "prior",
    [priors.AutomaticRelevance(), priors.LogUniform(), priors.Normal(0.01), priors.ScaledNormal(0.01), priors.L2()],
)
@pytest.mark.parametrize("complexity_range", [(1, 1.0001), (1e-8, 1e8), (1e-30, 1e30)])
def test_posteriors_and_gradients_are_finite_over_any_range(prior, complexity_range):
    """As where a mean has shrunk to 1e-9 of the weight before it is divided by as much."""
    layer = Variational(
        keras.layers.Dense(3, kernel_initializer=keras.initializers.RandomNormal(stddev=10.0)),
        complexity_range=complexity_range,
        prior=prior,
        estimator="deterministic" if prior.deterministic else "local_reparameterization",
        initial_stddev=1.0,
    )
    layer.build((None, 4))
    complexities = tf.constant(np.geomspace(*complexity_range, 7), tf.float32)
    with tf.GradientTape() as tape:
        posteriors = layer.posteriors(complexities)
        loss = tf.reduce_sum(layer.kl(posteriors, complexities))
    variables = [variable.value for variable in layer.trainable_variables]
    for gradient in tape.gradient(loss, variables, unconnected_gradients="zero"):
        assert np.isfinite(gradient).all()
    for mean in posteriors[0].loc:
        np.testing.assert_allclose(mean, layer.replaced_weights()[0], rtol=1e-5)


@pytest.mark.parametrize(
    ("prior", "complexity_range", "size"),
    [
        (priors.AutomaticRelevance(), (0.01, 100.0), 1e-6),
        (priors.AutomaticRelevance(), (1e-8, 1e8), 0.1),
        (priors.Normal(0.01), (0.01, 100.0), 0.1),
        (priors.ScaledNormal(1.0), (0.01, 1.0), 0.1),
    ],
)
def test_stddev_is_what_was_asked_for_in_the_middle_of_any_range(prior, complexity_range, size):
    layer = Variational(
        keras.layers.Dense(3, kernel_initializer=keras.initializers.RandomNormal(stddev=size)),
        complexity_range=complexity_range,
        prior=prior,
        initial_stddev=0.02,
    )
    layer.build((None, 4))
    kernel, _ = layer.posteriors(tf.constant([np.sqrt(np.prod(complexity_range))], tf.float32))
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(kernel.scale))), 0.02, rtol=1e-3)


@pytest.mark.parametrize("size", [1e-7, 1e-4, 0.1, 10.0])
@pytest.mark.parametrize("complexity_range", [(0.01, 100.0), (0.01, 1.0)])
@pytest.mark.parametrize("prior", ["automatic_relevance", "normal", "scaled_normal"])
def test_noise_before_training_is_relative_to_weights_of_any_size(prior, complexity_range, size):
    def relative_stddev(size, complexity_range):
        layer = Variational(
            keras.layers.Dense(3, kernel_initializer=keras.initializers.RandomNormal(stddev=size, seed=0)),
            complexity_range=complexity_range,
            prior=prior,
        )
        layer.build((None, 4))
        kernel, _ = layer.posteriors(tf.constant([np.sqrt(np.prod(complexity_range))], tf.float32))
        return np.sqrt(np.mean(np.square(kernel.scale))) / size

    # By a fitted prior it depends on where the middle of the range is.
    expected = relative_stddev(0.05, complexity_range if prior == "automatic_relevance" else (0.1, 10.0))
    np.testing.assert_allclose(relative_stddev(size, complexity_range), expected, rtol=0.02)


def test_a_weight_is_gone_above_its_own_complexity():
    layer = layer_of()
    log_criticals = variable_of(layer, "kernel_mean_log_critical")
    log_criticals.assign(log_criticals - 10)  # all others are gone
    log_criticals.assign(tf.tensor_scatter_nd_update(log_criticals.value, [[0, 0]], [0.0]))  # λ_c = 1
    variable_of(layer, "kernel_log_stddev").assign(np.zeros((4, 3)))
    posteriors = layer.posteriors(tf.constant(COMPLEXITIES))
    alive = np.asarray(posteriors[0].loc) != 0
    np.testing.assert_array_equal(alive[:, 0, 0], [True, True, False, False, False])
    assert not alive.reshape(5, -1)[:, 1:].any()
    nats = layer.kl(posteriors, tf.constant(COMPLEXITIES))
    share = 1 - 1 / (4 * 100) * COMPLEXITIES  # what the mean is divided by, so that it begins whole
    expected = 0.5 * np.log1p(99 / share[0] ** 2), 0.5 * np.log1p(9 / share[1] ** 2), 0, 0, 0
    np.testing.assert_allclose(nats, expected, atol=0.05)


def test_description_length_falls_by_half_a_nat_for_each_factor_of_e():
    layer = layer_of()
    variable_of(layer, "kernel_log_stddev").assign(np.zeros((4, 3)))
    nats = layer.kl(layer.posteriors(tf.constant(COMPLEXITIES)), tf.constant(COMPLEXITIES))
    np.testing.assert_allclose(np.diff(nats)[:3], -12 * 0.5 * np.log(10), rtol=0.05)


def test_noise_changes_when_a_weight_dies_and_not_the_weight():
    layer = layer_of()
    values, log_criticals = (variable_of(layer, name) for name in ("kernel_mean", "kernel_mean_log_critical"))
    with tf.GradientTape() as tape:
        noise = tf.reduce_sum(layer.posteriors(tf.constant([1.0]))[0].scale)
    of_values, of_log_criticals = tape.gradient(noise, [values.value, log_criticals.value])
    assert of_values is None
    assert (np.asarray(of_log_criticals) < 0).all()


def test_values_that_differ_over_the_range_are_learned_where_the_weight_lives():
    layer = layer_of()
    variables = layer.trainable_variables
    weights = np.asarray(layer.replaced_weights()[0])
    wanted = np.stack([1.5 * weights, 0.5 * weights])
    optimizer = keras.optimizers.Adam(0.01)
    optimizer.build(variables)

    def loss():
        return tf.reduce_mean(tf.square(layer.means(tf.constant([0.01, 100.0]))[0] - wanted))

    before = float(loss())
    for _ in range(200):
        with tf.GradientTape() as tape:
            value = loss()
        gradients = tape.gradient(value, [variable.value for variable in variables], unconnected_gradients="zero")
        optimizer.apply(gradients, variables)
    assert float(loss()) < 0.01 * before


@pytest.mark.parametrize("pivots", [0, 2, 3])
def test_copies_are_as_documented_and_a_config_makes_the_same(pivots):
    layer = layer_of(pivots=pivots)
    assert sum(variable.shape.num_elements() for variable in layer.trainable_variables) == 15 * (pivots + 3)
    again = parameterizations.get(keras.saving.serialize_keras_object(layer.parameterization))
    assert again.get_config() == {"pivots": pivots, "height_speed": 0.375}


def test_one_value_for_all_complexities_goes_with_several_in_a_step():
    target = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    model = cvhn_tf.VariationalHypernetwork(
        target, parameterization=OptimalResponse(pivots=0), complexity_samples=3, train_size=30, seed=0
    )
    model.compile(cvhn_tf.PivotAdam(), "sparse_categorical_crossentropy")
    losses = model.fit(np.ones((30, 4)), np.arange(30) % 3, epochs=2, verbose=0).history["loss"]
    assert np.isfinite(losses).all()


def test_priors_have_the_parameterization_that_goes_with_them():
    target = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    assert isinstance(cvhn_tf.VariationalHypernetwork(target).parameterization, OptimalResponse)
    model = cvhn_tf.VariationalHypernetwork(target, prior="group_relevance")
    assert isinstance(model.parameterization, parameterizations.Gated)


@pytest.mark.parametrize("speed", [0.375, 1.0, 2.0])
def test_heights_move_as_fast_as_was_said(speed):
    layer = Variational(keras.layers.Dense(3), parameterization=OptimalResponse(2, speed), initial_stddev=0.01)
    layer.build((None, 5))
    kernel = layer.posteriors(tf.constant(COMPLEXITIES))[0]
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(kernel.scale[2]))), 0.01, rtol=0.02)
    heights = variable_of(layer, "kernel_log_stddev")
    heights.assign_add(tf.fill(heights.shape, 0.1))
    moved = layer.posteriors(tf.constant(COMPLEXITIES))[0]
    np.testing.assert_allclose(np.log(moved.scale / kernel.scale), 0.1 * speed, rtol=1e-4)


def test_what_it_cannot_do_is_refused():
    with pytest.raises(ValueError, match=r"Expected `pivots` to be 0, or at least 2\. Received: pivots=1"):
        OptimalResponse(pivots=1)
    with pytest.raises(ValueError, match=r"Expected a prior whose optimal response is known.*GroupRelevance"):
        layer_of("group_relevance")
