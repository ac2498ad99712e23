"""The search for the best file within budgets."""

import csv
import dataclasses
import io

import keras
import numpy as np
import pytest

import cvhn_tf
from cvhn_tf import datasets, export
from cvhn_tf.export.evaluation.latency import Latency
from cvhn_tf.export.evaluation.metric import ACCURACY
from cvhn_tf.export.search import trials
from cvhn_tf.export.search.budget_search import _find_smallest
from cvhn_tf.export.search.budgets import Budgets
from cvhn_tf.export.search.pruned_networks import Point
from cvhn_tf.export.tflite.flatbuffer import operation_of, parse
from cvhn_tf.export.verification.micro import arena_bytes
from cvhn_tf.export.verification.verify import ConversionError

MEASURES = {
    "max_bytes": "size_bytes",
    "max_gzip_bytes": "gzip_bytes",
    "max_description_bits": "description_length_bits",
    "max_latency_ms": "latency_ms",
}

FOUR_FILES = {"complexities": [0.1, 10.0], "sparsities": [0.5, 0.95], "quantizations": ["dynamic_range"]}


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


@pytest.fixture(scope="module")
def data(digits):
    return digits.x_test, digits.y_test


@pytest.fixture(scope="module")
def model(digits):
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input((8, 8, 1)),
        keras.layers.Flatten(),
        keras.layers.Dense(60, "relu"),
        keras.layers.Dense(10, "softmax"),
    ]
    # Of gates, whose networks of large λ have units left to take out.
    model = cvhn_tf.VariationalHypernetwork(
        keras.Sequential(layers), complexity_range=(0.01, 10), parameterization="gated", seed=0
    )
    model.compile(cvhn_tf.default_optimizer(30 * 23), "sparse_categorical_crossentropy")
    model.fit(digits.x_train, digits.y_train, batch_size=64, epochs=30, verbose=0)
    return model


@pytest.fixture(scope="module")
def grid(model, data):
    """Every file of a grid that the search does not know of."""
    rows = []
    for structure in ("weight", "unit"):
        arguments = {"complexities": [0.1, 1.0], "sparsities": [0.6, 0.9], "structure": structure}
        rows += export.compare(model, data, quantizations=[None, "dynamic_range"], **arguments).rows
    return rows


def assert_is_what_it_says(found, model, data):
    """The file does what the trace says, and so does the network that is made from its settings."""
    chosen = found.chosen
    assert chosen in found.trace and chosen.accepted and chosen.reason is None
    assert (chosen.size_bytes, chosen.gzip_bytes) == (found.artifact.size_bytes, found.artifact.gzip_bytes)
    measured = export.evaluate_tflite(found.artifact, *data)
    assert (chosen.accuracy, chosen.calibration_error) == (measured.accuracy, measured.calibration_error)
    assert chosen.description_length_bits == model.description_length(chosen.complexity)
    network = export.prune(model, chosen.complexity, chosen.sparsity, structure=chosen.structure)
    x, y = data
    assert np.mean(network(x).numpy().argmax(1) == y) == pytest.approx(chosen.accuracy, abs=0.01)


def best_within(model, data, max_bytes, **arguments):
    structures, quantizations = ["weight", "unit"], [None, "dynamic_range"]
    return export.best(
        model, data, max_bytes=max_bytes, structures=structures, quantizations=quantizations, **arguments
    )


@pytest.fixture(scope="module")
def found_of_6_kb(model, data):
    return best_within(model, data, 6000)


def assert_is_the_most_accurate(found, grid, **limits):
    """Within limits, of what was tried, and but for three of the 360 images of what is on the grid."""

    def keeps(candidate):
        return all(getattr(candidate, MEASURES[name]) <= limit for name, limit in limits.items())

    assert keeps(found.chosen)
    assert found.chosen.accuracy == max(candidate.accuracy for candidate in found.trace if candidate.accepted)
    right = [round(360 * accuracy) for accuracy in (found.chosen.accuracy, *(r.accuracy for r in grid if keeps(r)))]
    assert right[0] >= max(right[1:]) - 3


def test_within_a_size_the_most_accurate_file_is_found(found_of_6_kb, model, data, grid):
    assert_is_what_it_says(found_of_6_kb, model, data)
    assert_is_the_most_accurate(found_of_6_kb, grid, max_bytes=6000)


@pytest.mark.long
def test_it_is_found_where_sizes_do_not_fall_with_sparsity(model, data):
    """From 1,024 weights of a kernel downwards files of 8 bits hold them in float32, and so are larger."""
    arguments = {"structure": "unit", "quantizations": ["dynamic_range"], "complexities": [1.0]}
    rows = export.compare(model, data, sparsities=[0.62, 0.65, 0.66, 0.68, 0.7, 0.75], **arguments).rows
    limit = rows[0].size_bytes
    assert max(row.size_bytes for row in rows) > limit
    # At this complexity alone, since a file of another one could be as accurate.
    found = best_within(model, data, limit, complexities=[1.0])
    assert_is_the_most_accurate(found, rows, max_bytes=limit)


