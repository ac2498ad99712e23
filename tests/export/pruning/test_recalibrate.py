"""Batch-normalization statistics become those of the network's own activations, and nothing else changes."""

import keras
import numpy as np
import pytest
from keras import layers
from long import long_but
from typer.testing import CliRunner

import cvhn_tf
from cvhn_tf import datasets, export
from cvhn_tf_cli import commands


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


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


@pytest.fixture(scope="module")
def short(digits):
    """A hypernetwork after a training too short for the momentum of its batch normalization."""
    keras.utils.set_random_seed(0)
    target = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(8, 3),
            layers.BatchNormalization(momentum=0.999),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(10, "softmax"),
        ]
    )
    model = cvhn_tf.VariationalHypernetwork(target, complexity_range=(0.01, 1.0), seed=0)
    model.compile(cvhn_tf.PivotAdam(), "sparse_categorical_crossentropy")
    model.fit(digits.x_train, digits.y_train, batch_size=32, epochs=5, verbose=0)
    return model


def accuracy_of(network, x, y):
    return np.mean(network(x).numpy().argmax(1) == y)


def test_short_training_is_at_its_accuracy_as_it_is(short, digits):
    """The first batches count in full, where Keras's rule would have left 80% of what no batch has given."""
    test = digits.x_test, digits.y_test
    fresh = accuracy_of(export.recalibrate(short.at(0.01), digits.x_train), *test)
    assert accuracy_of(short.at(0.01), *test) > fresh - 0.02 > 0.9


def test_comparison_and_search_recalibrate_where_they_have_training_examples(short, digits):
    test = digits.x_test, digits.y_test
    by_hand = accuracy_of(export.recalibrate(export.prune(short, 0.01, 0.5), digits.x_train), *test)
    arguments = {"complexities": [0.01], "sparsities": [0.5], "quantizations": [None]}
    (stale,) = export.compare(short, test, **arguments)
    (row,) = export.compare(short, test, **arguments, representative_data=digits.x_train)
    found = export.best(
        short, test, max_bytes=10**6, structures=["weight"], **arguments, representative_data=digits.x_train
    )
    assert row.keras_accuracy == by_hand != stale.keras_accuracy
    assert [row.accuracy, found.chosen.accuracy] == pytest.approx([by_hand, by_hand], abs=0.005)


@pytest.mark.parametrize("encoding", long_but({"dynamic_range"}.__contains__, ["float32", "dynamic_range", "auto"]))
def test_command_line_recalibrates_on_training_images(encoding, short, digits, tmp_path):
    short.save(tmp_path / "model.keras")
    by_hand = accuracy_of(export.recalibrate(short.at(0.01), digits.x_train[:1000]), digits.x_test, digits.y_test)
    output = tmp_path / "out.tflite"
    words = ["export", tmp_path / "model.keras", "--complexity", 0.01, "--encoding", encoding, "--dataset", "digits"]
    result = CliRunner().invoke(commands.app, [str(word) for word in [*words, "--output", output]])
    assert result.exit_code == 0, result.output
    assert f"{by_hand:.4f} in Keras" in result.output
    measured = export.evaluate_tflite(output, digits.x_test, digits.y_test)
    assert measured.accuracy == pytest.approx(by_hand, abs=0.01)


def test_bad_arguments_are_refused(network, x):
    with pytest.raises(ValueError, match="`x` of shapes"):
        export.recalibrate(network, x[..., :1])
    with pytest.raises(ValueError, match="batch_size"):
        export.recalibrate(network, x, batch_size=0)


@pytest.mark.parametrize(
    "noise",
    [
        lambda: layers.GaussianNoise(1.0),
        lambda: layers.RandomBrightness(0.8, value_range=(0.0, 1.0)),
        lambda: layers.SpatialDropout2D(0.5),
    ],
    ids=["noise", "augmentation", "dropout"],
)
@pytest.mark.parametrize("is_nested", [False, True])
def test_what_acts_in_training_alone_has_no_part_in_the_statistics(noise, is_nested):
    stack = [noise(), layers.Conv2D(2, 3), layers.BatchNormalization()]
    if is_nested:
        stack = [keras.Sequential([keras.Input((6, 6, 1)), *stack])]
    network = keras.Sequential([keras.Input((6, 6, 1)), *stack, layers.Flatten(), layers.Dense(2)])
    x = np.random.default_rng(0).uniform(size=(128, 6, 6, 1)).astype("float32")
    calibrated = export.recalibrate(network, x, batch_size=128)
    layer_of = {type(layer): layer for layer in calibrated._flatten_layers()}
    activations = layer_of[layers.Conv2D](x).numpy()
    np.testing.assert_allclose(layer_of[layers.BatchNormalization].moving_mean, activations.mean((0, 1, 2)), rtol=1e-4)
    np.testing.assert_allclose(
        layer_of[layers.BatchNormalization].moving_variance, activations.var((0, 1, 2)), rtol=1e-3
    )
    assert not layer_of[layers.BatchNormalization].losses and calibrated(x).shape == (128, 2)


@keras.saving.register_keras_serializable(package="test_recalibrate")
class Block(layers.Layer):
    """A layer of one's own, which does not speak of training."""

    def build(self, input_shape):
        self.normalization = layers.BatchNormalization()
        self.normalization.build(input_shape)

    def call(self, inputs):
        return self.normalization(inputs)


def test_normalization_within_a_layer_of_ones_own_is_measured(x):
    network = keras.Sequential([keras.Input((8, 2)), Block(), layers.Flatten(), layers.Dense(2)])
    calibrated = export.recalibrate(network, x, batch_size=96)
    np.testing.assert_allclose(calibrated.layers[0].normalization.moving_mean, x.mean((0, 1)), rtol=1e-4)
