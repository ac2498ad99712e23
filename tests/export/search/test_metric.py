"""Searches by another metric than accuracy: small or large values are good, and bounds are of that side."""

import importlib

import keras
import numpy as np
import pytest
from keras import layers

import cvhn_tf
from cvhn_tf import export
from cvhn_tf.export.evaluation.as_metric import as_metric
from cvhn_tf.export.search.budgets import Budgets

SETTINGS = {"complexities": [0.1, 1.0], "quantizations": [None, "dynamic_range"], "structures": ["weight", "unit"]}
GRID = {"complexities": [0.1, 1.0], "sparsities": [0.6, 0.9], "quantizations": [None, "dynamic_range"]}


@pytest.fixture(scope="module")
def data():
    x = np.random.default_rng(0).normal(size=(1203, 6)).astype("float32")
    return x, x[:, 0] * x[:, 1] + x[:, 2]


@pytest.fixture(scope="module")
def model(data):
    keras.utils.set_random_seed(0)
    target = keras.Sequential([keras.Input((6,)), layers.Dense(32, "relu"), layers.Dense(1)])
    model = cvhn_tf.VariationalHypernetwork(target, complexity_range=(0.01, 10), seed=0)
    model.compile(cvhn_tf.default_optimizer(30 * 38), "mse")
    model.fit(*data, batch_size=32, epochs=30, verbose=0)
    return model


@pytest.fixture(scope="module")
def grid(model, data):
    """Files that the search does not know of."""
    return [
        row
        for structure in SETTINGS["structures"]
        for row in export.compare(model, data, metric="mse", structure=structure, **GRID)
    ]


def test_the_best_file_within_a_size_has_the_smallest_loss(model, data, grid):
    limit = int(np.median([row.size_bytes for row in grid]))
    found = export.best(model, data, metric="mse", max_bytes=limit, **SETTINGS)
    chosen = found.chosen
    assert chosen.size_bytes <= limit and chosen in found.trace and chosen.accuracy is None
    assert chosen.metric == export.evaluate_tflite(found.artifact, *data, metric="mse").metric
    assert chosen.metric <= min(row.metric for row in grid if row.size_bytes <= limit) * (1 + 1e-6)
    assert chosen.estimated_metric == pytest.approx(chosen.metric, rel=0.2)
    assert "estimated_mse" in found.to_csv() and "<h1>Size and mse</h1>" in found.report()


@pytest.mark.long
def test_the_smallest_file_of_a_loss_is_found(model, data, grid):
    largest = float(np.median([row.metric for row in grid]))
    found = export.best(model, data, metric="mse", max_metric=largest, **SETTINGS)
    assert found.chosen.metric <= largest
    assert found.chosen.size_bytes <= min(row.size_bytes for row in grid if row.metric <= largest)
    assert any(f"mse above {largest:.4g}" in (candidate.reason or "") for candidate in found.trace)


def test_inputs_by_name_are_searched_as_they_are_compared(data):
    inputs = {"second": keras.Input((2,), name="second"), "first": keras.Input((4,), name="first")}
    joined = layers.Concatenate()([inputs["first"], inputs["second"]])
    model = cvhn_tf.VariationalHypernetwork(keras.Model(inputs, layers.Dense(1)(layers.Dense(16, "relu")(joined))))
    given = {"first": data[0][:, :4], "second": data[0][:, 4:]}, data[1]
    few = {"complexities": [1.0], "sparsities": [0.5], "quantizations": [None], "metric": "mse"}
    (row,) = export.compare(model, given, **few)
    chosen = export.best(model, given, max_bytes=10**6, structures=["weight"], **few).chosen
    assert chosen.metric == pytest.approx(row.metric, rel=1e-5)


@pytest.mark.long
def test_a_metric_turned_round_finds_the_same_file(model, data):
    def goodness(y, outputs):
        return -keras.losses.mean_squared_error(y, outputs)

    few = SETTINGS | {"structures": ["weight"], "sparsities": [0.3, 0.6, 0.9]}
    least = export.best(model, data, metric="mse", max_metric=0.2, **few)
    most = export.best(model, data, metric=goodness, direction="max", min_metric=-0.2, **few)
    assert most.artifact.content == least.artifact.content
    assert most.chosen.metric == pytest.approx(-least.chosen.metric)
    assert [candidate.settings() for candidate in most.trace if candidate.size_bytes] == [
        candidate.settings() for candidate in least.trace if candidate.size_bytes
    ]


