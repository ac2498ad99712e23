"""Fully connected layers leave out the zeros of their weights where that is faster, with the same outputs."""

import dataclasses

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from keras import layers

from cvhn_tf import export, targets
from cvhn_tf.export.clients.table import CLIENTS
from cvhn_tf.export.tflite.flatbuffer import operation_of, parse

BY_THE_CONVERTER = dataclasses.replace(CLIENTS["cpu"], sparse_cost=None)
ALWAYS = dataclasses.replace(CLIENTS["cpu"], sparse_cost=0.0)
NEVER = dataclasses.replace(CLIENTS["cpu"], sparse_cost=1e9)
RESOLVERS = pytest.mark.parametrize(
    "resolver",
    [OpResolverType.AUTO, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES],
    ids=["with XNNPACK", "without XNNPACK"],
)


def with_zeros(model, sparsity):
    """The model with its smallest weights of each kernel at zero, and biases that are not."""
    rng = np.random.default_rng(0)
    weights = [w if w.ndim > 1 else rng.normal(size=w.shape).astype("float32") for w in model.get_weights()]
    model.set_weights([w * (np.abs(w) >= np.quantile(np.abs(w), sparsity)) if w.ndim > 1 else w for w in weights])
    return model


def dense_network(inputs, units, sparsity, **options):
    keras.utils.set_random_seed(0)
    return with_zeros(keras.Sequential([keras.Input((inputs,)), layers.Dense(units, **options)]), sparsity)


