"""Integer weights are expanded where LiteRT.js computes right on WebGPU what reads them."""

import keras
import numpy as np
import pytest
from keras import layers

from cvhn_tf import export
from cvhn_tf.export.tflite.flatbuffer import operation_of, parse, type_name
from cvhn_tf.export.verification.litert import LiteRTModel


def two_tables(width):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6,), dtype="int32")
    tables = [layers.Embedding(rows, width)(inputs) for rows in (200, 20)]
    return keras.Model(inputs, layers.Dense(5)(layers.Flatten()(layers.Add()(tables))))


def operations(artifact):
    model = parse(artifact.content)
    return model, [(operation_of(model, operator), operator) for operator in model.subgraphs[0].operators]


@pytest.mark.parametrize(("quantization", "kind"), [("weight_only_int8", "INT8"), ("weight_only_int4", "INT4")])
def test_lookups_read_integers_themselves_for_the_web(quantization, kind):
    network = two_tables(16)
    artifact = export.to_tflite(network, quantization, client="web")
    model, used = operations(artifact)
    tables = [model.subgraphs[0].tensors[one.inputs[1]] for name, one in used if name == "EMBEDDING_LOOKUP"]
    assert [type_name(table) for table in tables] == [kind, kind]
    assert sum(name == "DEQUANTIZE" for name, _ in used) == 1  # of the Dense layer
    places = np.random.default_rng(0).integers(0, 20, (1, 6)).astype("int32")
    of_cpu = LiteRTModel(export.to_tflite(network, quantization, client="cpu").content).run([places])[0]
    np.testing.assert_allclose(LiteRTModel(artifact.content).run([places])[0], of_cpu, rtol=1e-5, atol=1e-6)


def test_rows_that_are_read_wrongly_both_ways_are_refused_with_the_client_that_takes_them():
    with pytest.raises(export.ConversionError, match=r"odd number of 4-bit weights.*there only, client='cpu' takes it"):
        export.to_tflite(two_tables(7), "weight_only_int4", client="web")
    export.to_tflite(two_tables(7), "weight_only_int8", client="web")


def test_what_the_processor_convolves_between_parts_of_a_gpu_is_said():
    inputs = keras.Input((12, 12, 3))
    first, second = layers.Conv2D(8, 3)(inputs), layers.Conv2D(8, 3)(layers.Activation("elu")(inputs))
    networks = [keras.Model(inputs, layers.Dense(5)(layers.Flatten()(maps))) for maps in (first, second)]
    at_first, behind = [export.to_tflite(network, "dynamic_int4", client="web").caveats for network in networks]
    assert at_first == ()
    assert "in browsers without JSPI" in behind[0]


def test_transposed_convolutions_multiply_no_floats_by_integers_where_old_runtimes_refuse_it():
    inputs = keras.Input((4, 4, 16))
    network = keras.Model(inputs, layers.Dense(40)(layers.Flatten()(layers.Conv2DTranspose(16, 3, 2, "same")(inputs))))
    for client, kind in (("any", "FLOAT32"), ("tflite", "FLOAT32"), ("cpu", "INT8")):
        artifact = export.to_tflite(network, "dynamic_range", client=client)
        model, used = operations(artifact)
        (kernel,) = (one.inputs[1] for name, one in used if name == "TRANSPOSE_CONV")
        assert type_name(model.subgraphs[0].tensors[kernel]) == kind
        assert ["TRANSPOSE_CONV" in tensor.reason for tensor in artifact.unquantized] == [True] * (kind == "FLOAT32")


def test_four_bit_convolutions_of_inputs_come_first_in_dynamic_int4():
    photo, facts = keras.Input((8, 8, 3)), keras.Input((6,))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3)(photo))
    y = layers.Activation("softplus")(layers.Dense(12)(facts))
    network = keras.Model([photo, facts], layers.Dense(4)(layers.Concatenate()([y, x])))
    artifact = export.to_tflite(network, "dynamic_int4", client="web")
    assert artifact.caveats == ()
    model = parse(artifact.content)
    assert operation_of(model, model.subgraphs[0].operators[0]) == "CONV_2D"
