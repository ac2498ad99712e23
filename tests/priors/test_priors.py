import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from keras import layers
from repeated import repeated

import cvhn_tf
from cvhn_tf import priors
from cvhn_tf.priors.log_uniform_distribution import LogUniform
from cvhn_tf.tensors import channels

tfd = tfp.distributions


@pytest.fixture
def posterior():
    rng = np.random.default_rng(0)
    return tfd.Normal(
        rng.normal(size=(2, 3, 4)).astype("float32"), np.exp(rng.normal(size=(2, 3, 4)).astype("float32") - 1)
    )


def test_normal_kl_matches_monte_carlo(posterior):
    prior = tfd.Normal(0.0, 0.7)
    weights = posterior.sample(200_000, seed=(1, 2))
    log_ratio = tf.reduce_sum(posterior.log_prob(weights) - prior.log_prob(weights), [2, 3])
    standard_error = tf.math.reduce_std(log_ratio, 0) / np.sqrt(200_000)
    error = priors.Normal(0.7).kl(posterior, tf.ones(2)) - tf.reduce_mean(log_ratio, 0)
    assert np.all(np.abs(error) < 5 * standard_error)


def test_automatic_relevance_kl_is_the_least_over_all_prior_variances(posterior):
    kl = priors.AutomaticRelevance().kl(posterior, tf.ones(2))
    fitted = tfd.Normal(0.0, tf.sqrt(posterior.loc**2 + posterior.scale**2))
    np.testing.assert_allclose(kl, tf.reduce_sum(tfd.kl_divergence(posterior, fitted), [1, 2]), rtol=1e-5)
    for factor in (0.9, 1.1):
        other = tfd.Normal(0.0, fitted.scale * factor)
        assert np.all(kl < tf.reduce_sum(tfd.kl_divergence(posterior, other), [1, 2]))


def test_scaled_normal_is_a_normal_prior_that_complexity_narrows(posterior):
    complexity = tf.constant([0.04, 25.0])
    kl = priors.ScaledNormal(0.7).kl(posterior, complexity)
    for i, stddev in enumerate((0.7 / 0.2, 0.7 / 5)):
        np.testing.assert_allclose(kl[i], priors.Normal(stddev).kl(posterior, complexity)[i], rtol=1e-5)
    np.testing.assert_array_equal(priors.ScaledNormal(0.7).kl_weight(complexity), [1, 1])
    np.testing.assert_array_equal(priors.Normal(0.7).kl_weight(complexity), complexity)


def test_scaled_normal_pulls_means_as_the_weighted_normal_does_and_rewards_noise_at_any_complexity_alike():
    mean, log_stddev = tf.Variable([[0.3, -2.0]]), tf.Variable([[-1.0, 0.2]])
    complexity = tf.constant([25.0])
    slopes = {}
    for prior in (priors.Normal(0.7), priors.ScaledNormal(0.7)):
        with tf.GradientTape() as tape:
            loss = prior.kl_weight(complexity) * prior.kl(tfd.Normal(mean, tf.exp(log_stddev)), complexity)
        slopes[type(prior)] = tape.gradient(loss, [mean, log_stddev])
    normal, scaled = slopes.values()
    np.testing.assert_allclose(scaled[0], normal[0], rtol=1e-5)
    # d/d log stddev of the weighted KL is weight · (λ stddev²/… − 1): only the −1 is weighed differently.
    np.testing.assert_allclose(scaled[1] - normal[1], [[24.0, 24.0]], rtol=1e-4)


def test_log_uniform_kl_is_the_numerical_integral_within_the_error_of_the_fit():
    log_alpha = np.linspace(-12, 12, 97)
    snr = np.exp(-log_alpha / 2)
    kl = tfd.kl_divergence(
        tfd.Normal(np.float32(0.3) * np.ones(97, "float32"), (0.3 / snr).astype("float32")), LogUniform()
    )
    # w / stddev ~ N(snr, 1), and the constant makes the KL of pure noise 0: KL = E log|snr + ε| − E log|ε|.
    step = 1e-4
    noise = np.arange(-10, 10, step) + step / 2
    density = np.exp(-(noise**2) / 2) / np.sqrt(2 * np.pi)
    log_noise = -(np.euler_gamma + np.log(2)) / 2
    expected = [np.sum(density * np.log(np.abs(ratio + noise + 1e-9))) * step - log_noise for ratio in snr]
    assert np.abs(kl - expected).max() < 0.0095


