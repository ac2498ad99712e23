import keras
import numpy as np
import pytest
from keras import layers
from long import long_but

from cvhn_tf import export
from cvhn_tf.export.search.size_bound import dense_bytes, least_bytes, least_gzip_bytes
from cvhn_tf.export.tflite.encodings import ENCODINGS


def dense():
    return keras.Sequential([keras.Input((600,)), layers.Dense(100, "relu"), layers.Dense(10, "softmax")])


def convolutional():
    return keras.Sequential(
        [keras.Input((8, 8, 4)), layers.Conv2D(32, 3, activation="relu"), layers.Flatten(), layers.Dense(10)]
    )


def normalized():
    block = [layers.Conv2D(64, 3, use_bias=False), layers.BatchNormalization(), layers.ReLU()]
    return keras.Sequential([keras.Input((8, 8, 2)), *block, layers.GlobalAveragePooling2D(), layers.Dense(10)])


def with_zeros(network, share, block):
    """Sets single weights, or blocks of four inputs, to zero."""
    rng = np.random.default_rng(0)
    for layer in network.layers:
        if layer.weights:
            kernel, *others = layer.get_weights()
            if block and kernel.ndim == 2 and kernel.shape[0] % 4 == 0:
                kept = np.repeat(rng.random((kernel.shape[0] // 4, kernel.shape[1])) >= share, 4, axis=0)
            else:
                kept = rng.random(kernel.shape) >= share if kernel.ndim > 1 else 1
            layer.set_weights([kernel * kept, *others])
    return network


@pytest.mark.parametrize("make", [dense, convolutional, normalized], ids=lambda f: f.__name__)
@pytest.mark.parametrize("share", long_but({0.8, 0.9}.__contains__, [0.0, 0.8, 0.9, 0.98]))
def test_no_file_is_smaller_than_its_bound(make, share):
    network = with_zeros(make(), share, block=share == 0.9)
    representative_data = np.random.default_rng(1).normal(size=(8, *network.input_shape[1:]))
    for quantization in ENCODINGS:
        artifact = export.to_tflite(network, quantization, representative_data=representative_data, client="cpu")
        assert least_bytes(network, quantization) <= artifact.size_bytes
        assert least_gzip_bytes(network, quantization) <= artifact.gzip_bytes


@pytest.mark.parametrize("make", [dense, convolutional], ids=lambda f: f.__name__)
def test_dense_files_take_alike_beside_their_weights(make):
    """Names and operations, which pruning and removed units hardly change: 0.6 to 4 kB."""
    for network in (make(), with_zeros(make(), 0.2, False)):
        for quantization in (None, "float16", "dynamic_range"):
            artifact = export.to_tflite(network, quantization, sparse=False, client="cpu")
            assert 600 < artifact.size_bytes - dense_bytes(network, quantization) < 4000


def test_bound_is_near_the_file_where_weights_are_most_of_it():
    network = with_zeros(dense(), 0.8, False)
    for quantization in (None, "float16", "dynamic_range"):
        artifact = export.to_tflite(network, quantization, client="cpu")
        assert artifact.size_bytes < 1.25 * least_bytes(network, quantization)


@pytest.mark.parametrize(
    "quantization, levels",
    [("dynamic_range", 31), ("weight_only_int8", 31), ("weight_only_int4", 7), ("dynamic_int4", 7)],
)
def test_gzip_bound_of_rounded_weights_is_near_the_file(quantization, levels):
    network = with_zeros(dense(), 0.8, False)
    for layer in network.layers:
        if layer.weights:
            kernel, bias = layer.get_weights()
            step = np.abs(kernel).max(axis=0) / levels
            layer.set_weights([step * np.rint(kernel / step), bias])
    gzip_bytes = export.to_tflite(network, quantization, client="cpu").gzip_bytes
    assert 0.5 * gzip_bytes < least_gzip_bytes(network, quantization) <= gzip_bytes


def test_normalization_that_goes_into_the_layer_before_it_is_not_counted():
    stack = [
        layers.Dense(300, use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Dense(300, use_bias=False),
    ]
    network = keras.Sequential([keras.Input((20,)), *stack, layers.BatchNormalization()])
    for quantization in (None, "float16"):
        assert least_bytes(network, quantization) <= export.to_tflite(network, quantization, client="cpu").size_bytes
