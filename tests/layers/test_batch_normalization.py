"""Batch normalization of a hypernetwork has the statistics of each λ, and is Keras's layer otherwise."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import cvhn_tf
from cvhn_tf import datasets, export
from cvhn_tf.complexity import ComplexityRange
from cvhn_tf.layers.batch_normalization import BatchNormalization

BOUNDS = ComplexityRange(0.01, 100.0)
GRID = BOUNDS.grid(9)


def made(trained=False, shape=(None, 3), **kwargs):
    layer = layers.BatchNormalization(**kwargs)
    layer.build(shape)
    if trained:
        layer.moving_mean.assign([1.0, 2.0, 3.0])
    return BatchNormalization.of(layer, BOUNDS)


def tensor(complexity):
    return tf.constant([complexity], tf.float32)


def batch(complexity, rng, size=256):
    """Inputs whose mean and stddev are linear in log λ, from 0 and 1 to 8 and 3."""
    encoded = float(BOUNDS.encode(tf.constant(complexity)))
    return (8 * encoded + (1 + 2 * encoded) * rng.normal(size=(size, 3))).astype("float32")


def test_statistics_follow_complexity():
    layer, rng = made(), np.random.default_rng(0)
    for complexity in 10 ** rng.uniform(-2, 2, 2000):
        layer(batch(complexity, rng), complexity=tensor(complexity), training=True)
    for complexity in GRID:
        encoded = float(BOUNDS.encode(tf.constant(complexity)))
        mean, variance = layer.statistics(tensor(complexity))
        np.testing.assert_allclose(mean, 8 * encoded, atol=0.8)  # averages alone are off by 4 at both ends
        np.testing.assert_allclose(np.sqrt(variance), 1 + 2 * encoded, atol=0.3)
        x = batch(complexity, rng, 4000)
        normalized = layer(x, complexity=tensor(complexity), training=False).numpy()
        assert np.abs(normalized.mean(axis=0)).max() < 0.5


def test_one_batch_is_all_that_is_known_after_it():
    layer, x = made(), np.random.default_rng(0).normal(5, 2, (64, 3)).astype("float32")
    expected = layers.BatchNormalization()(x, training=True)
    np.testing.assert_allclose(layer(x, complexity=tensor(1.0), training=True), expected, atol=1e-5)
    for complexity in GRID:
        mean, variance = layer.statistics(tensor(complexity))
        np.testing.assert_allclose(mean, x.mean(axis=0), rtol=1e-5)
        np.testing.assert_allclose(variance, x.var(axis=0), rtol=1e-4)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.99, 1.0])
def test_trained_averages_move_as_in_keras(momentum):
    layer, keras_layer = made(trained=True, momentum=momentum), layers.BatchNormalization(momentum=momentum)
    keras_layer.build((None, 3))
    keras_layer.moving_mean.assign([1.0, 2.0, 3.0])
    rng = np.random.default_rng(0)
    for complexity in GRID:
        x = rng.normal(size=(32, 3)).astype("float32")
        layer(x, complexity=tensor(complexity), training=True)
        keras_layer(x, training=True)
        np.testing.assert_allclose(layer.moving_mean, keras_layer.moving_mean, rtol=1e-4)
        np.testing.assert_allclose(layer.moving_variance, keras_layer.moving_variance, rtol=1e-4)
    for complexity in GRID:
        assert np.all(np.isfinite(layer.statistics(tensor(complexity))))
        assert np.all(layer.statistics(tensor(complexity))[1] >= 0)


def test_frozen_layer_stays():
    layer = made(trained=True)
    layer.trainable = False
    before = [variable.numpy() for variable in layer.variables]
    x = np.random.default_rng(0).normal(size=(32, 3)).astype("float32")
    outputs = layer(x, complexity=tensor(1.0), training=True)
    np.testing.assert_allclose(outputs, (x - [1, 2, 3]) / np.sqrt(1.001), rtol=1e-5, atol=1e-5)
    for variable, value in zip(layer.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_half_precision_keeps_complexity_and_statistics_in_full():
    given = layers.BatchNormalization(dtype="mixed_bfloat16")
    given.build((None, 3))
    layer, rng = BatchNormalization.of(given, BOUNDS), np.random.default_rng(0)
    near = [1.0, 1.003]  # equal in bfloat16
    for complexity in near:
        outputs = layer(tf.cast(batch(complexity, rng), "bfloat16"), complexity=tensor(complexity), training=True)
    assert outputs.dtype == "bfloat16"
    assert layer.mean_deviations.dtype == "float32"
    weights = [layer._pivot_weights(tensor(complexity)).numpy() for complexity in near]
    assert not np.array_equal(*weights)


def test_masked_steps_do_not_count():
    x = np.random.default_rng(0).normal(size=(16, 5, 3)).astype("float32")
    x[:, 3:] = 0.0
    masked = layers.Masking()(x)
    expected = layers.BatchNormalization()(masked, training=True)
    layer = made(shape=(None, 5, 3))
    outputs = layer(masked, complexity=tensor(1.0), training=True)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    np.testing.assert_allclose(layer.moving_mean, x[:, :3].mean(axis=(0, 1)), atol=1e-5)
    assert outputs._keras_mask is not None


def test_masks_reach_normalization_and_what_follows_in_a_model():
    network = keras.Sequential(
        [
            keras.Input((5, 3)),
            layers.Masking(),
            layers.TimeDistributed(layers.Dense(4)),
            layers.BatchNormalization(),
            layers.LSTM(2),
        ]
    )
    x = np.random.default_rng(0).normal(size=(64, 5, 3)).astype("float32")
    x[:, 2:] = 0.0
    model = cvhn_tf.VariationalHypernetwork(network, estimator="weight_sampling", initial_stddev=1e-6, seed=0)
    model(x, complexity=1.0, training=True)
    (layer,) = (layer for layer in model._graph.layers if isinstance(layer, BatchNormalization))
    before = keras.Model(network.inputs, network.layers[-3].output)(x).numpy()
    np.testing.assert_allclose(layer.moving_mean, before[:, :2].mean(axis=(0, 1)), atol=1e-4)
    np.testing.assert_allclose(model(x, complexity=1.0), model.at(1.0)(x), atol=1e-5)


def test_single_frozen_weights_stay_frozen():
    given = layers.BatchNormalization()
    given.build((None, 3))
    given.gamma.trainable = False
    layer = BatchNormalization.of(given, BOUNDS)
    assert [weight.name for weight in layer.trainable_weights] == ["beta"]


def convolutional():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3, use_bias=False),
            layers.BatchNormalization(scale=False),
            layers.ReLU(),
            layers.Conv2D(16, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10, "softmax"),
        ]
    )


def accuracy(network, data):
    return float(np.mean(network.predict(data.x_test, verbose=0).argmax(axis=-1) == data.y_test))


@pytest.fixture(scope="module")
def trained():
    data = datasets.load("digits")
    keras.utils.set_random_seed(0)
    model = cvhn_tf.VariationalHypernetwork(convolutional(), complexity_range=(0.01, 10.0), seed=0)
    model.compile(cvhn_tf.default_optimizer(460), "sparse_categorical_crossentropy")
    model.fit(data.x_train, data.y_train, epochs=10, verbose=0)
    return model, data


def with_averages(model, complexity):
    """The network at a λ with the statistics of all λ together."""
    network = model.at(complexity)
    ours = [layer for layer in model._graph.layers if isinstance(layer, BatchNormalization)]
    theirs = [layer for layer in network.layers if isinstance(layer, layers.BatchNormalization)]
    for own, layer in zip(ours, theirs, strict=True):
        layer.moving_mean.assign(own.moving_mean)
        layer.moving_variance.assign(own.moving_variance)
    return network


def test_networks_are_ready_without_data(trained):
    model, data = trained
    lost = {"own": 0.0, "averages": 0.0}
    for complexity in (0.01, 0.1, 1.0):
        recalibrated = accuracy(export.recalibrate(model.at(complexity), data.x_train), data)
        lost["own"] += recalibrated - accuracy(model.at(complexity), data)
        lost["averages"] += recalibrated - accuracy(with_averages(model, complexity), data)
    assert lost["own"] < 0.4 * lost["averages"]


def test_network_computes_what_the_model_does(trained, tmp_path):
    model, data = trained
    model.save(tmp_path / "model.keras")
    loaded = cvhn_tf.load_model(tmp_path / "model.keras")
    x = data.x_test[:32]
    for complexity in (0.01, 0.5, 10.0):
        expected = model(x, complexity=complexity).numpy()
        np.testing.assert_allclose(model.at(complexity)(x), expected, atol=1e-5)
        np.testing.assert_array_equal(loaded(x, complexity=complexity), expected)


@pytest.mark.parametrize(
    ("layer", "parameterization"),
    [
        (layers.BatchNormalization(), "constant"),  # of which all λ have one network
        (layers.BatchNormalization(synchronized=True), "gated"),
        (layers.BatchNormalization(renorm=True), "gated"),
    ],
)
def test_layers_whose_statistics_stay_keras_own(layer, parameterization):
    network = keras.Sequential([keras.Input((4,)), layers.Dense(3), layer, layers.Dense(2)])
    model = cvhn_tf.VariationalHypernetwork(network, parameterization=parameterization)
    assert not any(isinstance(layer, BatchNormalization) for layer in model._graph.layers)
    model.compile("adam", "mse")
    model.fit(np.ones((8, 4)), np.ones((8, 2)), verbose=0)
