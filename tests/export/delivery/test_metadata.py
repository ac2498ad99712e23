"""What a TFLite file tells of itself: names as in Keras, labels and provenance, in the file and beside it."""

import hashlib
import json

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from cvhn_tf import export
from cvhn_tf.export.tflite.flatbuffer import constants, parse


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    a, b = keras.Input((3,), name="second"), keras.Input((2,), name="first")
    x = layers.Concatenate()([layers.Dense(4, "relu")(a), b])
    return keras.Model([a, b], [layers.Dense(2, name="zebra")(x), layers.Dense(3, name="ape")(x)])


@pytest.fixture(scope="module")
def artifact(network):
    return export.to_tflite(network, client="cpu")


def run(content, inputs):
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    for detail, array in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def test_inputs_and_outputs_have_the_names_and_the_order_of_the_keras_model(network, artifact):
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(1, 3)).astype("float32"), rng.normal(size=(1, 2)).astype("float32")]
    expected = [np.asarray(output) for output in network(inputs)]
    for output, same in zip(run(artifact.content, inputs), expected, strict=True):
        np.testing.assert_allclose(output, same, atol=1e-5)
    by_name = Interpreter(model_content=artifact.content).get_signature_runner()(second=inputs[0], first=inputs[1])
    assert set(by_name) == {"zebra", "ape"}
    np.testing.assert_allclose(by_name["zebra"], expected[0], atol=1e-5)
    np.testing.assert_allclose(by_name["ape"], expected[1], atol=1e-5)


@pytest.mark.parametrize(
    "quantization", [None, "float16", "dynamic_range", "weight_only_int8", "weight_only_int4", "dynamic_int4"]
)
def test_annotated_file_runs_as_before_and_tells_where_it_comes_from(network, quantization):
    plain = export.to_tflite(network, quantization, client="cpu")
    annotated = export.annotate(plain, complexity=0.5, sparsity=0.9, structure="unit", labels=["no", "sí"])
    inputs = [np.ones((1, 3), "float32"), np.ones((1, 2), "float32")]
    for before, after in zip(run(plain.content, inputs), run(annotated.content, inputs), strict=True):
        np.testing.assert_array_equal(before, after)
    told = export.read_metadata(annotated.content)
    assert told == annotated.metadata
    assert told["complexity"] == 0.5 and told["sparsity"] == 0.9 and told["structure"] == "unit"
    assert told["encoding"] == (quantization or "float32") and told["labels"] == ["no", "sí"]
    assert told["inputs"][0] == {"name": "second", "shape": [-1, 3], "dtype": "float32"}
    assert [output["name"] for output in told["outputs"]] == ["zebra", "ape"]
    assert told["package"] == "cvhn-tf" and told["version"]


def test_annotating_again_replaces_what_was_there(artifact):
    first = export.annotate(artifact, complexity=1.0, sparsity=0.5)
    second = export.annotate(first, complexity=2.0)
    assert second.metadata["complexity"] == 2.0 and "sparsity" not in second.metadata
    assert export.read_metadata(second) == second.metadata


def test_save_writes_the_metadata_beside_the_file(artifact, tmp_path):
    annotated = export.annotate(artifact, complexity=1.0)
    path = annotated.save(tmp_path / "network.tflite")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["network.json", "network.tflite"]
    told = json.loads((tmp_path / "network.json").read_text())
    assert told.pop("sha256") == hashlib.sha256(path.read_bytes()).hexdigest()
    assert told.pop("size_bytes") == path.stat().st_size
    assert told == export.read_metadata(path)
    with pytest.raises(ValueError, match=r"\.json"):
        annotated.save(tmp_path / "other.json")


def test_buffers_begin_at_multiples_of_sixteen_bytes(artifact):
    content = export.annotate(artifact, complexity=1.0).content
    for _, buffer in constants(parse(content)):
        values = bytes(buffer.data)
        assert len(values) >= 16 and content.count(values) == 1
        assert content.index(values) % 16 == 0


@pytest.mark.parametrize("labels", [["one"], ["one", "two", "three"], [1, 2]])
def test_labels_that_do_not_fit_the_classes_are_refused(artifact, labels):
    with pytest.raises(ValueError, match="2 strings"):
        export.annotate(artifact, labels=labels)


def test_files_without_metadata_are_refused(artifact, tmp_path):
    with pytest.raises(ValueError, match="without its metadata"):
        export.read_metadata(artifact)
    with pytest.raises(ValueError, match="are none"):
        export.read_metadata(b"not a TFLite file")
    with pytest.raises(ValueError, match="cannot be read"):
        export.read_metadata(export.annotate(artifact).content[:200])
    with pytest.raises(FileNotFoundError):
        export.read_metadata(tmp_path / "none.tflite")