@pytest.mark.parametrize(
    ("budgets", "parts"),
    [
        ({"max_metric": 0.0}, ("max_metric=0", "best file found reaches mse 0.")),
        ({"max_metric": 0.0, "max_bytes": 10**6}, ("within the other budgets reaches mse 0.", "bytes")),
        ({"max_bytes": 100}, ("smallest file found takes", "its mse is")),
    ],
)
def test_impossible_bounds_are_answered_by_the_nearest_possible(budgets, parts, model, data):
    few = {"complexities": [1.0], "sparsities": [0.3, 0.9], "structures": ["weight"], "quantizations": [None]}
    with pytest.raises(ValueError) as caught:
        export.best(model, data, metric="mse", **budgets, **few)
    assert all(part in str(caught.value) for part in parts)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"metric": "mse"}, "at least one of max_bytes.*max_metric. Received: none"),
        ({"metric": "mse", "min_accuracy": 0.5}, "Expected `max_metric` as a bound of mse.*min_accuracy=0.5"),
        ({"metric": "mse", "min_metric": 0.5}, "Expected `max_metric` as a bound of mse.*min_metric=0.5"),
        ({"metric": "R2Score", "max_metric": 0.5}, "Expected `min_metric` as a bound of R2Score"),
        ({"max_metric": 0.5}, "Expected `min_accuracy` as a bound of accuracy"),
        ({"metric": "mse", "max_metric": float("inf")}, "max_metric=inf"),
        ({"metric": "nope", "max_bytes": 10}, "metric='nope'"),
        ({"metric": "mse", "direction": "up", "max_bytes": 10}, "direction='up'"),
    ],
)
def test_bad_metrics_and_bounds_are_refused_before_any_work(arguments, match, model, data, monkeypatch):
    monkeypatch.setattr(type(model), "at", None)
    with pytest.raises(ValueError, match=match):
        export.best(model, data, **arguments)


def test_labels_that_the_metric_does_not_take_are_refused_before_any_file(model, data, monkeypatch):
    monkeypatch.setattr(importlib.import_module("cvhn_tf.export.search.best"), "Prunings", None)
    with pytest.raises(ValueError, match=r"labels of shape \('examples', 2\)"):
        export.best(model, (data[0], data[0][:, :2]), metric="mse", max_bytes=10)


def test_bounds_say_what_breaks_them():
    candidate = export.Candidate(1.0, 0.5, "weight", metric=0.25)
    least = Budgets(max_metric=0.2, metric=as_metric("mse"))
    assert least.exceeded_by(candidate) == "mse 0.25, more than 0.2" and least.seek_smallest
    most = Budgets(min_metric=0.3, metric=as_metric("R2Score"))
    assert most.exceeded_by(candidate) == "R2Score 0.25, less than 0.3"
    assert not Budgets(max_bytes=1, metric=as_metric("mse")).seek_smallest


def test_smallest_file_loses_no_more_of_the_metric_than_is_allowed(model, data):
    network = export.compact(export.prune(model, 1.0, 0.5))
    exact = export.evaluate_tflite(export.to_tflite(network), *data, metric="mse").metric
    sizes = []
    for loss in (None, 1.0):
        artifact = export.smallest(network, data=data, metric="mse", client="cpu", max_metric_loss=loss)
        assert artifact.keras_metric == pytest.approx(exact, rel=1e-6) and artifact.accuracy is None
        assert artifact.metric <= exact * (1 + (0.01 if loss is None else loss)) * (1 + 1e-5)
        assert artifact.metric == export.evaluate_tflite(artifact, *data, metric="mse").metric
        sizes.append(artifact.size_bytes)
    assert sizes[1] <= sizes[0]
    with pytest.raises(ValueError, match=r"max_metric_loss"):
        export.smallest(network, data=data, metric="mse", max_metric_loss=2)
