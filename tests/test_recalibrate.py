"""Batch-normalization statistics become those of the network's own activations, and nothing else changes."""

import keras
import numpy as np
import pytest
from keras import layers

import cvhn_tf
from cvhn_tf import export


@pytest.fixture
def network():
    inner_input = keras.Input((8, 4))
    inner = keras.Model(inner_input, layers.BatchNormalization(name="second")(layers.Conv1D(3, 3)(inner_input)))
    inputs = keras.Input((8, 2))
    x = layers.BatchNormalization(name="first")(layers.Conv1D(4, 1, name="convolution")(inputs))
    x = layers.Dropout(0.5)(layers.ReLU()(x))
    return keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling1D()(inner(x))))


@pytest.fixture
def x():
    return (3 + 2 * np.random.default_rng(0).normal(size=(96, 8, 2))).astype("float32")


def test_statistics_are_those_of_the_activations(network, x):
    before = network.get_weights()
    calibrated = export.recalibrate(network, x, batch_size=32)
    activations = keras.Model(network.inputs, network.get_layer("convolution").output)(x).numpy()
    first = calibrated.get_layer("first")
    np.testing.assert_allclose(first.moving_mean, activations.mean((0, 1)), rtol=1e-4)
    np.testing.assert_allclose(first.moving_variance, activations.var((0, 1)), rtol=0.05)
    assert first.momentum == network.get_layer("first").momentum
    assert [layer.rate for layer in calibrated._flatten_layers() if isinstance(layer, layers.Dropout)] == [0.5]
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    for old, new in zip(network.trainable_weights, calibrated.trainable_weights, strict=True):
        np.testing.assert_array_equal(old, new)


def test_on_one_batch_the_network_does_what_it_does_in_training_without_dropout(network, x):
    """Deeper statistics follow from the shallower ones of the same pass, those of models within the model too."""
    network.get_layer(index=4).rate = 0.0
    expected = keras.models.clone_model(network)
    expected.set_weights(network.get_weights())
    np.testing.assert_allclose(export.recalibrate(network, x, 96)(x), expected(x, training=True), atol=1e-4)


def test_network_without_batch_normalization_is_handed_back(target, data):
    assert export.recalibrate(target, data[0]) is target


def test_short_training_is_at_its_accuracy_only_after_recalibration():
    rng = np.random.default_rng(0)
    y = np.arange(256) % 2
    x = (10 + rng.normal(size=(256, 8)) + 2 * y[:, None]).astype("float32")
    target = keras.Sequential(
        [keras.Input((8,)), layers.Dense(16), layers.BatchNormalization(momentum=0.999), layers.ReLU(), layers.Dense(1)]
    )
    model = cvhn_tf.VariationalHypernetwork(target, complexity_range=(0.01, 1.0))
    model.compile(cvhn_tf.PivotAdam(), keras.losses.BinaryCrossentropy(from_logits=True))
    model.fit(x, y[:, None], batch_size=32, epochs=8, verbose=0)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    stale = float(loss(y[:, None], model.at(0.01)(x)))
    fresh = float(loss(y[:, None], export.recalibrate(model.at(0.01), x)(x)))
    assert fresh < 0.1 and fresh < 0.5 * stale


def test_bad_arguments_are_refused(network, x):
    with pytest.raises(ValueError, match="`x` of shapes"):
        export.recalibrate(network, x[..., :1])
    with pytest.raises(ValueError, match="batch_size"):
        export.recalibrate(network, x, batch_size=0)
