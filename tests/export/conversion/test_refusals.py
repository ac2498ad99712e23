"""What TFLite cannot hold is refused before any work, in one sentence."""

import keras
import pytest
from keras import layers

from cvhn_tf import export
from cvhn_tf.export.conversion import converter


def text_vectorization():
    return layers.TextVectorization(vocabulary=["a", "b"], output_sequence_length=3, name="words")


LOOKUPS = {
    "string": lambda: layers.StringLookup(vocabulary=["a", "b"], output_mode="one_hot", name="words"),
    "int64": lambda: layers.IntegerLookup(vocabulary=[1, 2], output_mode="one_hot", name="words"),
    "int32": lambda: layers.Hashing(3, output_mode="one_hot", name="words"),
}


@pytest.mark.parametrize("dtype", list(LOOKUPS))
@pytest.mark.parametrize("function", [export.to_tflite, export.smallest])
def test_lookups_are_refused_with_where_to_cut(dtype, function, monkeypatch):
    monkeypatch.setattr(converter, "_run_converter", None)  # nothing is converted
    network = keras.Sequential([keras.Input((1,), dtype=dtype), LOOKUPS[dtype](), layers.Dense(2)])
    with pytest.raises(ValueError, match=r"'words' \(\w+\); convert the part behind") as caught:
        function(network)
    assert "\n" not in str(caught.value)


def test_vectorization_within_a_model_is_found():
    reader = keras.Sequential([keras.Input((1,), dtype="string"), text_vectorization()])
    network = keras.Sequential(
        [keras.Input((1,), dtype="string"), reader, layers.Embedding(9, 4), layers.Flatten(), layers.Dense(2)]
    )
    with pytest.raises(ValueError, match=r"'words' \(TextVectorization\)"):
        export.to_tflite(network)


def test_inputs_of_strings_are_refused_by_name():
    text = keras.Input((1,), dtype="string", name="text")
    number = keras.Input((1,))
    network = keras.Model([text, number], layers.Dense(2)(number))
    with pytest.raises(ValueError, match=r"inputs of strings, \['text'\]"):
        export.to_tflite(network)


def test_the_part_behind_is_converted():
    source = keras.Input((1,), dtype="string")
    numbers = text_vectorization()(source)
    outputs = layers.Dense(2)(layers.Flatten()(layers.Embedding(9, 4)(numbers)))
    assert export.to_tflite(keras.Model(numbers, outputs)).size_bytes > 0
