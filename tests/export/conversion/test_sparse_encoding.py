"""Kernels in TFLite's sparse encoding: single weights or blocks, whichever is smaller."""

import keras
import numpy as np
import pytest
from keras import layers

from cvhn_tf import export
from cvhn_tf.export.conversion import converter
from cvhn_tf.export.conversion.frozen_graphs import FrozenGraphs
from cvhn_tf.export.tflite.flatbuffer import constants, parse
from cvhn_tf.export.verification.litert import LiteRTModel
from cvhn_tf.export.verification.verify import ConversionError


def network_of(*kernels):
    """Dense layers side by side, one for each kernel, on the same inputs."""
    inputs = keras.Input((len(kernels[0]),))
    outputs = [layers.Dense(kernel.shape[1], use_bias=False)(inputs) for kernel in kernels]
    model = keras.Model(inputs, outputs)
    model.set_weights(kernels)
    return model


def few_weights(inputs, units, share, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(inputs, units)) * (rng.random((inputs, units)) < share)).astype("float32")


def blocks(inputs, units, share):
    """A kernel of blocks of four inputs, each of which lives or dies as a whole."""
    kernel = np.random.default_rng(0).normal(size=(inputs // 4, 4, units))
    return (kernel * (np.random.default_rng(1).random((inputs // 4, 1, units)) < share)).reshape(inputs, units)


def encodings(content):
    """For each sparse kernel, whether it is in blocks."""
    tensors = [tensor for tensor, _ in constants(parse(content)) if tensor.sparsity is not None]
    return [len(tensor.sparsity.dimMetadata) == 3 for tensor in tensors]


def by_converter(model, quantization):
    return converter.converted(FrozenGraphs(), model, quantization, True, None)


@pytest.mark.parametrize("inputs", [64, 66, 400], ids=str)
@pytest.mark.parametrize("quantization", [None, "float16"])
def test_few_weights_are_stored_one_by_one(inputs, quantization):
    model = network_of(few_weights(inputs, 100, 0.02))
    assert encodings(by_converter(model, quantization)) == [True]
    artifact = export.to_tflite(model, quantization, sparse=True, client="cpu")
    assert encodings(artifact.content) == [False]
    # `to_tflite` has compared the file's outputs with Keras's.
    (data,) = (buffer.data for tensor, buffer in constants(parse(artifact.content)) if tensor.sparsity is not None)
    assert len(data) == np.count_nonzero(model.get_weights()[0]) * (4 if quantization is None else 2)
    assert artifact.size_bytes < len(by_converter(model, quantization))


def test_whole_blocks_stay_blocks_where_these_are_smaller():
    model = network_of(blocks(64, 100, 0.1))
    artifact = export.to_tflite(model, sparse=True, client="cpu")
    assert encodings(artifact.content) == [True]


def test_blocks_in_half_precision_become_single_weights():
    """The converter hands blocks in float16 to an operation that reads them as a dense kernel."""
    assert encodings(
        export.to_tflite(network_of(blocks(64, 100, 0.1)), "float16", sparse=True, client="cpu").content
    ) == [False]


@pytest.mark.parametrize("quantization", [None, "float16"])
def test_equal_kernels_that_the_file_holds_once(quantization):
    kernel = few_weights(64, 100, 0.02)
    model = network_of(kernel, kernel, few_weights(64, 100, 0.02, seed=3))
    assert set(encodings(export.to_tflite(model, quantization, sparse=True, client="cpu").content)) == {False}


@pytest.mark.parametrize("quantization", [None, "float16"])
def test_kernels_without_any_weight(quantization):
    model = network_of(few_weights(64, 100, 0.02), np.zeros((64, 100), "float32"))
    export.to_tflite(model, quantization, sparse=True, client="cpu")


@pytest.mark.parametrize("inputs", [65, 66, 67], ids=str)
def test_weights_of_last_inputs_are_there_though_all_examples_are_zero_in_these(inputs):
    """The converter's blocks lack them, which no comparison on such examples shows."""
    model = network_of(blocks(68, 64, 0.2)[:inputs])
    x = np.random.default_rng(0).normal(size=(20, inputs)).astype("float32")
    alike = np.where(np.arange(inputs) < 64, x, 0)
    artifact = export.to_tflite(model, sparse=True, client="cpu", representative_data=alike)
    np.testing.assert_allclose(LiteRTModel(artifact).run([x])[0], model(x), rtol=1e-5, atol=1e-5)


def test_where_last_inputs_cannot_be_padded_no_file_without_their_weights_is_made():
    inputs = keras.Input((3, 66))
    model = keras.Model(inputs, layers.EinsumDense("abc,cd->abd", output_shape=(None, 64))(inputs))
    model.set_weights([blocks(68, 64, 0.2)[:66]])
    zeros = np.zeros((4, 3, 66), "float32")
    with pytest.raises(ConversionError, match="without the weights of the last 2"):
        export.to_tflite(model, sparse=True, client="cpu", representative_data=zeros)


@pytest.mark.parametrize("quantization", [None, "float16"])
def test_no_weights_are_missed_where_those_of_the_last_inputs_are_zero(quantization):
    inputs = keras.Input((3, 66))
    model = keras.Model(inputs, layers.EinsumDense("abc,cd->abd", output_shape=(None, 64))(inputs))
    model.set_weights([np.where(np.arange(66) < 64, blocks(68, 64, 0.2)[:66].T, 0).T])
    assert export.to_tflite(model, quantization, sparse=True, client="cpu").sparse
