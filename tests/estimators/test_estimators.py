import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from keras import layers

import cvhn_tf
from cvhn_tf import estimators
from cvhn_tf.estimators import Deterministic, Flipout, LocalReparameterization, WeightSampling
from cvhn_tf.layers.variational import Variational

LINEAR = {
    "dense": (lambda: layers.Dense(3), (6,)),
    "conv2d": (lambda: layers.Conv2D(3, 2, padding="same"), (3, 3, 2)),
    "conv1d": (lambda: layers.Conv1D(2, 2), (4, 3)),
    "depthwise_conv2d": (lambda: layers.DepthwiseConv2D(2), (3, 3, 2)),
    "conv2d_transpose": (lambda: layers.Conv2DTranspose(2, 2), (3, 3, 2)),
    "einsum_dense": (lambda: layers.EinsumDense("abc,cd->abd", (None, 2), bias_axes="d"), (3, 4)),
}


def draws_of(estimator, make_layer, x, repeats=1):
    """5,000 draws of a layer's outputs for copies of one example, of shape (draws, repeats, *output)."""
    keras.utils.set_random_seed(0)  # the same weights for each estimator
    layer = make_layer()
    wrapper = Variational(layer, estimator=estimator, initial_stddev=0.3, parameterization="constant")
    wrapper.build(x.shape)

    @tf.function
    def draw(seed):
        # Each of the 40 complexities has its own weights, so that weight sampling is independent too.
        batch = np.repeat(x, 40 * repeats, 0)
        outputs, _ = wrapper(batch, complexity=tf.ones(40), seed=seed, training=True)
        return tf.reshape(outputs, [40, repeats, *outputs.shape[1:]])

    with pytest.MonkeyPatch.context() as patch:
        # Each complexity gets as many examples as any other.
        patch.setattr(
            "cvhn_tf.complexity.batch_parts.batch_shares", lambda complexities: [1 / complexities] * complexities
        )
        return np.concatenate([draw(tf.constant([0, i])) for i in range(125)])


@functools.cache
def draws_by_weight_sampling(name):
    """One example of a linear layer, and draws of the layer's outputs for it."""
    make_layer, shape = LINEAR[name]
    x = np.random.default_rng(0).normal(size=(1, *shape)).astype("float32")
    return x, draws_of(WeightSampling(), make_layer, x)[:, 0]


@pytest.mark.parametrize("estimator", [LocalReparameterization(), Flipout()], ids=["local", "flipout"])
@pytest.mark.parametrize("name", LINEAR)
def test_estimator_matches_weight_sampling_in_mean_and_variance(name, estimator):
    x, first = draws_by_weight_sampling(name)
    second = draws_of(estimator, LINEAR[name][0], x)[:, 0]
    samples = len(first)
    stddev = first.std(0)
    assert stddev.min() > 0.05
    np.testing.assert_allclose(first.mean(0), second.mean(0), atol=5 * stddev.max() * np.sqrt(2 / samples))
    np.testing.assert_allclose(first.var(0) / second.var(0), 1, atol=5 * np.sqrt(4 / samples))


@pytest.mark.parametrize("name", ["conv1d", "einsum_dense"])
def test_flipout_matches_weight_sampling_in_the_covariance_of_an_examples_outputs(name):
    """Positions of a feature map share their weights, and so their noise; local reparameterization loses this."""
    make_layer, shape = LINEAR[name]
    x = np.random.default_rng(0).normal(size=(1, *shape)).astype("float32")
    covariances = {}
    for estimator in (WeightSampling(), Flipout(), LocalReparameterization()):
        draws = draws_of(estimator, make_layer, x)
        covariances[type(estimator)] = np.cov(draws.reshape(len(draws), -1).T)
    sampled, flipped, local = covariances.values()
    error = 5 * sampled.max() * np.sqrt(2 / 5000)
    np.testing.assert_allclose(flipped, sampled, atol=error)
    assert np.abs(local - sampled).max() > 2 * error