def test_log_uniform_kl_depends_on_the_snr_alone_and_is_smooth_at_zero():
    mean = tf.Variable([[0.0, 1e-30, 0.5, -5.0]])
    stddev = tf.constant([[1.0, 1e-3, 0.1, 1.0]])
    with tf.GradientTape() as tape:
        kl = priors.LogUniform().kl(tfd.Normal(mean, stddev), tf.ones(1))
    gradient = tape.gradient(kl, mean)
    assert np.isfinite(gradient).all() and gradient[0, 0] == 0
    each = tfd.kl_divergence(tfd.Normal(mean, stddev), LogUniform())[0]
    np.testing.assert_allclose(each[:2], [0, 0], atol=1e-6)
    np.testing.assert_allclose(each[2], each[3], rtol=1e-5)


def group_variance(posterior, unit_axes):
    others = [axis for axis in range(1, len(posterior.batch_shape)) if axis not in unit_axes]
    return tf.reduce_mean(posterior.loc**2 + posterior.scale**2, others, keepdims=True)


@pytest.mark.parametrize("axis, unit_axes", [("output", [2]), ("input", [1])])
def test_group_kl_is_the_least_over_all_variances_of_units(posterior, axis, unit_axes):
    kl = priors.GroupRelevance(axis).kl(posterior, tf.ones(2))
    variance = group_variance(posterior, unit_axes)
    fitted = tfd.kl_divergence(posterior, tfd.Normal(0.0, tf.sqrt(variance)))
    np.testing.assert_allclose(kl, tf.reduce_sum(fitted, [1, 2]), rtol=1e-5)
    for i in range(variance.shape[unit_axes[0]]):
        for factor in (0.8, 1.25):
            scale = tf.where(tf.one_hot(i, variance.shape[unit_axes[0]], on_value=True, off_value=False), factor, 1.0)
            scale = tf.reshape(scale, [1, *variance.shape[1:]])
            other = tfd.kl_divergence(posterior, tfd.Normal(0.0, tf.sqrt(variance * scale)))
            assert np.all(kl < tf.reduce_sum(other, [1, 2]))


def test_group_of_one_weight_is_automatic_relevance():
    rng = np.random.default_rng(0)
    posterior = tfd.Normal(rng.normal(size=(2, 5)), np.exp(rng.normal(size=(2, 5))))
    for axis in ("output", "input"):
        kl = priors.GroupRelevance(axis).kl(posterior, tf.ones(2))
        np.testing.assert_allclose(kl, priors.AutomaticRelevance().kl(posterior, tf.ones(2)), rtol=1e-6)


# Layer, its input, and along which axes of its kernel (0 is that of the complexities) the units lie.
UNITS = {
    "dense": (lambda: layers.Dense(3), (6,), {"output": [2], "input": [1]}),
    "conv2d": (lambda: layers.Conv2D(3, 2), (4, 4, 5), {"output": [4], "input": [3]}),
    "conv2d_transpose": (lambda: layers.Conv2DTranspose(3, 2), (4, 4, 5), {"output": [3], "input": [4]}),
    "depthwise_conv2d": (lambda: layers.DepthwiseConv2D(2), (4, 4, 5), {"output": [3, 4], "input": [3]}),
    "separable_conv2d": (lambda: layers.SeparableConv2D(3, 2), (4, 4, 5), {"output": [3, 4], "input": [3]}),
    "einsum_dense": (
        lambda: layers.EinsumDense("abc,dec->abde", (None, 2, 3)),
        (4, 5),
        {"output": [1, 2], "input": [3]},
    ),
    "ellipsis": (lambda: layers.EinsumDense("...b,cb->...c", (4, 3)), (4, 5), {"output": [1], "input": [2]}),
}


@pytest.mark.parametrize("axis", ["output", "input"])
@pytest.mark.parametrize("make_layer, shape, unit_axes", UNITS.values(), ids=UNITS)
def test_units_lie_where_the_layer_has_them(make_layer, shape, unit_axes, axis):
    wrapper = cvhn_tf.Variational(make_layer(), prior=priors.GroupRelevance(axis))
    wrapper.build((1, *shape))
    posteriors = wrapper.posteriors(tf.ones(2))
    expected = priors.AutomaticRelevance().kl(posteriors[0], tf.ones(2)) * 0
    for posterior in posteriors:
        name = wrapper.replaced_weights()[posteriors.index(posterior)].name
        if name == "bias":
            expected += priors.AutomaticRelevance().kl(posterior, tf.ones(2))
        elif name == "pointwise_kernel":
            expected += priors.GroupRelevance(axis).kl(posterior, tf.ones(2))
        else:
            prior = tfd.Normal(0.0, tf.sqrt(group_variance(posterior, unit_axes[axis])))
            kl = tf.reshape(tfd.kl_divergence(posterior, prior), [2, -1])
            expected += tf.reduce_sum(kl, 1)
    np.testing.assert_allclose(wrapper.kl(posteriors, tf.ones(2)), expected, rtol=1e-4)


