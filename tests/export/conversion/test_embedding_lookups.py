"""Tables of Embedding layers become integers too, where their places can be listed."""

import re

import keras
import numpy as np
import pytest
from keras import layers

from cvhn_tf import export
from cvhn_tf.export.conversion.embedding_lookups import use_embedding_lookups
from cvhn_tf.export.tflite.flatbuffer import operation_of, parse
from cvhn_tf.export.verification.litert import LiteRTModel


def embedding(shape, dtype="int32"):
    keras.utils.set_random_seed(0)
    source = keras.Input(shape, dtype=dtype)
    return keras.Model(source, layers.Dense(3)(layers.Embedding(500, 32)(source)))


def operations(content):
    model = parse(content)
    return [operation_of(model, operator) for operator in model.subgraphs[0].operators]


@pytest.mark.parametrize("shape", [(), (5,), (2, 3)])
def test_lookups_give_what_gathers_gave(shape):
    content = export.to_tflite(embedding(shape), client="cpu").content
    changed = use_embedding_lookups(content)
    assert "EMBEDDING_LOOKUP" not in operations(content) and "EMBEDDING_LOOKUP" in operations(changed)
    for examples in (1, 7):
        places = np.random.default_rng(0).integers(0, 500, (examples, *shape)).astype("int32")
        before, after = (LiteRTModel(file).run([places])[0] for file in (content, changed))
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    ("quantization", "bits"), [("weight_only_int8", 8), ("weight_only_int4", 4), ("dynamic_int4", 4)]
)
def test_tables_become_integers(quantization, bits):
    artifact = export.to_tflite(embedding((5,)), quantization, client="cpu")
    numbers = 500 * 32
    assert numbers * bits // 8 < artifact.size_bytes < numbers * bits // 8 + 14_000  # a scale for each row
    assert artifact.unquantized == ()


@pytest.mark.parametrize(
    ("shape", "dtype", "advice"),
    [((None,), "int32", "in several free sizes.*a length"), ((5,), "int64", "by int64.*dtype int32")],
)
def test_tables_of_inputs_of_any_length_or_of_64_bits_stay_and_are_told(shape, dtype, advice):
    artifact = export.to_tflite(embedding(shape, dtype), "weight_only_int8", client="cpu")
    assert artifact.unquantized[0].size_bytes == 500 * 32 * 4
    assert re.search(f"GATHER {advice}", artifact.unquantized[0].reason)


def test_rows_of_an_odd_length_are_right_in_every_encoding():
    """LiteRT reads those of 4 bits in `dynamic_int4` wrongly, which a file's other outputs would hide."""
    keras.utils.set_random_seed(0)
    first, second = keras.Input((5,), dtype="int32"), keras.Input((5,), dtype="int32")
    tables = layers.Embedding(20, 32)(first), layers.Embedding(20, 7)(second)
    network = keras.Model([first, second], layers.Concatenate()(tables))
    x = [np.random.default_rng(i).integers(0, 20, (4, 5)).astype("int32") for i in (0, 1)]
    expected = network(x).numpy()[..., 32:]
    for quantization in ("weight_only_int8", "weight_only_int4", "dynamic_int4"):
        received = LiteRTModel(export.to_tflite(network, quantization, client="cpu")).run(x)[0][..., 32:]
        assert np.square(received - expected).mean() < 0.02 * np.square(expected).mean(), quantization
