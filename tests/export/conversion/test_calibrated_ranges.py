"""What has no useful range stays in float in files of 8 bits."""

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers, ops

from cvhn_tf import export
from cvhn_tf.export.tflite.calibrated_ranges import kept_in_float
from cvhn_tf.export.tflite.flatbuffer import operation_of, parse, serialize, type_name


def attention(mask):
    """A network whose two heads choose what they look at, with the least number or -1e9 where they must not look."""
    source = keras.Input((8, 16))
    attended = layers.MultiHeadAttention(2, 16, name="attention")
    if mask == "own":
        query, key, value = (layers.Dense(16)(source) for _ in range(3))
        scores = layers.Dot(2)([layers.Rescaling(4)(query), key])
        outputs = layers.Dot((2, 1))([layers.Softmax()(scores, mask=np.tril(np.ones((1, 8, 8), bool))), value])
    else:
        outputs = attended(source, source, use_causal_mask=mask == "causal")
        attended.query_dense.kernel.assign(4 * attended.query_dense.kernel)
    return keras.Model(source, outputs)


@pytest.mark.parametrize("mask", ["none", "causal", "own"])
def test_attention_with_a_mask_is_as_right_in_8_bits_as_without(mask):
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).standard_normal((40, 8, 16)).astype("float32")

    artifact = export.to_tflite(attention(mask), "int8", representative_data=x)

    # By the plain converter 0.03 without a mask, 0.7 with one.
    assert artifact.relative_error < 0.05


def calibrated(least):
    """A file whose activations range from -1 to 1, but what its softmax reads, which begins with `least`."""
    model = keras.Sequential([keras.Input((4,)), layers.Dense(4), layers.ReLU(), layers.Softmax()])
    file = parse(export.to_tflite(model).content)
    (graph,) = file.subgraphs
    for tensor in graph.tensors:
        tensor.quantization.min, tensor.quantization.max = [-1.0], [1.0]
    softmax = next(operator for operator in graph.operators if operation_of(file, operator) == "SOFTMAX")
    scores = graph.tensors[softmax.inputs[0]]
    scores.quantization.min = [least]
    return serialize(file), scores.name, graph.tensors[softmax.outputs[0]].name


@pytest.mark.parametrize("least", [-1e9, -np.inf, np.nan])
def test_a_range_that_255_steps_cannot_cover_is_taken_out(least):
    content, scores, probabilities = calibrated(least)

    content, stay_float = kept_in_float(content)

    (graph,) = parse(content).subgraphs
    assert [tensor.name for tensor in graph.tensors if tensor.quantization.min is None] == [scores]
    assert stay_float == [scores.decode(), probabilities.decode()]


def test_a_range_whose_steps_are_no_finite_numbers_is_taken_out_wherever_it_is():
    content, _, _ = calibrated(-1.0)
    file = parse(content)
    (graph,) = file.subgraphs
    (given,) = graph.inputs
    graph.tensors[given].quantization.min, graph.tensors[given].quantization.max = [-3e38], [3e38]

    content, stay_float = kept_in_float(serialize(file))

    (graph,) = parse(content).subgraphs
    assert graph.tensors[given].quantization.min is None
    assert stay_float


def test_a_file_whose_ranges_are_useful_stays_as_it_is():
    content, _, _ = calibrated(-1e6)

    assert kept_in_float(content) == (content, [])


def test_only_what_the_mask_reaches_stays_in_float():
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).standard_normal((40, 8, 16)).astype("float32")
    file = parse(export.to_tflite(attention("causal"), "int8", representative_data=x, client="cpu").content)

    (graph,) = file.subgraphs
    products = [o for o in graph.operators if operation_of(file, o) in ("BATCH_MATMUL", "FULLY_CONNECTED")]
    softmaxes = [o for o in graph.operators if operation_of(file, o) == "SOFTMAX"]

    assert {type_name(graph.tensors[o.outputs[0]]) for o in products} == {"INT8"}
    assert {type_name(graph.tensors[o.outputs[0]]) for o in softmaxes} == {"FLOAT32"}


def types(artifact, *operations):
    """Names of the types that operations of these names give."""
    file = parse(artifact.content)
    (graph,) = file.subgraphs
    return {type_name(graph.tensors[o.outputs[0]]) for o in graph.operators if operation_of(file, o) in operations}


@pytest.mark.parametrize("least", [-1e3, -1e9])
@pytest.mark.parametrize("is_given", [False, True], ids=["constant", "computed"])
def test_masks_of_all_sizes_stay_in_float(least, is_given):
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x, seen = rng.standard_normal((40, 8, 16)).astype("float32"), np.arange(8) < rng.integers(2, 9, (40, 1))
    source, kept = keras.Input((8, 16), name="source"), keras.Input((8,), name="kept")
    query, key, value = (layers.Dense(16)(source) for _ in range(3))
    mask = np.float32(least) * np.triu(np.ones((8, 8), "float32"), 1)
    mask = (1.0 - ops.expand_dims(kept, 1)) * least if is_given else mask
    scores = ops.softmax(ops.matmul(4 * query, ops.transpose(key, (0, 2, 1))) + mask)
    model = keras.Model([source, kept] if is_given else source, ops.matmul(scores, value))
    data = [x, seen.astype("float32")] if is_given else x

    artifact = export.to_tflite(model, "int8", representative_data=data)

    # With the scores as integers 0.16 at -1e3, and from -1e4 on 0.6 or more.
    assert artifact.relative_error < 0.06
    assert types(artifact, "SOFTMAX") == {"FLOAT32"}
    assert types(artifact, "FULLY_CONNECTED") == {"INT8"}


