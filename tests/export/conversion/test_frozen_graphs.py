"""One frozen graph serves all encodings of a network, and changes nothing in the files."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils

from cvhn_tf import export, targets
from cvhn_tf.export.conversion import frozen_graphs
from cvhn_tf.export.conversion.convert import to_tflite_from
from cvhn_tf.export.conversion.frozen_graphs import FrozenGraph, FrozenGraphs
from cvhn_tf.export.tflite.flatbuffer import (
    add_tensor,
    constants,
    operation_of,
    parse,
    share_buffers,
    type_name,
)
from cvhn_tf.export.tflite.tensor_names import shorten_names
from cvhn_tf.export.verification.litert import LiteRTModel
from cvhn_tf.export.verification.verify import ConversionError


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
    files = [to_tflite_from(graphs, network, *combination, x, client="cpu").content for combination in combinations]
    monkeypatch.setattr(FrozenGraph, "converter", lambda self: tf.lite.TFLiteConverter.from_keras_model(network))
    for combination, content in zip(combinations, files, strict=True):
        expected = export.to_tflite(network, *combination, x, client="cpu").content
        assert operations(content) == operations(expected), combination
        assert len(content) <= len(expected), combination


@pytest.mark.parametrize("quantization", [None, "float16", "dynamic_range", "int8"])
def test_equal_weights_are_in_the_file_once_and_nothing_else_is(quantization):
    kernel = np.random.default_rng(0).normal(size=(64, 64))
    inputs = keras.Input((64,))
    dense = [keras.layers.Dense(64, "relu", use_bias=False) for _ in range(3)]
    network = keras.Model(inputs, dense[2](dense[1](dense[0](inputs))))
    for layer in dense:
        layer.kernel.assign(kernel)
    x = np.random.default_rng(0).normal(size=(50, 64)).astype("float32")
    model = parse(export.to_tflite(network, quantization, representative_data=x).content)
    tensors = model.subgraphs[0].tensors
    kernels = {tensor.buffer for tensor in tensors if list(tensor.shape) == [64, 64] and tensor.buffer}
    assert len(kernels) == 1
    used = {tensor.buffer for tensor in tensors} | {entry.buffer for entry in model.metadata}
    assert used | {0} == set(range(len(model.buffers)))


@pytest.mark.parametrize("quantization", ["dynamic_range", "int8", "weight_only_int8"])
def test_equal_integers_on_other_scales_stay_apart(quantization):
    kernel = np.random.default_rng(0).normal(size=(64, 64))
    network = keras.Sequential([keras.Input((64,))] + [keras.layers.Dense(64, use_bias=False) for _ in range(2)])
    for scale, layer in zip((1, 0.25), network.layers, strict=True):
        layer.kernel.assign(scale * kernel)
    x = np.random.default_rng(0).normal(size=(50, 64)).astype("float32")
    model = parse(export.to_tflite(network, quantization, representative_data=x, client="cpu").content)
    kernels = [tensor for tensor, _ in constants(model) if type_name(tensor) == "INT8"]
    first, second = (bytes(model.buffers[tensor.buffer].data) for tensor in kernels)
    assert first == second and kernels[0].buffer != kernels[1].buffer


@pytest.mark.parametrize("quantization", [None, "float16"])
def test_equal_numbers_in_other_places_of_sparse_weights_stay_apart(quantization):
    network = keras.Sequential([keras.Input((64,))] + [keras.layers.Dense(64, use_bias=False) for _ in range(2)])
    for shift, layer in zip((0, 5), network.layers, strict=True):
        layer.kernel.assign(np.roll(np.eye(64), shift, axis=1))
    model = parse(export.to_tflite(network, quantization, sparse=True, client="cpu").content)
    buffers = [tensor.buffer for tensor, _ in constants(model) if tensor.sparsity is not None]
    assert len(set(buffers)) == 2


def test_each_variable_of_a_file_has_a_buffer_of_its_own():
    model = parse(export.to_tflite(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])).content)
    (graph,) = model.subgraphs
    states = [add_tensor(graph, name, graph.tensors[0].type, [1, 4]) for name in (b"first", b"second", b"computed")]
    for place in states[:2]:
        graph.tensors[place].isVariable = True
        graph.tensors[place].buffer = len(model.buffers)
        model.buffers.append(schema.BufferT())
    share_buffers(model)
    buffers = [graph.tensors[place].buffer for place in states]
    assert buffers[2] == 0 and 0 not in buffers[:2] and buffers[0] != buffers[1]


def test_equal_vectors_of_numbers_stand_in_a_file_once():
    stack = [layer for _ in range(4) for layer in (keras.layers.DepthwiseConv2D(3), keras.layers.Conv2D(32, 1))]
    network = keras.Sequential([keras.Input((12, 12, 32)), *stack])
    x = np.random.default_rng(0).normal(size=(20, 12, 12, 32)).astype("float32")
    content = export.to_tflite(network, "int8", representative_data=x).content
    model = parse(content)
    quantized = [tensor.quantization for tensor in model.subgraphs[0].tensors if tensor.quantization is not None]
    zeros = 8 * sum(len(one.zeroPoint) for one in quantized if one.zeroPoint is not None and len(one.zeroPoint) > 1)
    apart = len(flatbuffer_utils.convert_object_to_bytearray(model))  # by the builder as it is
    assert zeros == 8 * 8 * 2 * 32 and len(content) < apart - 0.8 * zeros


def test_names_of_tensors_are_short_and_as_different_as_before():
    model = parse(export.to_tflite(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])).content)
    (graph,) = model.subgraphs
    graph.tensors = graph.tensors[:1]
    graph.inputs, graph.outputs = [0], [1]
    names = [
        b"net_1/out/BiasAdd",
        b"net_1/act/Relu;net_1/conv/add",
        b"net_1/a/b;net_1/c",
        b"net_1/a/b",
        b"net_1/net_1/a/b",
        b"net_1/net_1/out/BiasAdd",
        b"arith.constant",
    ]
    for name in names:
        add_tensor(graph, name, graph.tensors[0].type, [1, 4])
    given = graph.tensors[0].name
    shorten_names(model)
    assert [tensor.name for tensor in graph.tensors] == [
        given,
        b"net_1/out/BiasAdd",  # an output
        b"act/Relu",
        b"a/b",
        b"a/b_1",
        b"net_1/a/b_1",  # without the first, what the one before was called, and the output is
        b"net_1/out/BiasAdd_1",
        b"arith.constant",
    ]


def test_names_of_a_residual_network_take_little():
    """Where batch normalization is folded in, the converter names biases and outputs by all that was fused."""
    model = parse(export.to_tflite(targets.get("resnet_8", (32, 32, 3), 10), "weight_only_int8", client="cpu").content)
    names = [tensor.name for tensor in model.subgraphs[0].tensors]
    assert len(set(names)) == len(names) and not any(b";" in name for name in names)
    assert sum(map(len, names)) < 30 * len(names)


def test_network_is_traced_once_for_all_its_encodings(network, monkeypatch):
    traced = []
    freeze = frozen_graphs._freeze
    monkeypatch.setattr(frozen_graphs, "_freeze", lambda model: traced.append(model) or freeze(model))
    graphs = FrozenGraphs()
    for quantization in (None, "float16", "dynamic_range"):
        to_tflite_from(graphs, network, quantization)
    assert traced == [network]


def test_networks_with_a_loop_give_the_same_bytes_each_time():
    network = keras.Sequential([keras.Input((4, 3)), keras.layers.LSTM(4), keras.layers.Dense(2)])
    first, second = (export.to_tflite(network).content for _ in range(2))
    assert first == second


def test_weights_that_changed_between_two_files_are_in_the_second(network):
    x = np.ones((2, 8, 8, 1), "float32")
    for _ in range(2):
        network.layers[-1].bias.assign(np.random.default_rng().normal(size=3))
        outputs = export.evaluate_tflite(export.to_tflite(network, client="cpu"), x, network(x), loss="mse")
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
        export.to_tflite(network, client="cpu")
        networks.append(weakref.ref(network))
    del network
    gc.collect()
    assert [reference() for reference in networks] == [None] * 5


def test_a_network_that_assigns_to_a_weight_is_refused_by_one_sentence():
    class Counting(keras.layers.Layer):
        def build(self, input_shape):
            self.count = self.add_weight(shape=(), trainable=False, initializer="zeros")

        def call(self, inputs):
            self.count.assign_add(1.0)
            return 2 * inputs

    inputs = keras.Input((3,))
    network = keras.Model(inputs, Counting(name="counting")(inputs))
    with pytest.raises(export.ConversionError, match=r"assigns to a weight at inference \(.*counting"):
        export.to_tflite(network, client="cpu")


def outputs_by_name(network, x):
    runner = Interpreter(model_content=export.to_tflite(network, client="cpu").content).get_signature_runner()
    return runner(**{network.inputs[0].name: x})


def test_outputs_of_one_layer_have_names_that_no_other_output_has():
    inputs, shared = keras.Input((3,)), keras.layers.Dense(2, name="d")
    network = keras.Model(inputs, [keras.layers.Dense(2, name="d_2")(inputs), shared(inputs), shared(-inputs)])
    x = np.ones((1, 3), "float32")
    outputs = outputs_by_name(network, x)
    assert len(outputs) == 3
    for name, expected in zip(["d_2", "d", "d_3"], network(x), strict=True):
        np.testing.assert_allclose(outputs[name], expected, atol=1e-6)


def test_outputs_in_dicts_within_a_dict_are_named_by_their_paths():
    inputs = keras.Input((3,))
    dense = [keras.layers.Dense(2)(inputs) for _ in range(3)]
    network = keras.Model(inputs, {"z": dense[0], "a": {"y": dense[1], "x": dense[2]}})
    x = np.ones((1, 3), "float32")
    outputs, expected = outputs_by_name(network, x), network(x)
    assert set(outputs) == {"z", "a/x", "a/y"}
    np.testing.assert_allclose(outputs["a/x"], expected["a"]["x"], atol=1e-6)


def test_output_without_axes_is_compared_too():
    inputs = keras.Input((3,))
    assert export.to_tflite(keras.Model(inputs, keras.ops.mean(inputs)), client="cpu").relative_error < 1e-6


@pytest.mark.parametrize("quantization", [None, "float16", "dynamic_range", "int8"])
@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_places_of_maxima_and_minima_are_one_operation(name, quantization):
    inputs = keras.Input((8,))
    scores = keras.layers.Dense(5)(keras.layers.Dense(16, "relu")(inputs))
    network = keras.Model(inputs, [scores, getattr(keras.ops, name)(scores, axis=-1)])
    x = np.random.default_rng(0).normal(size=(64, 8)).astype("float32")
    artifact = export.to_tflite(network, quantization, representative_data=x)
    model = parse(artifact.content)
    operations = [operation_of(model, operator) for operator in model.subgraphs[0].operators]
    assert set(operations) <= {"DEQUANTIZE", "FULLY_CONNECTED", "QUANTIZE", "ARG_MAX", "ARG_MIN"}
    assert ["ARG_MIN" in caveat for caveat in artifact.caveats] == [True] * (name == "argmin")  # GPUs have ARG_MAX
    scored, places = LiteRTModel(artifact.content).run([x])
    np.testing.assert_array_equal(places, getattr(scored, name)(axis=-1))


def test_a_choice_by_the_sign_of_zeros_that_is_no_maximum_is_not_changed():
    inputs = keras.Input((4,))
    negative = keras.ops.logical_and(keras.ops.equal(inputs, 0.0), keras.ops.signbit(inputs))
    network = keras.Model(inputs, keras.layers.Dense(2)(keras.ops.where(negative, -1.0, inputs)))
    with pytest.raises(ConversionError, match="BitwiseAnd"):
        export.to_tflite(network)
