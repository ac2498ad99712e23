"""Files compared by another metric than accuracy: rows, tables, pictures and the report, and which way is better."""

import csv
import dataclasses
import importlib
import io
import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import cvhn_tf
from cvhn_tf import export, targets
from cvhn_tf.export.comparison.pareto import pareto_front
from cvhn_tf.export.comparison.plot import plot_front
from cvhn_tf.export.comparison.report_figures import size_accuracy_figure
from cvhn_tf.export.evaluation.as_metric import as_metric

FEW = {"complexities": [0.1, 10.0], "sparsities": [0.0, 0.5, 0.9], "quantizations": [None, "dynamic_range"]}


def row(size_bytes, value):
    return export.Row(1.0, 0.0, None, False, 1.0, 1, size_bytes, size_bytes, None, None, 0.1, metric=value)


def hypernetwork(target):
    return cvhn_tf.VariationalHypernetwork(target, complexity_range=(0.01, 10), seed=0)


@pytest.fixture(scope="module")
def data():
    x = np.random.default_rng(0).normal(size=(1203, 6)).astype("float32")
    return x, (x[:, 0] * x[:, 1] + x[:, 2]).astype("float64")


@pytest.fixture(scope="module")
def regression(data):
    keras.utils.set_random_seed(0)
    target = keras.Sequential([keras.Input((6,)), layers.Dense(32, "relu"), layers.Dense(1)])
    model = hypernetwork(target)
    model.compile(cvhn_tf.default_optimizer(20 * 38), "mse")
    model.fit(*data, batch_size=32, epochs=20, verbose=0)
    return model


@pytest.fixture(scope="module")
def comparison(regression, data):
    return export.compare(regression, data, metric="mse", **FEW)


def test_rows_hold_the_metric_in_keras_and_in_the_file(comparison, regression, data):
    x, y = data
    assert len(comparison) == 12 and (comparison.metric.name, comparison.metric.direction) == ("mse", "min")
    for line in comparison:
        network = export.prune(regression, line.complexity, line.sparsity)
        assert line.keras_metric == pytest.approx(np.mean((network(x).numpy()[:, 0] - y) ** 2), rel=1e-5)
        artifact = comparison.artifact_of(line)
        assert line.metric == export.evaluate_tflite(artifact, x, y, metric="mse").metric
        assert (line.accuracy, line.keras_accuracy, line.calibration_error) == (None, None, None)
        if line.quantization is None:
            assert line.metric == pytest.approx(line.keras_metric, rel=1e-4)


def test_small_values_are_the_better_ones(comparison):
    for line in comparison:
        beaten = any(
            other.size_bytes <= line.size_bytes
            and other.metric <= line.metric
            and (other.size_bytes, other.metric) != (line.size_bytes, line.metric)
            for other in comparison
        )
        assert not (line.pareto and beaten)
    best = comparison.best()
    assert best.metric == min(line.metric for line in comparison) and best.pareto
    middle = float(np.median([line.metric for line in comparison]))
    smallest = comparison.best(max_metric=middle)
    good = [line for line in comparison if line.metric <= middle]
    assert smallest.metric <= middle and smallest.size_bytes == min(line.size_bytes for line in good)
    within = comparison.best(max_bytes=smallest.size_bytes)
    fitting = [line.metric for line in comparison if line.size_bytes <= smallest.size_bytes]
    assert within.metric == min(fitting)
    assert comparison.best(max_metric=0.0) is None
    for wrong in ({"min_accuracy": 0.5}, {"min_metric": 0.5}):
        with pytest.raises(
            ValueError, match=r"Expected `max_metric` as a bound of mse, of which small values are good"
        ):
            comparison.best(**wrong)
    with pytest.raises(ValueError, match=r"max_metric=nan"):
        comparison.best(max_metric=math.nan)


def test_front_turns_with_the_direction():
    rows = [row(1, 0.5), row(2, 0.7), row(3, 0.4), row(3, 0.3), row(4, 0.9), row(5, math.nan)]
    assert pareto_front(rows, as_metric("mse")) == {0, 3}
    assert pareto_front(rows, as_metric("AUC")) == {0, 1, 4}


def test_tables_call_the_metric_by_its_name_in_the_place_of_accuracy(comparison):
    usual = next(csv.reader(io.StringIO(comparison.to_csv())))
    names = [field.name for field in dataclasses.fields(export.Row)]
    places = {"accuracy": "mse", "keras_accuracy": "keras_mse"}
    assert usual == [places.get(name, name) for name in names if name not in ("metric", "keras_metric")]
    table = list(csv.DictReader(io.StringIO(comparison.to_csv())))
    assert [float(line["mse"]) for line in table] == [line.metric for line in comparison]
    rows = json.loads(comparison.to_json())["rows"]
    assert [line["keras_mse"] for line in rows] == [line.keras_metric for line in comparison]
    assert " keras_mse | mse |" in comparison.to_markdown() and "accuracy" not in comparison.to_markdown()


