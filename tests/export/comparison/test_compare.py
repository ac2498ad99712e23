import csv
import dataclasses
import io
import json
import logging

import keras
import numpy as np
import pytest
import tensorflow as tf
from repeated import repeated

import cvhn_tf
from cvhn_tf import export
from cvhn_tf.export.comparison.pareto import pareto_front


@pytest.fixture
def trained(compiled, data):
    model = compiled(train_size=64)
    model.fit(*repeated(data, 20), batch_size=8, epochs=2, verbose=0)
    return model


def row(size_bytes, accuracy):
    return export.Row(1.0, 0.0, None, False, 1.0, 1, size_bytes, size_bytes, accuracy, accuracy, 0.1)


def test_table_holds_what_was_measured(trained, data, tmp_path, capfd):
    seen = []
    comparison = export.compare(
        trained,
        data,
        complexities=[0.1, 10.0],
        sparsities=[0.0, 0.5],
        labels=["a", "b", "c"],
        progress=lambda done, total, result: seen.append((done, total, result.complexity)),
        verbose=True,
    )
    assert len(comparison) == 8 and not comparison.skipped
    assert seen == [(i + 1, 8, 0.1 if i < 4 else 10.0) for i in range(8)]
    told = capfd.readouterr().err.splitlines()  # a log tells how far it is before the end
    assert told == [f"Comparing: {10 * (10 * i // 8)}%, {i} of 8 files" for i in range(1, 9)]
    for line in comparison:
        artifact = comparison.artifact_of(line)
        assert (line.size_bytes, line.gzip_bytes) == (artifact.size_bytes, artifact.gzip_bytes)
        written = export.read_metadata(artifact.content)
        assert (written["complexity"], written["sparsity"]) == (line.complexity, line.sparsity)
        assert (written["structure"], written["labels"]) == ("weight", ["a", "b", "c"])
        assert line.accuracy == export.evaluate_tflite(artifact, *data).accuracy
        assert line.description_length_bits == trained.description_length(line.complexity)
        network = export.prune(trained, line.complexity, line.sparsity)
        assert line.keras_accuracy == np.mean(network(data[0]).numpy().argmax(1) == data[1])
        assert line.parameters_kept == sum(np.count_nonzero(w) for w in network.get_weights())

    table = list(csv.DictReader(io.StringIO(comparison.to_csv(tmp_path / "table.csv"))))
    assert [float(line["accuracy"]) for line in table] == [line.accuracy for line in comparison]
    fields = [dataclasses.asdict(line) for line in comparison]
    assert all(line.pop(name) is None for line in fields for name in ("metric", "keras_metric"))
    assert json.loads(comparison.to_json())["rows"] == fields
    assert len(comparison.to_markdown().splitlines()) == 2 + 8
    assert (tmp_path / "table.csv").read_text() == comparison.to_csv()
    comparison.plot(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG") and (
        tmp_path / "plot.png"
    ).stat().st_size > 10_000


def test_comparing_many_networks_gives_no_warnings_of_tensorflow(trained, data):
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logging.getLogger("tensorflow").addHandler(handler)
    try:
        export.compare(trained, data, complexities=[1.0], sparsities=np.arange(8) / 10, quantizations=[None])
    finally:
        logging.getLogger("tensorflow").removeHandler(handler)
    assert [record.getMessage() for record in records if record.levelno >= logging.WARNING] == []


def test_datasets_and_one_hot_labels_give_the_same_accuracy(trained, data):
    x, y = data
    arguments = {"complexities": [1.0], "sparsities": [0.5], "quantizations": [None]}
    (expected,) = export.compare(trained, data, **arguments)
    (from_dataset,) = export.compare(trained, tf.data.Dataset.from_tensor_slices((x, y)).batch(10), **arguments)
    (one_hot,) = export.compare(trained, (x, np.eye(3)[y]), **arguments)
    assert expected.accuracy == from_dataset.accuracy == one_hot.accuracy


def test_pareto_front_is_every_row_that_none_beats():
    rows = [row(10, 0.5), row(20, 0.4), row(20, 0.9), row(20, 0.8), row(30, 0.9), row(40, 0.95)]
    assert pareto_front(rows) == {0, 2, 5}


def test_best_row_under_a_budget():
    comparison = export.Comparison([row(10, 0.5), row(20, 0.9), row(40, 0.95)], [])
    assert comparison.best(max_bytes=25).size_bytes == 20
    assert comparison.best(min_accuracy=0.7).size_bytes == 20
    assert comparison.best(max_bytes=5) is None and comparison.best(min_accuracy=0.99) is None
    with pytest.raises(ValueError, match=r"`best` returns None.*row=None"):
        comparison.artifact_of(comparison.best(max_bytes=5))


@pytest.mark.parametrize(
    "arguments, name",
    [
        ({"complexities": [1e4]}, "complexity"),
        ({"sparsities": [0.5, 1.0]}, "sparsities"),
        ({"quantizations": ["int4"]}, "quantization"),
        ({"quantizations": ["int8"]}, "representative_data"),
        ({"data": 3}, "data"),
        ({"data": (np.zeros((4, 8)), np.full(4, 0.5))}, "class labels"),
        ({"labels": ["a", "b"]}, "labels"),
    ],
)
def test_bad_arguments_are_refused_before_any_conversion(compiled, data, arguments, name, monkeypatch):
    monkeypatch.setattr(tf.lite, "TFLiteConverter", None)
    with pytest.raises(ValueError, match=name):
        export.compare(compiled(), **{"data": data, **arguments})


def test_examples_of_several_inputs_may_come_by_name_and_in_batches():
    inputs = [keras.Input((5,), name="second"), keras.Input((3,), name="first")]
    target = keras.Model(inputs, keras.layers.Dense(3, "softmax")(keras.layers.Concatenate()(inputs)))
    model = cvhn_tf.VariationalHypernetwork(target)
    rng = np.random.default_rng(0)
    second, first = (rng.normal(size=(30, n)).astype("float32") for n in (5, 3))
    y, named = np.arange(30) % 3, {"first": first, "second": second}
    batches = [tf.data.Dataset.from_tensor_slices((x, y)).batch(7) for x in (named, (second, first))]
    settings = {"complexities": [1.0], "sparsities": [0.5], "quantizations": [None]}
    rows = [export.compare(model, data, **settings).rows[0] for data in ([[second, first], y], (named, y), *batches)]
    outputs = export.prune(model, 1.0, 0.5)([second, first])
    assert [row.accuracy for row in rows] == [np.mean(np.argmax(outputs, 1) == y)] * 4


@pytest.mark.parametrize("shape", [(2, 3), None])
def test_networks_that_are_no_classifiers_are_refused_before_any_conversion(shape):
    inputs = keras.Input((6,))
    outputs = [keras.layers.Dense(n, "softmax")(inputs) for n in (3, 2)]
    if shape is not None:
        outputs = keras.layers.Reshape(shape)(keras.layers.Dense(6)(inputs))
    model = cvhn_tf.VariationalHypernetwork(keras.Model(inputs, outputs))
    with pytest.raises(ValueError, match="Expected a classifier, of one output"):
        export.compare(model, (np.ones((4, 6), "float32"), np.zeros(4, int)))
