"""Default files run by LiteRT's CompiledModel, the interface that its documentation has for phones."""

import keras
import numpy as np
import pytest
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.hardware_accelerator import HardwareAccelerator
from keras import layers

from cvhn_tf import export
from cvhn_tf.export.clients import CLIENTS
from cvhn_tf.export.tflite.encodings import ENCODINGS


def flattening():
    inputs = keras.Input((12, 12, 3))
    x = layers.MaxPooling2D()(layers.Conv2D(6, 3, activation="relu")(inputs))
    return keras.Model(inputs, layers.Dense(5, "softmax")(layers.Dense(32, "relu")(layers.Flatten()(x))))


def residual():
    inputs = keras.Input((12, 12, 3))
    x = layers.Conv2D(8, 3, 2, padding="same", activation="relu")(inputs)
    x = layers.Add()([layers.Conv2D(12, 1, 2)(x), layers.SeparableConv2D(12, 3, 2, padding="same")(x)])
    return keras.Model(inputs, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))


def two_inputs_and_outputs():
    photo, facts = keras.Input((8, 8, 3)), keras.Input((6,))
    x = layers.Conv2D(8, 3, activation="relu")(photo)
    y = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), facts])
    return keras.Model([photo, facts], [layers.Dense(4)(y), layers.Dense(2)(layers.Flatten()(x))])


@pytest.mark.parametrize("quantization", CLIENTS["any"].encodings)
@pytest.mark.parametrize("make", [flattening, residual, two_inputs_and_outputs])
def test_default_file_gives_the_outputs_of_keras(make, quantization, tmp_path):
    keras.utils.set_random_seed(0)
    network, rng = make(), np.random.default_rng(0)
    x = [rng.normal(size=(20, *tensor.shape[1:])).astype("float32") for tensor in network.inputs]
    data = x if len(x) > 1 else x[0]
    artifact = export.to_tflite(network, quantization, representative_data=data)
    artifact.save(tmp_path / "network.tflite")
    compiled = CompiledModel.from_file(str(tmp_path / "network.tflite"), HardwareAccelerator.CPU)
    signature = compiled.get_signature_list()["serving_default"]
    sources, sinks = compiled.create_input_buffers(0), compiled.create_output_buffers(0)
    assert (len(signature["inputs"]), len(signature["outputs"])) == (len(sources), len(sinks))
    expected = dict(zip(network.output_names, keras.tree.flatten(network.predict(data, verbose=0)), strict=True))
    given = dict(zip((tensor.name for tensor in network.inputs), x, strict=True))
    for example in range(3):
        for name, source in zip(signature["inputs"], sources, strict=True):
            source.write(given[name][example : example + 1])
        compiled.run_by_index(0, sources, sinks)
        for name, sink in zip(signature["outputs"], sinks, strict=True):
            off = np.abs(sink.read(expected[name].shape[1], np.float32) - expected[name][example]).max()
            assert off < ENCODINGS[quantization].tolerance / 4 * np.abs(expected[name]).max()
