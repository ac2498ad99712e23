"""Files hold operations that programs for GPUs compute right too, with the same results for any number of examples."""

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from cvhn_tf import export
from cvhn_tf.export.tflite.flatbuffer import operation_of, parse, sizes_of

REFUSED = {"BATCH_TO_SPACE_ND", "EXPAND_DIMS", "REDUCE_MAX", "SHAPE", "SPACE_TO_BATCH_ND"}
PICTURES = {
    "dilated": lambda: layers.Conv2D(4, 3, padding="same", dilation_rate=2),
    "dilated without borders": lambda: layers.Conv2D(4, 3, dilation_rate=2),
    "dilated by channels": lambda: layers.DepthwiseConv2D(3, padding="same", dilation_rate=2),
    "nearest": lambda: layers.UpSampling2D(2),
    "transposed": lambda: layers.Conv2DTranspose(4, 3, 2),
    "transposed and cut": lambda: layers.Conv2DTranspose(4, 3, 2, "same", bias_initializer="normal"),
    "normalized in groups": lambda: layers.GroupNormalization(4, gamma_initializer="normal"),
    "maximum": lambda: layers.GlobalMaxPooling2D(keepdims=True),
    "maxima of channels": lambda: lambda x: keras.ops.max(layers.Conv2D(4, 1)(x), -1, keepdims=True),
    "maxima of columns": lambda: lambda x: keras.ops.max(layers.Add()([x, layers.Conv2D(8, 1)(x)]), 1),
    "minima of columns": lambda: lambda x: keras.ops.min(layers.Add()([x, layers.Conv2D(8, 1)(x)]), 1),
    "one maximum": lambda: lambda x: layers.Reshape((1,))(keras.ops.max(layers.Conv2D(4, 1)(x), (1, 2, 3))),
}
SERIES = {
    "dilated": lambda: layers.Conv1D(4, 3, padding="same", dilation_rate=2),
    "dilated and causal": lambda: layers.Conv1D(4, 3, padding="causal", dilation_rate=3, activation="relu"),
    "nearest": lambda: layers.UpSampling1D(2),
    "transposed": lambda: layers.Conv1DTranspose(4, 3, 2, "same"),
    "dense at each step": lambda: layers.TimeDistributed(layers.Dense(4, "relu")),
    "unrolled": lambda: layers.LSTM(4, unroll=True, return_sequences=True),
    "grouped queries": lambda: lambda x: layers.GroupQueryAttention(4, 4, 2)(x, x),
    "maximum": lambda: layers.GlobalMaxPooling1D(keepdims=True),
}
NETWORKS = {f"picture, {name}": ((7, 8, 8), make) for name, make in PICTURES.items()}
NETWORKS |= {f"series, {name}": ((8, 8), make) for name, make in SERIES.items()}


def made(name):
    shape, layer = NETWORKS[name]
    keras.utils.set_random_seed(0)
    inputs = keras.Input(shape)
    network = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(layer()(inputs))))
    return network, np.random.default_rng(0).normal(size=(20, *shape)).astype("float32")


@pytest.mark.parametrize("quantization", [None, "int8"])
@pytest.mark.parametrize("name", NETWORKS)
def test_what_gpus_lack_is_not_in_files_for_all(name, quantization):
    network, x = made(name)
    artifact = export.to_tflite(network, quantization, representative_data=x)
    model = parse(artifact.content)
    assert not REFUSED & {operation_of(model, operator) for operator in model.subgraphs[0].operators}
    assert max(len(sizes_of(tensor)) for tensor in model.subgraphs[0].tensors) <= 4
    assert artifact.caveats == ()
    interpreter = Interpreter(model_content=artifact.content)
    interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], [3, *x.shape[1:]])
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x[:3])
    interpreter.invoke()
    outputs = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    expected = np.array(network(x[:3]))
    share = 1e-5 if quantization is None else 0.06
    np.testing.assert_allclose(outputs, expected, atol=share * np.abs(expected).max())


@pytest.mark.parametrize(
    "before", [layers.TimeDistributed(layers.GroupNormalization(2)), layers.Lambda(lambda x: 2 * x)]
)
def test_groups_of_channels_are_normalized_beside_layers_that_cannot_be_copied_as_others(before):
    inputs = keras.Input((2, 4, 4, 4))
    network = keras.Model(inputs, layers.Flatten()(layers.GroupNormalization(2)(before(inputs))))
    assert export.to_tflite(network).relative_error < 1e-4


def test_maxima_of_integers_stay():
    inputs = keras.Input((6, 4), dtype="int32")
    network = keras.Model(inputs, layers.Dense(3)(keras.ops.cast(keras.ops.max(inputs, 1), "float32")))
    places = np.random.default_rng(0).integers(-9, 9, (2, 6, 4)).astype("int32")
    artifact = export.to_tflite(network, representative_data=places, client="cpu")
    assert artifact.relative_error < 1e-5


def test_what_gpus_lack_all_the_same_is_said():
    inputs = keras.Input((8, 8))
    looping = keras.Model(inputs, layers.Dense(3)(layers.SimpleRNN(4)(inputs)))
    caveats = export.to_tflite(looping).caveats
    assert caveats[0].startswith("GPUs run no loops, as those of recurrent layers without unroll=True")
    steps = layers.TimeDistributed(layers.LayerNormalization())(inputs)
    (caveat,) = export.to_tflite(keras.Model(inputs, layers.Dense(3)(layers.Flatten()(steps)))).caveats
    assert caveat.startswith("GPUs cut nothing out of the axis of examples")
    five = keras.Model(inputs, layers.Flatten()(layers.Permute((3, 1, 2, 4))(layers.Reshape((4, 2, 4, 2))(inputs))))
    (caveat,) = export.to_tflite(five).caveats
    assert caveat.startswith("GPUs take no tensors of more than four axes")


def test_tables_in_float16_are_tables_too():
    places = keras.Input((6,), dtype="int32")
    network = keras.Model(places, layers.Dense(3)(layers.Flatten()(layers.Embedding(50, 32)(places))))
    (caveat,) = export.to_tflite(network, "float16", client="gpu").caveats
    assert caveat.startswith("GPUs look up no tables")


def test_biases_are_added_behind_kernels_that_are_expanded_for_the_web():
    inputs = keras.Input((16,))
    network = keras.Model(inputs, layers.Dense(8, "relu6", bias_initializer="normal")(inputs))
    model = parse(export.to_tflite(network, "weight_only_int8", client="web").content)
    assert [operation_of(model, operator) for operator in model.subgraphs[0].operators] == [
        "DEQUANTIZE",
        "FULLY_CONNECTED",
        "ADD",
    ]


def test_kernels_of_several_filters_for_each_channel_are_not_expanded_for_the_web():
    inputs = keras.Input((8, 8, 3))
    network = keras.Model(inputs, layers.DepthwiseConv2D(3, depth_multiplier=2)(inputs))
    with pytest.raises(export.ConversionError, match="several filters for each channel wrongly on WebGPU"):
        export.to_tflite(network, "weight_only_int8", client="web")
    export.to_tflite(network, "weight_only_int8", client="cpu")