def test_units_without_a_use_die_as_a_whole(data):
    """Of eight inputs four are noise that the labels do not depend on: all their weights tell nothing."""
    x, y = data
    x = np.concatenate([x[:, :4], np.random.default_rng(1).normal(size=(64, 4))], 1).astype("float32")
    target = keras.Sequential([keras.Input((8,)), layers.Dense(16, "relu"), layers.Dense(3, "softmax")])
    model = cvhn_tf.VariationalHypernetwork(
        target,
        complexity_range=(0.1, 0.4),
        prior=priors.GroupRelevance("input"),
        parameterization="constant",
        train_size=64,
    )
    model.compile(cvhn_tf.PivotAdam(2e-2), "sparse_categorical_crossentropy")
    model.fit(*repeated((x, y), 30), batch_size=16, epochs=4, verbose=0)
    posterior = model.posterior(0.3)[model.at(0.3).layers[0].kernel.path]
    snr = np.abs(posterior.loc / posterior.scale).max(1)
    assert snr[4:].max() < 1 and np.sort(snr[:4])[-2] > 2


@pytest.mark.parametrize("axis", ["filter", None, 0])
def test_bad_axis_is_refused(axis):
    with pytest.raises(ValueError, match=r"`axis`.*Received: axis="):
        priors.GroupRelevance(axis)


def test_channels_of_tensors():
    conv = layers.Conv2D(3, 2, data_format="channels_first")
    assert channels.of_tensors(conv) == channels.ChannelAxes((1,), (1,))
    assert channels.of_tensors(layers.Dense(2)) == channels.LAST
    einsum = layers.EinsumDense("abc,dec->abde", (None, 2, 3))
    assert channels.of_tensors(einsum) == channels.ChannelAxes((2,), (2, 3))


def test_l2_is_the_negative_log_density_of_a_normal_up_to_a_constant():
    weights = tf.constant([[0.5, -2.0, 0.1]])
    kl = priors.L2(0.3).kl(tfd.Deterministic(weights), tf.ones(1))
    expected = tf.reduce_sum(tfd.Normal(0.0, 0.3).log_prob(0.0) - tfd.Normal(0.0, 0.3).log_prob(weights), 1)
    np.testing.assert_allclose(kl, expected, rtol=1e-6)


def test_kl_is_zero_for_a_posterior_that_equals_the_prior():
    posterior = tfd.Normal(tf.zeros((1, 5)), 0.3 * tf.ones((1, 5)))
    np.testing.assert_allclose(priors.Normal(0.3).kl(posterior, tf.ones(1)), [0.0], atol=1e-6)
    np.testing.assert_allclose(priors.AutomaticRelevance().kl(posterior, tf.ones(1)), [0.0], atol=1e-6)


@pytest.mark.parametrize(
    "prior",
    [
        priors.Normal(0.5),
        priors.ScaledNormal(0.5),
        priors.AutomaticRelevance(),
        priors.GroupRelevance("input"),
        priors.LogUniform(),
        priors.L2(0.5),
    ],
)
def test_prior_survives_its_config(prior):
    copy = priors.get(keras.saving.serialize_keras_object(prior))
    assert type(copy) is type(prior) and copy.get_config() == prior.get_config()


@pytest.mark.parametrize("stddev", [0, -1.0, float("nan")])
@pytest.mark.parametrize("prior", [priors.Normal, priors.ScaledNormal, priors.L2])
def test_bad_stddev_is_refused(prior, stddev):
    with pytest.raises(ValueError, match="Received: stddev="):
        prior(stddev)


@pytest.mark.parametrize("identifier", ["gaussian", 3, None, {"class_name": "Dense"}])
def test_unknown_prior_is_refused(identifier):
    with pytest.raises(ValueError, match="prior"):
        priors.get(identifier)