@pytest.mark.parametrize("quantization, bits", [("dynamic_range", 8), ("weight_only_int4", 4)])
def test_integer_weights_are_rounded_by_the_posterior(quantization, bits, model, data):
    fixed = {"complexities": [1.0], "sparsities": [0.5], "structures": ["weight"], "quantizations": [quantization]}
    found = export.best(model, data, max_bytes=30_000, client="cpu", **fixed)
    rounded = export.compact(export.round_weights(model, 1.0, 0.5, bits=bits), bits)
    expected = export.annotate(export.to_tflite(rounded, quantization, client="cpu"), 1.0, 0.5, "weight")
    assert found.artifact.content == expected.content
    plain = export.to_tflite(export.compact(export.prune(model, 1.0, 0.5)), quantization, client="cpu")
    assert found.artifact.content != export.annotate(plain, 1.0, 0.5, "weight").content


@pytest.mark.long
def test_the_complexity_that_just_keeps_a_limit_of_bits_is_tried(model, data):
    bits = model.description_length(0.7)
    found = export.best(model, data, max_description_bits=bits, structures=["weight"], quantizations=[None])
    assert model.complexity_for(bits) == pytest.approx(0.7, rel=1e-4)
    kept = [candidate.complexity for candidate in found.trace if candidate.description_length_bits <= bits]
    assert min(kept) == pytest.approx(0.7, rel=2e-3)
    assert found.chosen.description_length_bits <= bits


def test_of_several_limits_all_hold(model, data, grid):
    bits = 1.01 * model.description_length(1.0)
    limits = {"max_gzip_bytes": 5000, "max_description_bits": bits}
    found = export.best(model, data, **limits, structures=["weight"], quantizations=["dynamic_range"])
    assert_is_what_it_says(found, model, data)
    assert_is_the_most_accurate(found, grid, **limits)


def test_the_smallest_file_of_an_accuracy_is_found(model, data, grid):
    arguments = {"complexities": [0.1, 1.0], "quantizations": [None, "dynamic_range"], "structures": ["weight", "unit"]}
    found = export.best(model, data, min_accuracy=0.93, **arguments)
    assert_is_what_it_says(found, model, data)
    assert found.chosen.accuracy >= 0.93
    assert found.chosen.size_bytes <= min(row.size_bytes for row in grid if row.accuracy >= 0.93)
    # With a limit that it just keeps, it is found again.
    again = export.best(model, data, min_accuracy=0.93, max_bytes=found.chosen.size_bytes, **arguments)
    assert again.chosen.size_bytes == found.chosen.size_bytes


class TableOfTrials:
    """As `Trials`, of networks that lose with sparsity, and files of 4 bits that lose three times as much."""

    budgets, metric, quantizations = Budgets(min_accuracy=0.839), ACCURACY, ["dynamic_range", "dynamic_int4"]

    def __init__(self):
        self.tried = {}

    def reaches(self, point, least_score):
        return 0.9 - 0.1 * point.sparsity >= least_score

    def can_be_better(self, point):
        return True

    def by_size(self, point):
        return self.quantizations[::-1]

    def attempt(self, point, quantization):
        loss = 0.3 if quantization == "dynamic_int4" else 0.1
        size = 500 if quantization == "dynamic_int4" else 1000
        accuracy = 0.9 - loss * point.sparsity
        self.tried[point.sparsity, quantization] = accuracy
        return export.Candidate(*point, encoding=quantization, size_bytes=size, accuracy=accuracy)


def test_a_small_encoding_is_tried_with_more_weights_where_it_loses_too_much_with_few():
    """Eight bits are accurate enough at the sparsest network that is, and twice as large as four at a denser one."""
    table, points = TableOfTrials(), [Point(1.0, sparsity, "weight") for sparsity in np.linspace(0, 0.9, 19)]
    _find_smallest(table, points)
    good = [sparsity for (sparsity, name), accuracy in table.tried.items() if "4" in name and accuracy >= 0.839]
    assert max(good) == pytest.approx(0.2) and len(table.tried) < 10


