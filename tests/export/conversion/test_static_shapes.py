"""Files compute no shapes where these are known but for the number of examples."""

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from cvhn_tf import export
from cvhn_tf.export.conversion.static_shapes import drop_unread
from cvhn_tf.export.tflite.flatbuffer import add_operation, add_tensor_like, operation_of, parse, sizes_of
from cvhn_tf.export.verification.litert import LiteRTModel


def operations(content):
    model = parse(content)
    return {operation_of(model, operator) for operator in model.subgraphs[0].operators}


def sequential(*layers_):
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((8, 8, 2)), *layers_, layers.Dense(40, "relu"), layers.Dense(3)])


NETWORKS = {
    "flatten": lambda: sequential(layers.Conv2D(4, 3), layers.Flatten()),
    "reshape": lambda: sequential(layers.Reshape((-1, 16)), layers.Conv1D(4, 3), layers.Reshape((24,))),
    "nested": lambda: sequential(keras.Sequential([layers.Conv2D(4, 3), layers.Flatten()]), layers.Reshape((144,))),
    "time distributed": lambda: sequential(layers.TimeDistributed(layers.Flatten()), layers.Flatten()),
}


@pytest.mark.parametrize("quantization", [None, "float16", "dynamic_range", "int8", "weight_only_int8", "dynamic_int4"])
@pytest.mark.parametrize("name", NETWORKS)
def test_flatten_and_reshape_are_one_operation_for_any_number_of_examples(name, quantization):
    network = NETWORKS[name]()
    x = np.random.default_rng(0).normal(size=(5, 8, 8, 2)).astype("float32")
    artifact = export.to_tflite(network, quantization, representative_data=x, client="cpu")
    assert "SHAPE" not in operations(artifact.content)
    litert = LiteRTModel(artifact)
    together = litert.run([x])[0]
    for i in range(len(x)):
        np.testing.assert_allclose(litert.run([x[i : i + 1]])[0][0], together[i], atol=1e-5)
    scale = np.abs(network(x)).max()
    np.testing.assert_allclose(together, network(x), atol=0.6 * scale if "int4" in str(quantization) else 0.1 * scale)


def test_of_sizes_that_are_free_shapes_are_still_computed():
    network = keras.Sequential([keras.Input((None, None, 2)), layers.Reshape((-1, 2)), layers.Dense(3)])
    content = export.to_tflite(network, client="cpu").content
    assert "SHAPE" in operations(content)
    for shape in ((3, 4), (2, 7)):
        x = np.ones((2, *shape, 2), "float32")
        np.testing.assert_allclose(LiteRTModel(content).run([x])[0], network(x), atol=1e-5)


def test_names_lead_to_the_right_tensors():
    first, second = keras.Input((4, 4), name="zebra"), keras.Input((6,), name="ape")
    flat = layers.Flatten()(first)
    network = keras.Model(
        [first, second], [layers.Dense(2, name="b")(flat), layers.Concatenate(name="a")([flat, second])]
    )
    runner = Interpreter(model_content=export.to_tflite(network, client="cpu").content).get_signature_runner()
    rng = np.random.default_rng(0)
    x = {"zebra": rng.normal(size=(1, 4, 4)).astype("float32"), "ape": rng.normal(size=(1, 6)).astype("float32")}
    outputs = runner(**x)
    for name, expected in zip("ba", network([x["zebra"], x["ape"]]), strict=True):
        np.testing.assert_allclose(outputs[name], expected, atol=1e-5)


@pytest.mark.parametrize(
    "quantization", [None, "dynamic_range", "weight_only_int8", "weight_only_int4", "dynamic_int4"]
)
def test_both_fields_of_an_operation_say_the_same(quantization):
    network = NETWORKS["flatten"]()
    for code in parse(export.to_tflite(network, quantization, client="cpu").content).operatorCodes:
        assert code.deprecatedBuiltinCode == min(code.builtinCode, 127)


def test_what_nothing_reads_is_dropped_and_what_makes_nothing_stays():
    model = parse(export.to_tflite(NETWORKS["flatten"](), client="cpu").content)
    (graph,) = model.subgraphs
    made = [operation_of(model, operator) for operator in graph.operators]
    (source,) = map(int, graph.inputs)
    for _ in range(2):  # the second of which reads the first
        place = add_tensor_like(graph, graph.tensors[source], sizes_of(graph.tensors[source]))
        graph.operators.append(add_operation(model, schema.BuiltinOperator.NEG, [source], [place]))
        source = place
    effect = add_operation(model, schema.BuiltinOperator.ASSIGN_VARIABLE, list(map(int, graph.inputs)), [])
    graph.operators.append(effect)
    drop_unread(model)
    assert [operation_of(model, operator) for operator in graph.operators] == [*made, "ASSIGN_VARIABLE"]
    assert schema.BuiltinOperator.NEG not in {code.builtinCode for code in model.operatorCodes}
