"""One frozen graph serves all encodings of a network, and changes nothing in the files."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from cvhn_tf import export
from cvhn_tf.export.conversion import frozen_graphs
from cvhn_tf.export.conversion.convert import to_tflite_from
from cvhn_tf.export.conversion.frozen_graphs import FrozenGraphs
from cvhn_tf.export.tflite.flatbuffer import operation_of, parse


@pytest.fixture
def network():
    network = keras.Sequential(
        [
            keras.Input((8, 8, 1), name="images"),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dense(32, "relu"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(3, "softmax"),
        ]
    )
    kernel = network.layers[3].kernel
    kernel.assign(np.where(np.abs(kernel) < 0.15, 0, kernel))
    return network


def operations(content):
    model = parse(content)
    return [operation_of(model, operator) for operator in model.subgraphs[0].operators]


def test_files_hold_what_tensorflow_makes_of_a_keras_model_and_are_no_larger(network, monkeypatch):
    x = np.random.default_rng(0).uniform(size=(20, 8, 8, 1)).astype("float32")
    combinations = [(None, False), (None, True), ("float16", True), ("dynamic_range", False), ("int8", False)]
    graphs = FrozenGraphs()
    files = [to_tflite_from(graphs, network, *combination, x).content for combination in combinations]
    monkeypatch.setattr(FrozenGraphs, "converter", lambda self, model: tf.lite.TFLiteConverter.from_keras_model(model))
    for combination, content in zip(combinations, files, strict=True):
        expected = export.to_tflite(network, *combination, x).content
        assert operations(content) == operations(expected), combination
        assert len(content) <= len(expected), combination


def test_network_is_traced_once_for_all_its_encodings(network, monkeypatch):
    traced = []
    freeze = frozen_graphs._freeze
    monkeypatch.setattr(frozen_graphs, "_freeze", lambda model: traced.append(model) or freeze(model))
    graphs = FrozenGraphs()
    for quantization in (None, "float16", "dynamic_range"):
        to_tflite_from(graphs, network, quantization)
    assert traced == [network]


def test_weights_that_changed_between_two_files_are_in_the_second(network):
    x = np.ones((2, 8, 8, 1), "float32")
    for _ in range(2):
        network.layers[-1].bias.assign(np.random.default_rng().normal(size=3))
        outputs = export.evaluate_tflite(export.to_tflite(network), x, network(x), loss="mse")
        assert outputs.loss < 1e-10


def test_comparison_gives_the_files_of_each_network_by_itself(compiled, data):
    model = compiled()
    model.fit(*data, batch_size=8, epochs=10, verbose=0)
    quantizations = [None, "float16", "dynamic_range"]
    comparison = export.compare(model, data, [0.1, 10.0], [0.0, 0.9], quantizations)
    assert [row.quantization for row in comparison] == quantizations * 4
    for row in comparison:
        network = export.compact(export.prune(model, row.complexity, row.sparsity))
        alone = export.to_tflite(network, row.quantization)
        alone = export.annotate(alone, row.complexity, row.sparsity, row.structure)
        assert (row.sparse, row.size_bytes) == (alone.sparse, alone.size_bytes)
        outputs = [export.evaluate_tflite(file, *data) for file in (comparison.artifact_of(row), alone)]
        assert (
            outputs[0].accuracy == outputs[1].accuracy and outputs[0].calibration_error == outputs[1].calibration_error
        )


def test_networks_that_are_gone_are_held_by_nothing():
    networks = []
    for _ in range(5):
        network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        export.to_tflite(network)
        networks.append(weakref.ref(network))
    del network
    gc.collect()
    assert [reference() for reference in networks] == [None] * 5