@pytest.mark.parametrize("scale", ["data", "outputs"])
def test_networks_for_values_in_the_billions_are_integers(scale):
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).standard_normal((40, 16)).astype("float32") * (1e9 if scale == "data" else 1)
    model = keras.Sequential([keras.Input((16,)), layers.Dense(64, "relu"), layers.Dense(64)])
    if scale == "outputs":
        model.layers[1].kernel.assign(1e9 * model.layers[1].kernel)

    artifact = export.to_tflite(model, "int8", representative_data=x, integer_only=True)

    (given,) = Interpreter(model_content=artifact.content).get_input_details()
    assert given["dtype"] == np.int8
    assert types(artifact, "FULLY_CONNECTED") == {"INT8"}
    assert artifact.relative_error < 0.05


@pytest.mark.parametrize("integer_only", [False, True])
def test_factors_that_bring_large_data_down_are_kept(integer_only):
    x = 1e9 * np.random.default_rng(0).standard_normal((40, 16)).astype("float32")
    model = keras.Sequential([keras.Input((16,)), layers.Rescaling(1e-9), layers.Dense(64, "relu"), layers.Dense(3)])

    artifact = export.to_tflite(model, "int8", representative_data=x, integer_only=integer_only)

    assert artifact.relative_error < 0.05  # 1 where they are made zeros
    (given,) = Interpreter(model_content=artifact.content).get_input_details()
    assert (given["dtype"] == np.int8) == integer_only


def test_branches_of_little_weight_are_no_masks():
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).standard_normal((40, 16)).astype("float32")
    inputs = keras.Input((16,))
    trunk = layers.Dense(16)(inputs)
    branch = layers.Rescaling(1e-4)(layers.Dense(16)(layers.Dense(16, "relu")(trunk)))
    model = keras.Model(inputs, layers.Dense(4)(layers.Add()([trunk, branch])))

    artifact = export.to_tflite(model, "int8", representative_data=x)

    assert types(artifact, "ADD", "FULLY_CONNECTED") == {"INT8"}


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_means_over_what_is_not_padding_run_on_old_runtimes(policy):
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = (rng.integers(1, 20, (40, 8)) * (np.arange(8) < rng.integers(2, 9, (40, 1)))).astype("int32")
    keras.config.set_dtype_policy(policy)
    try:
        tokens = keras.Input((8,), dtype="int32")
        pooled = layers.GlobalAveragePooling1D()(layers.Embedding(20, 16, mask_zero=True)(tokens))
        model = keras.Model(tokens, layers.Dense(4)(pooled))
    finally:
        keras.config.set_dtype_policy("float32")

    artifact = export.to_tflite(model, "int8", representative_data=x)

    assert types(artifact, "DIV") == {"FLOAT32"}  # which TFLite before 2.19 has not for integers
    assert artifact.relative_error < 0.05
    runner = Interpreter(model_content=artifact.content).get_signature_runner()
    assert list(runner.get_input_details()) == [tokens.name]


def test_masked_outputs_cannot_be_integers():
    x = np.random.default_rng(0).standard_normal((40, 4)).astype("float32")
    inputs = keras.Input((4,))
    logits = layers.Dense(4)(inputs)
    model = keras.Model(inputs, ops.where(inputs > 0, logits, -1e9))
    assert export.to_tflite(model, "int8", representative_data=x).relative_error < 0.05
    with pytest.raises(export.ConversionError, match="relative error 1"):
        export.to_tflite(model, "int8", representative_data=x, integer_only=True)


@pytest.mark.parametrize("layer, finest", [(layers.Add(), 2**-19), (layers.Subtract(), 2**-19)])
def test_sums_of_steps_much_finer_than_the_inputs_stay_in_float(layer, finest):
    first, second = keras.Input((4,)), keras.Input((4,))
    file = parse(export.to_tflite(keras.Model([first, second], layer([first, second]))).content)
    (graph,) = file.subgraphs
    for tensor in graph.tensors:
        tensor.quantization.min, tensor.quantization.max = [-50.0], [50.0]
    (output,) = graph.outputs
    for width, stays in ((1.0, False), (100 * finest, True), (0.0, True)):
        graph.tensors[output].quantization.min, graph.tensors[output].quantization.max = [0.0], [width]
        _, stay_float = kept_in_float(serialize(file))
        assert bool(stay_float) == stays
