"""`cvhn-tf export` within budgets."""

import re

import numpy as np
import pytest
from command_line import fails, fails_at_last, run


def test_export_within_a_budget_writes_the_file_and_a_report_on_it(model_path, accuracy_of, tmp_path):
    output = tmp_path / "small.tflite"
    fixed = ("--complexity", 0.1, "--structure", "weight", "--encoding", "float16", "--client", "cpu")
    budget = ("--max-bytes", 6000, "--max-latency-ms", 100, "--dataset", "digits")
    result = run("export", model_path, *fixed, *budget, "--output", output)
    assert result.exit_code == 0, result.output
    names = ["small.json", "small.md", "small.report.html", "small.tflite"]
    assert sorted(file.name for file in tmp_path.iterdir()) == names
    assert output.stat().st_size <= 6000 and f"{output.stat().st_size:,}" in result.output
    page = (tmp_path / "small.report.html").read_text()
    assert 'href="small.tflite"' in page and "--max-bytes=6000 --max-latency-ms=100 --complexity=0.1" in page
    # One half of the test images chose the file, and the other measures it.
    halves = [float(x) for x in re.findall(r"(0\.\d{4}) on (?:the half|the other half)", result.output)]
    assert np.mean(halves) == pytest.approx(accuracy_of(output), abs=1e-3)
    assert halves[0] > 0.5


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--max-bytes", -5), ("positive", "--max-bytes=-5")),
        (("--max-gzip-bytes", 0), ("positive", "--max-gzip-bytes=0")),
        (("--max-latency-ms", "nan"), ("positive", "--max-latency-ms=nan")),
        (("--max-description-bits", "inf"), ("positive", "--max-description-bits=inf")),
        (("--min-accuracy", 98), ("[0, 1]", "--min-accuracy=98")),
        (("--max-bytes", 10, "--sparsity", 1), ("[0, 1)", "--sparsity=1")),
        (("--max-bytes", 10, "--complexity", 1e4), ("[0.01, 100]", "complexity=10000")),
        (
            ("--max-bytes", 10, "--complexity", 1, "--sparsity", 0.5, "--structure", "weight", "--encoding", "float32"),
            ("max_bytes=10", "smallest file found takes"),
        ),
    ],
)
def test_budgets_that_are_no_use_are_refused(options, parts, model_path, tmp_path):
    arguments = ("export", model_path, *options, "--dataset", "digits", "--output", tmp_path / "out.tflite")
    fails_at_last(run(*arguments), *parts)
    assert list(tmp_path.iterdir()) == []


def test_budget_needs_data_to_choose_on(model_path, tmp_path):
    result = run("export", model_path, "--max-bytes", 5000, "--output", tmp_path / "out.tflite")
    fails(result, 2, "--dataset", "--max-bytes")
