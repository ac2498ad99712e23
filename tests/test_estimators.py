import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from keras import layers

from cvhn_tf import estimators
from cvhn_tf.estimators import LocalReparameterization, WeightSampling
from cvhn_tf.layers import Variational

LINEAR = {
    "dense": (lambda: layers.Dense(3), (6,)),
    "conv2d": (lambda: layers.Conv2D(3, 2, padding="same"), (3, 3, 2)),
    "depthwise_conv2d": (lambda: layers.DepthwiseConv2D(2), (3, 3, 2)),
    "conv2d_transpose": (lambda: layers.Conv2DTranspose(2, 2), (3, 3, 2)),
    "einsum_dense": (lambda: layers.EinsumDense("abc,cd->abd", (None, 2), bias_axes="d"), (3, 4)),
}


@pytest.mark.parametrize("make_layer, shape", LINEAR.values(), ids=LINEAR)
def test_local_reparameterization_matches_weight_sampling_in_mean_and_variance(make_layer, shape):
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, *shape)).astype("float32")
    layer = make_layer()
    layer.build(x.shape)
    draws = {}
    for estimator in (WeightSampling(), LocalReparameterization()):
        wrapper = Variational(layer.__class__.from_config(layer.get_config()), estimator=estimator, initial_stddev=0.3)
        wrapper.build(x.shape)
        for mean, weight in zip(wrapper._means, layer.trainable_variables, strict=True):
            mean.assign(tf.broadcast_to(weight, mean.shape))

        @tf.function
        def draw(seed, wrapper=wrapper):
            # Each of the 200 complexities has its own weights, so weight sampling is independent too.
            outputs, _ = wrapper(np.repeat(x, 200, 0), complexity=tf.ones(200), seed=seed, training=True)
            return outputs

        draws[type(estimator)] = np.concatenate([draw(tf.constant([0, i])) for i in range(25)])
    first, second = draws.values()
    samples = len(first)
    stddev = first.std(0)
    assert stddev.min() > 0.05
    np.testing.assert_allclose(first.mean(0), second.mean(0), atol=5 * stddev.max() * np.sqrt(2 / samples))
    np.testing.assert_allclose(first.var(0) / second.var(0), 1, atol=5 * np.sqrt(4 / samples))


def test_local_reparameterization_draws_independent_noise_for_each_example():
    wrapper = Variational(layers.Dense(3), estimator="local_reparameterization", initial_stddev=1.0)
    outputs, _ = wrapper(np.ones((2, 4)), complexity=tf.ones(1), seed=tf.constant([1, 2]), training=True)
    assert np.all(outputs[0] != outputs[1])
    wrapper = Variational(layers.Dense(3), estimator="weight_sampling", initial_stddev=1.0)
    outputs, _ = wrapper(np.ones((2, 4)), complexity=tf.ones(1), seed=tf.constant([1, 2]), training=True)
    np.testing.assert_array_equal(outputs[0], outputs[1])


def test_float16_variance_neither_overflows_nor_vanishes():
    def function(inputs, weights):
        return tf.matmul(tf.cast(inputs, tf.float16), tf.cast(weights[0], tf.float16))

    posterior = tfp.distributions.Normal(tf.zeros((4, 1)), 1e-5 * tf.ones((4, 1)))
    x = tf.constant([[1000.0, 1000.0, 1000.0, 1000.0]] * 2000, tf.float16)  # 1000² is infinite in float16
    outputs = LocalReparameterization().sample(function, x, [posterior], tf.constant([1, 2]))
    assert np.std(outputs.numpy().astype("float32")) == pytest.approx(0.02, rel=0.1)


def test_layer_without_linear_form_falls_back_to_weight_sampling():
    assert isinstance(Variational(layers.LSTM(2)).estimator, WeightSampling)
    assert isinstance(Variational(layers.Dense(2)).estimator, LocalReparameterization)


def test_estimator_survives_its_config():
    for estimator in (WeightSampling(), LocalReparameterization()):
        assert type(estimators.get(keras.saving.serialize_keras_object(estimator))) is type(estimator)
