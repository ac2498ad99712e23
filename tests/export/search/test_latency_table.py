import json

import keras
import pytest
from keras import layers

import cvhn_tf
from cvhn_tf import export


@pytest.fixture
def target():
    inputs = keras.Input((4, 4, 2), name="images")
    paths = []
    for size in (1, 3):
        x = layers.Conv2D(2, size, padding="same", name=f"conv_{size}")(inputs)
        paths.append(layers.ReLU(name=f"relu_{size}")(layers.BatchNormalization(name=f"norm_{size}")(x)))
    x = cvhn_tf.Choice(name="choice")([*paths, layers.Conv2D(2, 3, padding="same", name="again")(inputs)])
    return keras.Model(
        inputs, layers.Dense(2, name="head")(layers.Flatten(name="flat")(layers.Add(name="add")([x, inputs])))
    )


def test_parts_are_measured_once_and_costs_are_their_sum(target, tmp_path):
    files = []

    def measure(artifact):
        files.append(artifact)
        return float(len(files))

    table = export.measure_latencies(target, "float16", measure=measure, device="a phone")
    parts = [row["layers"] for row in table.rows]
    assert sorted(parts) == [
        ["add", "flat", "head"],
        ["again"],
        ["conv_1", "norm_1", "relu_1"],
        ["conv_3", "norm_3", "relu_3"],
    ]
    assert len(files) == 4 and all(file.quantization == "float16" for file in files)
    assert table["norm_1"] == 0.0 and sum(table.values()) == 10.0
    table.save(tmp_path / "table.json")
    loaded = export.LatencyTable.load(tmp_path / "table.json")
    assert dict(loaded) == dict(table) and (loaded.device, loaded.encoding) == ("a phone", "float16")
    model = cvhn_tf.VariationalHypernetwork(target, structure_cost=loaded)
    for path, name in enumerate(("conv_1", "conv_3", "again")):
        assert model.structure_cost(1.0, {"choice": path}) == table[name] + table["add"]


def test_equal_parts_are_measured_once():
    inputs = keras.Input((5,))
    x = cvhn_tf.Choice(name="choice")([layers.Dense(5)(inputs), layers.Dense(5)(inputs), inputs])
    calls = []
    table = export.measure_latencies(keras.Model(inputs, x), measure=lambda file: calls.append(file) or 0.5)
    assert len(calls) == 1 and len(table) == 2 and set(table.values()) == {0.5}


def test_this_machine_measures(target):
    table = export.measure_latencies(target)
    assert all(0 < row["ms"] < 1000 for row in table.rows)
    assert "ai-edge-litert" in table.device


def test_bad_input(target, tmp_path):
    with pytest.raises(ValueError, match=r"built Keras model. Received: target=None"):
        export.measure_latencies(None)
    with pytest.raises(ValueError, match=r"needs no examples. Received: quantization='int8'"):
        export.measure_latencies(target, "int8")
    free = keras.Input((None, 3))
    with pytest.raises(ValueError, match=r"known size for layer 'free'.*\(None, None, 3\)"):
        export.measure_latencies(keras.Model(free, layers.Conv1D(2, 1, name="free")(free)))
    for content in (
        "{}",
        "no JSON",
        json.dumps({"version": 1, "encoding": "", "device": "", "rows": [{"layers": []}]}),
    ):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(ValueError, match=r"a table of latencies, as JSON. Received: path="):
            export.LatencyTable.load(tmp_path / "bad.json")