def test_of_files_of_one_size_the_more_accurate_is_found(model, data):
    """Integers of a dense file take as much whatever their sparsity, which the search walks down from."""
    encodings = {"quantizations": ["dynamic_range"], "structures": ["weight"]}
    least = export.evaluate_tflite(export.to_tflite(model.at(1.0), "dynamic_range", client="cpu"), *data).accuracy
    limits = {"min_accuracy": least - 0.1, "complexities": [1.0], "client": "cpu"}
    found = export.best(model, data, sparsities=[0.0, 0.2, 0.4], **encodings, **limits)
    same = [row for row in found.trace if row.size_bytes == found.chosen.size_bytes and row.accuracy is not None]
    assert found.chosen.accuracy == max(row.accuracy for row in same)
    assert {row.sparsity for row in same} >= {0.0, 0.4}


def test_trace_tells_of_every_candidate_why_it_was_not_accepted(found_of_6_kb):
    found = found_of_6_kb
    for candidate in found.trace:
        assert candidate.accepted == (candidate.reason is None)
        if candidate.accepted:
            assert candidate.size_bytes <= 6000 and candidate.latency_ms > 0
    assert any("more than 6,000" in (candidate.reason or "") for candidate in found.trace)
    assert any("less accurate than" in (candidate.reason or "") for candidate in found.trace)
    # Economical: of all files that the networks tried could become, less than half are made, and none twice.
    files = [(c.complexity, c.sparsity, c.structure, c.encoding) for c in found.trace if c.size_bytes is not None]
    networks = {(c.complexity, c.sparsity, c.structure) for c in found.trace if c.sparsity is not None}
    encodings = {c.encoding for c in found.trace if c.encoding is not None}
    assert len(set(files)) == len(files) < len(networks) * len(encodings) / 2
    table = list(csv.DictReader(io.StringIO(found.to_csv())))
    fields = [field.name for field in dataclasses.fields(export.Candidate)]
    of_another_metric = {"metric", "estimated_metric"}
    assert of_another_metric <= set(fields)
    assert len(table) == len(found.trace) and list(table[0]) == [
        name for name in fields if name not in of_another_metric
    ]
    page = found.report(command="export.best(…)")
    assert page.count("<tr") == 1 + len(found.trace) and page.count("<tr class='marked'") == 1


def test_what_is_fixed_is_not_searched(model, data):
    fixed = {"complexities": [1.0], "sparsities": [0.5, 0.9], "structures": ["unit"], "quantizations": [None]}
    found = export.best(model, data, max_bytes=30_000, **fixed)
    assert {(c.complexity, c.structure) for c in found.trace} == {(1.0, "unit")}
    assert {c.sparsity for c in found.trace} <= {0.5, 0.9} and {c.encoding for c in found.trace} <= {None, "float32"}
    assert export.best(model, data, max_bytes=30_000, **fixed).chosen.size_bytes == found.chosen.size_bytes


@pytest.mark.parametrize(
    "budgets, parts",
    [
        ({"max_bytes": 100}, ("max_bytes=100", "smallest file found takes", "bytes, at complexity=", "encoding=")),
        ({"max_latency_ms": 1e-6}, ("max_latency_ms=1e-06", "fastest file found takes", "ms, at complexity=")),
        ({"max_description_bits": 1}, ("shortest description found takes", "bits, at complexity=10")),
        ({"min_accuracy": 1.0}, ("most accurate file found reaches 0.9", "at complexity=")),
    ],
)
def test_impossible_budgets_are_answered_by_the_nearest_possible(budgets, parts, model, data):
    with pytest.raises(ValueError) as caught:
        export.best(model, data, **budgets, structures=["weight"], **FOUR_FILES)
    for part in parts:
        assert part in str(caught.value)


@pytest.mark.long
def test_accuracy_out_of_reach_is_answered_by_the_best_within_the_other_budgets(model, data):
    # How many units die depends on the rounding of the machine, so the limit that keeps accurate files out is measured.
    smallest = export.best(model, data, min_accuracy=0.94, structures=["weight"], **FOUR_FILES).chosen
    assert smallest.sparsity == 0.5
    limits = {"min_accuracy": 0.94, "max_bytes": smallest.size_bytes - 1}
    with pytest.raises(ValueError, match=r"within the other budgets reaches 0\..* bytes, at complexity="):
        export.best(model, data, **limits, structures=["weight"], **FOUR_FILES)


