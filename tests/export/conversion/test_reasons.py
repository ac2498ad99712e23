"""Why a conversion failed, in one line."""

import keras
import pytest
import tensorflow as tf
from keras import layers

from cvhn_tf import export
from cvhn_tf.export.conversion.reasons import reason_of


class Broken(layers.Layer):
    """Fails in the graph that the converter makes."""

    def call(self, inputs):
        if not tf.executing_eagerly() and not isinstance(inputs, keras.KerasTensor):
            raise TypeError("the table is missing")
        return inputs

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape, inputs.dtype)


def test_first_line_is_the_one_that_says_something():
    where = "Exception encountered when calling Functional.call().\n\n"
    assert (
        reason_of(ValueError(f"{where}\x1b[1mcannot add 3 and 4\x1b[0m\n\nArguments received")) == "cannot add 3 and 4"
    )
    assert reason_of(KeyError()) == "KeyError"


def test_cause_is_told_where_the_error_says_something_else():
    try:
        try:
            raise OSError("no space left")
        except OSError as error:
            raise ValueError("Exception encountered when calling Dense.call().") from error
    except ValueError as error:
        assert reason_of(error) == "no space left"
    try:
        try:
            raise OSError("no space left")
        except OSError as error:
            raise ValueError("the layer failed") from error
    except ValueError as error:
        assert reason_of(error) == "the layer failed (caused by: no space left)"


def test_operations_that_tflite_lacks_are_named():
    text = "Could not translate.<unknown>:0: error: loc(x): 'tf.{}' op is neither a custom op nor a flex op\n"
    error = RuntimeError(text.format("AsString") + text.format("Where") + text.format("AsString"))
    assert reason_of(error) == "TFLite has no operation for TensorFlow's AsString, Where"


@pytest.mark.parametrize("quantization", [None, "float16"])
def test_error_of_a_layer_is_in_that_of_the_conversion(quantization):
    nested = keras.Sequential([keras.Input((4,)), Broken()])
    network = keras.Sequential([keras.Input((4,)), nested, layers.Dense(2)])
    with pytest.raises(export.ConversionError, match="the table is missing"):
        export.to_tflite(network, quantization)