def test_flipout_noise_of_two_examples_that_share_a_perturbation_is_uncorrelated():
    x = np.random.default_rng(0).normal(size=(1, 6)).astype("float32")
    correlations = {}
    for estimator in (WeightSampling(), Flipout()):
        draws = draws_of(estimator, lambda: layers.Dense(1), x, repeats=2)[..., 0]
        correlations[type(estimator)] = np.corrcoef(draws.T)[0, 1]
    assert correlations[WeightSampling] == pytest.approx(1)
    assert abs(correlations[Flipout]) < 5 / np.sqrt(5000)


def test_flipout_shares_the_size_of_the_perturbation_between_examples():
    """One weight without bias: the noise of two examples differs by its sign alone."""
    draws = draws_of(Flipout(), lambda: layers.Dense(1, use_bias=False, kernel_initializer="zeros"), np.ones((1, 1)), 2)
    np.testing.assert_allclose(np.abs(draws[:, 0]), np.abs(draws[:, 1]), rtol=1e-6)
    assert 0.4 < np.mean(draws[:, 0] == draws[:, 1]) < 0.6


def noise_of(estimator, examples):
    """Outputs for copies of one example by a layer whose mean is zero."""
    wrapper = Variational(layers.Dense(3, kernel_initializer="zeros"), estimator=estimator, initial_stddev=1.0)
    outputs, _ = wrapper(np.ones((examples, 4)), complexity=tf.ones(1), seed=tf.constant([1, 2]), training=True)
    return outputs.numpy()


def test_local_reparameterization_draws_noise_for_half_of_the_examples_and_gives_the_others_its_negative():
    draws = noise_of("local_reparameterization", 6)
    assert np.unique(draws[:3]).size == 9
    np.testing.assert_array_equal(draws[3:], -draws[:3])
    draws = noise_of("weight_sampling", 2)
    np.testing.assert_array_equal(draws[0], draws[1])


def test_float16_variance_neither_overflows_nor_vanishes():
    def function(inputs, weights):
        return tf.matmul(tf.cast(inputs, tf.float16), tf.cast(weights[0], tf.float16))

    posterior = tfp.distributions.Normal(tf.zeros((4, 1)), 1e-5 * tf.ones((4, 1)))
    x = tf.constant([[1000.0, 1000.0, 1000.0, 1000.0]] * 2000, tf.float16)  # 1000² is infinite in float16
    outputs = LocalReparameterization().sample(function, x, [posterior], tf.constant([1, 2]))
    assert np.std(outputs.numpy().astype("float32")) == pytest.approx(0.02, rel=0.1)


def test_layer_without_linear_form_falls_back_to_weight_sampling():
    assert isinstance(Variational(layers.LSTM(2)).estimator, WeightSampling)
    assert isinstance(Variational(layers.LSTM(2), estimator="flipout").estimator, WeightSampling)
    assert isinstance(Variational(layers.Dense(2)).estimator, LocalReparameterization)


def test_estimator_survives_its_config():
    for estimator in (WeightSampling(), LocalReparameterization(), Flipout(), Deterministic()):
        assert type(estimators.get(keras.saving.serialize_keras_object(estimator))) is type(estimator)


@pytest.mark.parametrize("estimator", ["local_reparameterization", "flipout", "weight_sampling"])
def test_tensorflow_optimizes_the_training_step(capfd, estimator):
    """It gives up where it finds a ReLU of a sum that noise would be a part of, says so in its log, and goes on."""
    target = keras.Sequential([keras.Input((8,)), layers.Dense(16, "relu"), layers.Dense(3)])
    model = cvhn_tf.VariationalHypernetwork(target, estimator=estimator)
    model.compile("sgd", "mse")
    model.fit(np.ones((16, 8)), np.ones((16, 3)), batch_size=8, verbose=0)
    assert "optimization failure" not in capfd.readouterr().err