@pytest.mark.parametrize(
    "arguments, name",
    [
        ({}, "max_bytes, max_gzip_bytes"),
        ({"max_bytes": -1}, "max_bytes=-1"),
        ({"max_bytes": 0}, "max_bytes=0"),
        ({"max_gzip_bytes": float("nan")}, "max_gzip_bytes=nan"),
        ({"max_latency_ms": float("inf")}, "max_latency_ms=inf"),
        ({"max_description_bits": "10"}, "max_description_bits='10'"),
        ({"min_accuracy": 1.01}, "min_accuracy=1.01"),
        ({"min_accuracy": float("nan")}, "min_accuracy=nan"),
        ({"min_accuracy": True}, "min_accuracy=True"),
        ({"max_bytes": 10, "complexities": [1e4]}, "complexity"),
        ({"max_bytes": 10, "sparsities": []}, "sparsities"),
        ({"max_bytes": 10, "sparsities": [1.0]}, "sparsities"),
        ({"max_bytes": 10, "structures": ["filter"]}, "structure"),
        ({"max_bytes": 10, "quantizations": ["int3"]}, "quantization"),
        ({"max_bytes": 10, "quantizations": ["int8"]}, "representative_data"),
        ({"max_bytes": 10, "data": 3}, "data"),
        ({"max_bytes": 10, "data": (np.zeros((4, 8, 8, 1)), np.zeros(3))}, "as many labels"),
        ({"max_bytes": 10, "model": keras.Sequential()}, "VariationalHypernetwork"),
    ],
)
def test_bad_arguments_are_refused_before_any_work(model, data, arguments, name, monkeypatch):
    monkeypatch.setattr(type(model), "at", None)
    with pytest.raises(ValueError, match=name):
        export.best(**{"model": model, "data": data, **arguments})


def test_budgets_say_which_is_broken():
    budgets = Budgets(max_bytes=1000, min_accuracy=0.9)
    candidate = export.Candidate(1.0, 0.5, "weight", size_bytes=1001)
    assert budgets.exceeded_by(candidate) == "1,001 bytes, more than 1,000 bytes"
    assert budgets.exceeded_by(dataclasses.replace(candidate, size_bytes=1000)) is None
    worse = dataclasses.replace(candidate, size_bytes=1000, accuracy=0.89)
    assert budgets.exceeded_by(worse) == "accuracy 0.8900, less than 0.9"


def test_arena_of_a_microcontroller_is_a_budget(model, data):
    fixed = {"complexities": [1.0], "structures": ["weight", "unit"], "quantizations": [None], "sparsities": [0.5, 0.9]}
    found = export.best(model, data, max_bytes=10**6, max_arena_bytes=10**6, client="micro", **fixed)
    sizes = sorted({candidate.arena_bytes for candidate in found.trace if candidate.arena_bytes is not None})
    assert len(sizes) > 1 and found.chosen.arena_bytes == arena_bytes(found.artifact.content)
    smaller = export.best(model, data, max_arena_bytes=sizes[0], client="micro", **fixed)
    assert smaller.chosen.arena_bytes == sizes[0] and smaller.artifact.clients == ("micro",)
    with pytest.raises(ValueError, match=rf"max_arena_bytes={sizes[0] - 16}.*{sizes[0]:,} bytes of arena"):
        export.best(model, data, max_arena_bytes=sizes[0] - 16, client="micro", **fixed)
    for client in ("gpu", "micro"):
        with pytest.raises(ValueError, match=f"no `max_latency_ms` for client='{client}'"):
            export.best(model, data, max_latency_ms=1.0, client=client)
    with pytest.raises(ValueError, match="client='micro' with `max_arena_bytes`"):
        export.best(model, data, max_arena_bytes=1000)


@pytest.mark.parametrize("is_faster_by_itself", [True, False])
def test_a_latency_budget_has_layers_read_sparse_weights_by_themselves_where_that_is_measured_to_be_faster(
    is_faster_by_itself, model, data, monkeypatch
):
    def expanded(content):
        parsed = parse(content)
        return sum(operation_of(parsed, operator) == "DENSIFY" for operator in parsed.subgraphs[0].operators)

    def latency_of(content, x, client):
        return Latency(expanded(content) if is_faster_by_itself else -expanded(content), "a test")

    arguments = {"complexities": [1.0], "sparsities": [0.85], "structures": ["weight"], "quantizations": [None]}
    by_rule = export.best(model, data, max_bytes=1e6, client="cpu", **arguments)
    monkeypatch.setattr(trials, "latency_of", latency_of)
    found = export.best(model, data, max_latency_ms=1e3, client="cpu", **arguments)
    assert found.artifact.sparse and found.chosen.accuracy == by_rule.chosen.accuracy
    assert expanded(found.artifact.content) == expanded(by_rule.artifact.content) - is_faster_by_itself


def test_a_second_file_that_cannot_be_made_costs_the_first_nothing(model, data, monkeypatch):
    convert = trials.to_tflite_from

    def only_by_rule(graphs, network, quantization, sparse, *others):
        if sparse is True:
            raise ConversionError("by a test")
        return convert(graphs, network, quantization, sparse, *others)

    monkeypatch.setattr(trials, "to_tflite_from", only_by_rule)
    arguments = {"complexities": [1.0], "sparsities": [0.85], "structures": ["weight"], "quantizations": [None]}
    assert export.best(model, data, max_latency_ms=1e3, client="cpu", **arguments).artifact.sparse
