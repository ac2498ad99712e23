import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import cvhn_tf
from cvhn_tf.layers.variational import Variational


def test_batch_is_shared_out_between_the_complexities_in_order():
    wrapper = Variational(layers.Dense(3, "relu"), parameterization="hierarchical")
    x = np.random.default_rng(0).normal(size=(7, 4)).astype("float32")
    wrapper.build(x.shape)
    for variable in wrapper._means:
        variable.assign(np.random.default_rng(1).normal(size=variable.shape))
    together, kl = wrapper(x, complexity=[0.02, 5.0])
    first, first_kl = wrapper(x[:4], complexity=[0.02])  # one each, and two thirds of the rest
    second, second_kl = wrapper(x[4:], complexity=[5.0])
    np.testing.assert_allclose(together, tf.concat([first, second], 0), atol=1e-6)
    np.testing.assert_allclose(kl, tf.concat([first_kl, second_kl], 0), rtol=1e-5)
    assert np.any(np.abs(together[:3] - wrapper(x[:3], complexity=[5.0])[0]) > 0.1)


@pytest.mark.parametrize("layer", [layers.Dense(3), layers.Conv2D(3, 2, padding="same"), layers.LSTM(3)])
def test_fewer_examples_than_complexities_work(layer):
    shapes = {layers.Dense: (4,), layers.Conv2D: (3, 3, 2), layers.LSTM: (5, 2)}
    wrapper = Variational(layer)
    x = np.ones((2, *shapes[type(layer)]), "float32")
    wrapper.build(x.shape)

    @tf.function
    def gradients():
        with tf.GradientTape() as tape:
            outputs, kl = wrapper(x, complexity=[0.1, 1.0, 10.0], seed=tf.constant([0, 1]), training=True)
            loss = tf.reduce_sum(tf.square(outputs)) + tf.reduce_sum(kl)
        return outputs, kl, tape.gradient(loss, [v.value for v in wrapper.trainable_variables])

    outputs, kl, computed = gradients()
    assert outputs.shape[0] == 2 and kl.shape == (3,)
    assert all(np.isfinite(gradient).all() for gradient in computed)


def test_no_noise_outside_training_and_new_noise_for_each_seed():
    wrapper = Variational(layers.Dense(3), initial_stddev=1.0)
    x = np.ones((2, 4), "float32")
    wrapper.build(x.shape)
    kernel, bias = (posterior.loc[0] for posterior in wrapper.posteriors(tf.constant([1.0])))
    np.testing.assert_allclose(wrapper(x, complexity=[1.0])[0], x @ kernel + bias, rtol=1e-5)
    first, same, other = (wrapper(x, complexity=[1.0], seed=tf.constant([1, s]), training=True)[0] for s in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert np.all(first != other)


def test_gradients_are_divided_by_one_plus_complexity():
    wrapper = Variational(layers.Dense(1, use_bias=False), parameterization="constant")
    x = np.ones((1, 4), "float32")
    wrapper.build(x.shape)
    gradients = []
    for complexity in (1.0, 99.0):
        with tf.GradientTape() as tape:
            outputs = tf.reduce_sum(wrapper(x, complexity=[complexity])[0])
        gradients.append(tape.gradient(outputs, wrapper._means[0].value).numpy())
    np.testing.assert_allclose(gradients[0], 1 / 2, rtol=1e-6)
    np.testing.assert_allclose(gradients[1], 1 / 100, rtol=1e-6)


def test_training_without_a_seed_is_refused():
    with pytest.raises(ValueError, match="needs `seed`"):
        Variational(layers.Dense(3))(np.ones((2, 4)), complexity=[1.0], training=True)


def test_mask_reaches_the_layers_behind():
    x = np.array([[1, 2, 0, 0], [3, 0, 0, 0], [1, 1, 1, 1]])
    embedding = Variational(layers.Embedding(5, 3, mask_zero=True))
    for complexities in ([1.0], [0.1, 10.0]):
        outputs, _ = embedding(x, complexity=complexities)
        np.testing.assert_array_equal(outputs._keras_mask, x != 0)


def test_wrapper_survives_its_config_with_the_activation():
    wrapper = Variational(
        layers.Dense(3, "tanh"), complexity_range=(0.5, 2), prior="normal", estimator="weight_sampling"
    )
    copy = Variational.from_config(wrapper.get_config())
    assert copy.get_config() == wrapper.get_config()
    x = np.random.default_rng(0).normal(size=(2, 4)) * 100
    assert np.abs(copy(x, complexity=[1.0])[0]).max() <= 1


@pytest.mark.parametrize(
    "layer, problem",
    [
        (layers.Dense(2, kernel_constraint="non_neg", name="limited"), "constraint NonNeg"),
        (layers.Dense(2, activity_regularizer="l2", name="limited"), "regularizer L2; .*ActivityRegularization"),
        (layers.LSTM(2, stateful=True, name="limited"), "stateful"),
    ],
)
def test_layer_that_cannot_be_random_is_named(layer, problem):
    inputs = keras.Input(batch_shape=(2, 3, 4)) if layer.__class__ is layers.LSTM else keras.Input((4,))
    with pytest.raises(ValueError, match=f"'limited'.*{problem}"):
        cvhn_tf.VariationalHypernetwork(keras.Model(inputs, layer(inputs)))
