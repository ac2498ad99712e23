"""What has no useful range stays in float in files of 8 bits."""

import keras
import numpy as np
import pytest
from keras import layers

from cvhn_tf import export
from cvhn_tf.export.tflite.calibrated_ranges import without_unbounded_ranges
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

    content, stay_float = without_unbounded_ranges(content)

    (graph,) = parse(content).subgraphs
    assert [tensor.name for tensor in graph.tensors if tensor.quantization.min is None] == [scores]
    assert stay_float == [scores.decode(), probabilities.decode()]


def test_a_file_whose_ranges_are_useful_stays_as_it_is():
    content, _, _ = calibrated(-1e6)

    assert without_unbounded_ranges(content) == (content, [])


def test_only_what_the_mask_reaches_stays_in_float():
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).standard_normal((40, 8, 16)).astype("float32")
    file = parse(export.to_tflite(attention("causal"), "int8", representative_data=x, client="cpu").content)

    (graph,) = file.subgraphs
    products = [o for o in graph.operators if operation_of(file, o) in ("BATCH_MATMUL", "FULLY_CONNECTED")]
    softmaxes = [o for o in graph.operators if operation_of(file, o) == "SOFTMAX"]

    assert {type_name(graph.tensors[o.outputs[0]]) for o in products} == {"INT8"}
    assert {type_name(graph.tensors[o.outputs[0]]) for o in softmaxes} == {"FLOAT32"}