def test_report_and_picture_show_the_metric(comparison, tmp_path):
    page = comparison.report()
    assert "<h1>Size and mse</h1>" in page and "<button>keras_mse</button>" in page
    assert page.count("<tr class='marked'") == sum(line.pareto for line in comparison)
    figure = size_accuracy_figure(comparison.rows, metric=comparison.metric)
    assert figure["layout"]["yaxis"]["title"]["text"] == "mse in LiteRT"
    assert sorted(y for trace in figure["data"][:2] for y in trace["y"]) == sorted(line.metric for line in comparison)
    (front,) = [trace for trace in figure["data"] if trace["name"] == "Pareto front"]
    assert front["y"] == sorted(front["y"], reverse=True)
    comparison.plot(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("values", [[math.nan], [math.inf, math.nan], [0.5, math.nan], [0.0, 2.0], [-1.0, 3.0]])
def test_values_that_are_no_numbers_do_not_break_pictures(values):
    rows = [row(i + 1, value) for i, value in enumerate(values)]
    metric = as_metric("mse")
    front = pareto_front(rows, metric)
    rows = [dataclasses.replace(line, pareto=i in front) for i, line in enumerate(rows)]
    comparison = export.Comparison(rows, [None] * len(rows), metric=metric)
    assert plot_front(rows, metric).startswith(b"\x89PNG")
    assert "Size and mse" in comparison.report() and math.nan not in [rows[i].metric for i in front]
    assert json.loads(comparison.to_json(), parse_constant=lambda text: pytest.fail(text))


def test_a_metric_of_the_name_of_a_column_has_another(regression, data):
    metric = keras.metrics.MeanSquaredError(name="size_bytes")
    one = export.compare(regression, data, [1.0], [0.5], [None], metric=metric)
    (line,) = csv.DictReader(io.StringIO(one.to_csv()))
    assert int(line["size_bytes"]) == one.rows[0].size_bytes
    assert float(line["size_bytes_metric"]) == one.rows[0].metric


def test_autoencoder_is_compared_with_its_inputs():
    model = hypernetwork(targets.autoencoder_640((40,)))
    x = np.random.default_rng(0).normal(size=(130, 40)).astype("float32")
    model.compile(cvhn_tf.PivotAdam(), "mse", run_eagerly=True)  # two steps, which take longer to trace than to run
    model.fit(x, x, batch_size=65, epochs=1, verbose=0)
    batches = tf.data.Dataset.from_tensor_slices((x, x)).batch(33)
    comparison = export.compare(model, batches, [1.0], [0.5, 0.9], ["dynamic_range", "float16"], metric="mse")
    assert len(comparison) == 4
    for line in comparison:
        outputs = export.prune(model, line.complexity, line.sparsity)(x).numpy()
        assert line.keras_metric == pytest.approx(np.mean((outputs - x) ** 2), rel=1e-4)
        assert line.metric == pytest.approx(line.keras_metric, rel=0.05)


def test_several_outputs_are_compared_by_the_sum_of_their_metrics():
    inputs = keras.Input((6,))
    hidden = layers.Dense(16, "relu")(inputs)
    outputs = {"place": layers.Dense(2)(hidden), "kind": layers.Dense(3, "softmax")(hidden)}
    model = hypernetwork(keras.Model(inputs, outputs))
    x = np.random.default_rng(0).normal(size=(50, 6)).astype("float32")
    labels = {"place": x[:, :2], "kind": np.arange(50) % 3}
    metric = {"place": "mse", "kind": "sparse_categorical_crossentropy"}
    comparison = export.compare(model, (x, labels), [1.0], [0.0, 0.5], [None], metric=metric)
    assert comparison.metric.name == "kind_sparse_categorical_crossentropy+place_mse"
    for line in comparison:
        made = export.prune(model, line.complexity, line.sparsity)(x)
        loss = float(np.mean(keras.losses.sparse_categorical_crossentropy(labels["kind"], made["kind"])))
        expected = loss + np.mean((made["place"].numpy() - x[:, :2]) ** 2)
        assert line.metric == pytest.approx(expected, rel=1e-4) == line.keras_metric
    with pytest.raises(ValueError, match=r"a network of 2 outputs, \['kind', 'place'\].*metric for one output"):
        export.compare(model, (x, labels), metric="mse")


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"metric": "nope"}, "metric='nope'"),
        ({"metric": lambda y, outputs: y}, "Expected `direction`"),
        ({"metric": "mse", "direction": "down"}, "direction='down'"),
        ({"metric": "mse", "data": (np.zeros((8, 6)), np.zeros((8, 2)))}, r"labels of shape \('examples', 2\)"),
        ({"metric": lambda y, outputs: y @ y, "direction": "min"}, "metric='lambda'.*labels of shape"),
        ({"metric": "mse", "data": (np.zeros((8, 6)), np.zeros(7))}, "as many labels as examples"),
        ({"metric": "mse", "data": (np.zeros((8, 5)), np.zeros(8))}, "`data` of shapes"),
        ({"metric": "mse", "data": 3}, "pair"),
        ({}, "class labels"),
    ],
)
def test_what_does_not_fit_is_refused_before_a_network_is_pruned(arguments, match, regression, data, monkeypatch):
    monkeypatch.setattr(importlib.import_module("cvhn_tf.export.comparison.compare"), "RepeatedPruning", None)
    with pytest.raises(ValueError, match=match):
        export.compare(**{"model": regression, "data": data, **arguments})


def test_curve_of_a_training_is_drawn_of_the_metric(tmp_path, data):
    model = hypernetwork(keras.Sequential([keras.Input((6,)), layers.Dense(8, "relu"), layers.Dense(1)]))
    model.compile(cvhn_tf.PivotAdam(), "mse")
    curve = export.SizeAccuracyCurve(tmp_path, data, 1, [1.0], [0.5], metric="mse")
    model.fit(*data, epochs=1, batch_size=401, verbose=0, callbacks=[curve])
    assert "keras_mse,mse" in (tmp_path / "epoch-1.csv").read_text() and (tmp_path / "epoch-1.png").exists()
    with pytest.raises(ValueError, match=r"metric='nope'"):
        export.SizeAccuracyCurve(tmp_path, data, metric="nope")