def in_blocks(inputs, units, sparsity):
    network = dense_network(inputs, units, 0.0)
    kernel, bias = network.get_weights()
    kept = np.random.default_rng(0).random((inputs // 4, 1, units)) >= sparsity
    network.set_weights([(kernel.reshape(-1, 4, units) * kept).reshape(inputs, units), bias])
    return network


def layers_of(content):
    """For each fully connected layer its version, and whether it reads sparse weights by itself."""
    model = parse(content)
    graph = model.subgraphs[0]
    return [
        (model.operatorCodes[operator.opcodeIndex].version, graph.tensors[operator.inputs[1]].sparsity is not None)
        for operator in graph.operators
        if operation_of(model, operator) == "FULLY_CONNECTED"
    ]


def expanded(content):
    model = parse(content)
    return sum(operation_of(model, operator) == "DENSIFY" for operator in model.subgraphs[0].operators)


def outputs(content, x, resolver, threads=1):
    interpreter = Interpreter(model_content=content, experimental_op_resolver_type=resolver, num_threads=threads)
    (detail,) = interpreter.get_input_details()
    interpreter.resize_tensor_input(detail["index"], x.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(detail["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def test_lenet_300_100_reads_its_few_weights_without_expansion_and_is_no_larger():
    keras.utils.set_random_seed(0)
    network = with_zeros(targets.lenet_300_100((28, 28, 1), 10), 0.95)
    before, now = (export.to_tflite(network, sparse=True, client=client) for client in (BY_THE_CONVERTER, "cpu"))
    assert (expanded(before.content), expanded(now.content)) == (3, 0)
    assert layers_of(now.content) == [(8, True)] * 3
    assert now.size_bytes <= before.size_bytes and now.relative_error < 1e-5


@pytest.mark.parametrize("use_bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("activation", [None, "relu", "relu6", "tanh"])
@RESOLVERS
def test_outputs_are_those_of_keras(activation, use_bias, resolver):
    network = dense_network(66, 50, 0.96, activation=activation, use_bias=use_bias)
    artifact = export.to_tflite(network, sparse=True, client="cpu")
    assert not expanded(artifact.content) and layers_of(artifact.content) == [(8, True)]
    for examples, threads in ((1, 1), (5, 1), (5, 2)):
        x = np.random.default_rng(1).normal(size=(examples, 66)).astype("float32")
        made = outputs(artifact.content, x, resolver, threads)
        np.testing.assert_allclose(made, network(x), rtol=1e-5, atol=1e-5, strict=True)


@pytest.mark.parametrize("client", [ALWAYS, NEVER], ids=["always", "never"])
@pytest.mark.parametrize("sparsity", [0.5, 0.9])
@pytest.mark.parametrize("make", [dense_network, in_blocks], ids=["single weights", "blocks"])
@RESOLVERS
def test_both_ways_are_right_for_any_share_of_zeros(make, sparsity, client, resolver):
    network = make(128, 80, sparsity)
    content = export.to_tflite(network, sparse=True, client=client).content
    assert expanded(content) == (client is NEVER)
    assert layers_of(content) == ([(1, False)] if client is NEVER else [(8, True)])
    x = np.random.default_rng(1).normal(size=(3, 128)).astype("float32")
    np.testing.assert_allclose(outputs(content, x, resolver), network(x), rtol=1e-5, atol=1e-5, strict=True)


@pytest.mark.parametrize(
    ("make", "units", "sparsity", "is_expanded"),
    [
        (dense_network, 128, 0.97, False),
        (dense_network, 128, 0.94, True),
        (dense_network, 130, 0.94, False),
        (in_blocks, 128, 0.9, False),
        (in_blocks, 128, 0.5, True),
    ],
    ids=["few", "many", "as many, units of no round number", "few blocks", "many blocks"],
)
def test_layers_of_many_weights_read_them_expanded(make, units, sparsity, is_expanded):
    content = export.to_tflite(make(512, units, sparsity), sparse=True, client="cpu").content
    assert expanded(content) == is_expanded
    assert layers_of(content) == [(1, False) if is_expanded else (8, True)]


def test_files_of_small_layers_are_no_larger_than_the_converter_makes_them():
    network = in_blocks(64, 64, 0.8)
    before, now = (export.to_tflite(network, sparse=True, client=client) for client in (BY_THE_CONVERTER, "cpu"))
    assert now.size_bytes <= before.size_bytes and not expanded(now.content)


@pytest.mark.parametrize(("sparsity", "is_expanded"), [(0.97, True), (0.99, False)])
def test_rows_of_a_sequence_have_to_be_sparser(sparsity, is_expanded):
    keras.utils.set_random_seed(0)
    network = keras.Sequential([keras.Input((20, 256)), layers.Dense(256, activation="relu")])
    artifact = export.to_tflite(with_zeros(network, sparsity), sparse=True, client="cpu")
    assert expanded(artifact.content) == is_expanded


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
def test_so_do_those_that_read_rows_of_another_layer(activation):
    """The converter hands them on as rows of all examples, whose number is open."""
    keras.utils.set_random_seed(0)
    network = keras.Sequential([keras.Input((20, 256)), *(layers.Dense(256, activation=activation) for _ in range(3))])
    artifact = export.to_tflite(with_zeros(network, 0.97), sparse=True, client="cpu")
    assert expanded(artifact.content) == 3


def test_layers_with_dense_weights_keep_their_version_beside_sparse_ones():
    """XNNPACK leaves those of the version of sparse weights alone."""
    keras.utils.set_random_seed(0)
    network = keras.Sequential([keras.Input((512,)), layers.Dense(128, activation="relu"), layers.Dense(64)])
    kernel, bias, last, last_bias = with_zeros(network, 0.98).get_weights()
    network.set_weights([kernel, bias, np.ones_like(last), last_bias])
    before, now = (export.to_tflite(network, sparse=True, client=client) for client in (BY_THE_CONVERTER, "cpu"))
    assert [version for version, _ in layers_of(before.content)] == [8, 8]
    assert layers_of(now.content) == [(8, True), (1, False)]


def test_a_kernel_that_two_layers_share():
    keras.utils.set_random_seed(0)
    shared = layers.Dense(64, activation="relu")
    first, second = keras.Input((128,)), keras.Input((128,))
    network = with_zeros(keras.Model([first, second], layers.Add()([shared(first), shared(second)])), 0.98)
    artifact = export.to_tflite(network, sparse=True, client="cpu")
    assert not expanded(artifact.content) and layers_of(artifact.content) == [(8, True)] * 2


@pytest.mark.parametrize("client", [("cpu", "tflite"), "tflite"], ids=str)
def test_files_for_others_are_as_the_converter_chooses(client):
    artifact = export.to_tflite(dense_network(784, 300, 0.95), sparse=True, client=client)
    assert expanded(artifact.content) == 1


def test_half_precision_is_expanded_still():
    artifact = export.to_tflite(dense_network(784, 300, 0.98), "float16", sparse=True, client="cpu")
    assert expanded(artifact.content) == 1
