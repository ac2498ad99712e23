"""Which tensors each encoding passes over: what the file says of itself is what it holds."""

import json

import keras
import numpy as np
import pytest
from keras import layers

from cvhn_tf import export
from cvhn_tf.export.tflite.flatbuffer import parse, type_name


def conv3d():
    return keras.Sequential(
        [keras.Input((5, 5, 5, 8)), layers.Conv3D(8, 3), layers.Flatten(), layers.Dense(64), layers.Dense(2)]
    )


def depthwise():
    return keras.Sequential(
        [keras.Input((6, 6, 128)), layers.DepthwiseConv2D(3), layers.Conv2D(32, 1), layers.Flatten(), layers.Dense(2)]
    )


def test_float32_passes_nothing_over():
    assert export.to_tflite(conv3d(), client="cpu").unquantized == ()
    assert export.to_tflite(conv3d(), "float16", client="cpu").unquantized_bytes == 0


@pytest.mark.parametrize(
    ("make", "quantization", "operation"),
    [
        (conv3d, "dynamic_range", "CONV_3D"),
        (conv3d, "int8", "CONV_3D"),
        (conv3d, "weight_only_int8", "CONV_3D"),
        (depthwise, "weight_only_int4", "DEPTHWISE_CONV_2D"),
    ],
)
def test_layers_without_integers_are_named_with_their_bytes(make, quantization, operation, tmp_path):
    network = make()
    x = np.random.default_rng(0).normal(size=(16, *network.input_shape[1:])).astype("float32")
    artifact = export.to_tflite(network, quantization, representative_data=x, client="cpu")
    (kernel,) = [tensor for tensor in artifact.unquantized if operation in tensor.reason]
    size = network.layers[0].kernel.numpy().nbytes
    assert (kernel.dtype, kernel.size_bytes) == ("float32", size) and artifact.unquantized_bytes >= size
    export.annotate(artifact).save(tmp_path / "network.tflite")
    told = json.loads((tmp_path / "network.json").read_text())["unquantized"]
    assert {"name": kernel.name, "dtype": "float32", "size_bytes": size, "reason": kernel.reason} in told


def test_small_kernels_stay_float_in_dynamic_range_only():
    network = keras.Sequential([keras.Input((64,)), layers.Dense(64), layers.Dense(4)])
    (small,) = export.to_tflite(network, "dynamic_range", client="cpu").unquantized
    assert small.size_bytes == 64 * 4 * 4 and "1,024" in small.reason
    assert export.to_tflite(network, "weight_only_int8", client="cpu").unquantized == ()


@pytest.mark.parametrize("quantization", ["dynamic_range", "int8", "weight_only_int8", "weight_only_int4"])
def test_no_large_tensor_in_float_is_kept_from_the_user(quantization):
    network = depthwise()
    x = np.random.default_rng(0).normal(size=(16, 6, 6, 128)).astype("float32")
    artifact = export.to_tflite(network, quantization, representative_data=x, client="cpu")
    model = parse(artifact.content)
    names = {tensor.name for tensor in artifact.unquantized}
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            data = model.buffers[tensor.buffer].data
            if data is not None and type_name(tensor) == "FLOAT32" and len(data) >= 4096:
                assert tensor.name.decode() in names
