"""`--metric`: files compared and chosen by another metric than accuracy."""

import csv
import shlex

import numpy as np
import pytest
from command_line import fails, fails_at_last, run
from long import long_but

LOSS = "sparse_categorical_crossentropy"
ONE = ("--complexity", 0.1, "--structure", "weight", "--encoding", "float16", "--client", "cpu", "--dataset", "digits")


def value_of(path):
    from cvhn_tf import datasets, export

    digits = datasets.load("digits")
    return export.evaluate_tflite(path, digits.x_test, digits.y_test, metric=LOSS).metric


def test_compare_writes_tables_of_the_metric(model_path, tmp_path):
    settings = ("--complexities", "0.1,10", "--sparsities", "0,0.9", "--encodings", "float32", "--client", "cpu")
    result = run("compare", model_path, *settings, "--metric", LOSS, "--output", tmp_path)
    assert result.exit_code == 0, result.output
    with open(tmp_path / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 and "accuracy" not in rows[0] and f"keras_{LOSS}" in rows[0]
    best = min(rows, key=lambda row: float(row[LOSS]))
    assert best["pareto"] == "True"
    (file,) = tmp_path.glob(f"complexity-{float(best['complexity']):g}_sparsity-{float(best['sparsity']):g}_*.tflite")
    assert value_of(file) == pytest.approx(float(best[LOSS]), rel=1e-6)
    page = (tmp_path / "report.html").read_text()
    assert f"<h1>Size and {LOSS}</h1>" in page and f"--metric={LOSS}" in page


def test_export_within_a_bound_of_a_loss_writes_the_smallest_file(model_path, tmp_path):
    output = tmp_path / "small.tflite"
    result = run("export", model_path, *ONE, "--metric", LOSS, "--max-metric", 1.0, "--output", output)
    assert result.exit_code == 0, result.output
    card = output.with_suffix(".md").read_text()
    selected, rest = (float(card.partition(f"| {which} {LOSS} | ")[2].split()[0]) for which in ("selection", "test"))
    assert selected <= 1.0 and np.mean([selected, rest]) == pytest.approx(value_of(output), rel=0.01)
    assert f"`test {LOSS}` of this file" in card and "--max-metric=1 --complexity=0.1" in card


@pytest.mark.parametrize("encoding", long_but({"float16"}.__contains__, ["auto", "float16"]))
def test_export_measures_the_metric_and_can_be_run_again(encoding, model_path, tmp_path):
    output = tmp_path / "small.tflite"
    settings = ("--encoding", encoding, "--client", "cpu", "--dataset", "digits", "--metric", LOSS)
    result = run("export", model_path, *settings, "--max-metric-loss", 0.05, "--output", output)
    assert result.exit_code == 0, result.output
    card = output.with_suffix(".md").read_text()
    assert float(card.partition(f"| test {LOSS} | ")[2].split()[0]) == pytest.approx(value_of(output), rel=1e-3)
    command = card.partition("```sh\n")[2].partition("\n```")[0]
    assert f"--metric={LOSS} --max-metric-loss=0.05" in command
    first = output.read_bytes()
    again = run(*shlex.split(command)[1:])
    assert again.exit_code == 0, again.output
    assert output.read_bytes() == first


def test_accuracy_by_its_name_is_the_default(model_path, tmp_path):
    files = []
    for metric in ((), ("--metric", "accuracy")):
        result = run("export", model_path, *ONE, *metric, "--output", tmp_path / "small.tflite")
        assert result.exit_code == 0, result.output
        files.append((tmp_path / "small.md").read_text().replace("ms in", "").split("latency")[0])
    assert files[0] == files[1] and "test accuracy" in files[0]


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--max-metric", 1), ("`--metric`, another than accuracy, with `--max-metric`",)),
        (("--max-metric-loss", 0.1), ("with `--max-metric-loss`",)),
        (("--metric", LOSS, "--min-accuracy", 0.5), ("no `--min-accuracy`", f"--metric={LOSS}")),
        (("--metric", LOSS, "--max-accuracy-loss", 0.5), ("no `--max-accuracy-loss`", f"--metric={LOSS}")),
        (("--metric", LOSS, "--max-metric", "nan"), ("finite number", "--max-metric=nan")),
        (("--metric", LOSS, "--max-metric-loss", 2), ("[0, 1]", "--max-metric-loss=2")),
        (("--metric", LOSS, "--max-metric", 1, "--max-metric-loss", 0.1), ("no `--max-metric-loss`",)),
    ],
)
def test_options_that_are_of_another_metric_are_refused(options, parts, model_path, tmp_path):
    result = run("export", model_path, *options, "--dataset", "digits", "--output", tmp_path / "out.tflite")
    fails(result, 2, *parts)


def test_metric_needs_data(model_path, tmp_path):
    fails(run("export", model_path, "--metric", LOSS, "--output", tmp_path / "out.tflite"), 2, "--dataset", "--metric")


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--metric", "nope"), ("metric='nope'",)),
        (("--metric", "mse"), ("metric='mse'", "labels of shape")),
        (("--metric", "mse", "--max-metric", 1), ("metric='mse'", "labels of shape")),
        (("--metric", LOSS, "--min-metric", 1), ("Expected `max_metric`", "min_metric=1")),
    ],
)
def test_what_is_no_metric_of_classes_is_refused(options, parts, model_path, tmp_path):
    fails_at_last(
        run("export", model_path, *options, "--dataset", "digits", "--output", tmp_path / "out.tflite"), *parts
    )
    assert list(tmp_path.iterdir()) == []
    if "--max-metric" not in options and "--min-metric" not in options:
        fails_at_last(run("compare", model_path, *options, "--output", tmp_path / "report"), *parts)
