"""`cvhn-tf compare`: tables, plot and files."""

import csv
import inspect
import json
import re
import shlex

import numpy as np
import pytest
from command_line import fails, run


def test_sparsities_of_the_command_line_are_those_of_python():
    from cvhn_tf.export import compare
    from cvhn_tf_cli.arguments import SPARSITIES, parse_numbers

    default = inspect.signature(compare).parameters["sparsities"].default
    assert tuple(parse_numbers("--sparsities", SPARSITIES)) == default


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--sparsities", "0.5,1"), ("[0, 1)", "--sparsities=1")),
        (("--sparsities", "half"), ("separated by commas", "half")),
        (("--complexities", "1,1000"), ("[0.01, 100]", "complexity=1000")),
        (("--encodings", "float32,int3"), ("dynamic_range", "int3")),
    ],
)
def test_compare_refuses_bad_options(options, parts, model_path, tmp_path):
    fails(run("compare", model_path, *options, "--output", tmp_path / "report"), 2, *parts)


def test_compare_writes_tables_plot_and_the_files_on_the_pareto_front(model_path, accuracy_of, tmp_path):
    report = tmp_path / "report"
    arguments = ("--dataset", "digits", "--complexities", "0.1,10", "--sparsities", "0,0.9", "--encodings", "float32")
    result = run("compare", model_path, *arguments, "--output", report)
    assert result.exit_code == 0, result.output
    with open(report / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(float(row["complexity"]), float(row["sparsity"])) for row in rows} == {
        (complexity, sparsity) for complexity in (0.1, 10.0) for sparsity in (0.0, 0.9)
    }
    assert json.loads((report / "table.json").read_text())
    assert "|" in (report / "table.md").read_text()
    assert (report / "plot.png").read_bytes().startswith(b"\x89PNG")
    page = (report / "report.html").read_text()
    assert shlex.join(["cvhn-tf", "compare", str(model_path), "--dataset=digits", "--complexities=0.1,10"]) in page
    assert set(re.findall('href="([^"]*)"', page.partition('<table id="rows">')[2])) == {
        file.name for file in report.glob("*.tflite")
    }
    for file in report.glob("*.tflite"):
        described = json.loads(file.with_suffix(".json").read_text())
        assert described["complexity"] in (0.1, 10.0) and described["labels"] == [str(digit) for digit in range(10)]
    front = [row for row in rows if row["pareto"] in ("True", "true", "1")]
    assert front
    for row in front:
        file = report / f"complexity-{float(row['complexity']):g}_sparsity-{float(row['sparsity']):g}_float32.tflite"
        assert file.stat().st_size == int(row["size_bytes"])
        assert accuracy_of(file) == pytest.approx(float(row["accuracy"]), abs=1e-6)
        assert f"{int(row['size_bytes']):,}" in result.output


def test_compare_tries_nine_complexities_over_the_whole_range_by_default(model_path, tmp_path):
    arguments = ("--sparsities", "0.5", "--encodings", "float32", "--output", tmp_path)
    assert run("compare", model_path, *arguments).exit_code == 0
    with open(tmp_path / "table.csv", newline="") as file:
        complexities = [float(row["complexity"]) for row in csv.DictReader(file)]
    assert complexities == pytest.approx(np.geomspace(0.01, 100, 9))


def test_compare_removes_the_files_of_an_earlier_report_only(model_path, tmp_path):
    stale, other = tmp_path / "complexity-7_sparsity-0.1_float32.tflite", tmp_path / "mine.tflite"
    for file in (stale, stale.with_suffix(".json"), other):
        file.write_bytes(b"")
    arguments = ("--complexities", "1", "--sparsities", "0", "--encodings", "float32", "--output", tmp_path)
    assert run("compare", model_path, *arguments).exit_code == 0
    assert not stale.exists() and not stale.with_suffix(".json").exists()
    assert other.exists()
