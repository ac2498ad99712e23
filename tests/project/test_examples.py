"""Each example runs as it stands, on small settings and with few files to compare: the committed notebook, too."""

import inspect
import json
import os
import runpy
import sys

import keras
import nbformat
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from long import long_but
from nbclient import NotebookClient
from places import EXAMPLES

from cvhn_tf import export, load_model

# What is asked of each, and the files that it must leave.
SMALL = {
    "bring_your_own_model.py": (
        ["--epochs", "1", "--examples", "32", "--size", "32", "--sparsities", "0.8"],
        {"shapes.tflite"},
    ),
    "choose_structure.py": (
        ["--epochs", "1", "--complexities", "1", "--max-multiply-adds", "1000000"],
        {"chosen.tflite"},
    ),
    "cifar10.py": (
        ["--dataset", "digits", "--epochs", "1", "--examples", "64"],
        {f"cifar10/complexity-{c}_sparsity-{s}.tflite" for c in ("0.1", "1") for s in ("0", "0.5", "0.8")},
    ),
    "mnist.py": (["--dataset", "digits", "--epochs", "1", "--min-accuracy", "0"], {"mnist.tflite"}),
    "multi_gpu.py": (["--dataset", "digits", "--epochs", "1"], {"multi_gpu.keras"}),
    "phone_budget.py": (
        ["multi_gpu.keras", "--kilobytes", "0.1", "1000"],
        {"phone/1000kB.tflite"},
    ),
    "reject_unsure.py": (["--epochs", "15", "--samples", "8"], set()),
    "tabular.py": (["--epochs", "3"], {"diabetes.tflite", "breast_cancer.tflite"}),
    "trained_model.py": (["--epochs", "1", "--sparsities", "0.9"], {"trained.keras", "trained.tflite"}),
    "text.py": (["--epochs", "1", "--examples", "64", "--sparsities", "0.8"], {"mood.tflite"}),
}
LONG = ("bring_your_own_model.py", "choose_structure.py", "cifar10.py")


def test_every_example_is_here():
    assert {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".ipynb")} == {
        *SMALL,
        "quickstart.ipynb",
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One for all, since one example goes on with the model of another."""
    return tmp_path_factory.mktemp("examples")


def compare_few(*args, compare=export.compare, **kwargs):
    """`compare` on the first complexity and two sparsities: of each file an example does the same."""
    for argument, count in (("complexities", 1), ("sparsities", 2)):
        kwargs[argument] = kwargs[argument][:count]
    return compare(*args, **kwargs)


# Sorted, so that the model is there before the budgets.
@pytest.mark.parametrize("name", long_but(lambda name: name not in LONG, sorted(SMALL)))
def test_script_runs_and_leaves_files_that_work(name, folder, monkeypatch, capsys):
    arguments, expected = SMALL[name]
    monkeypatch.chdir(folder)
    if name != "cifar10.py":  # which makes six files, and leaves all
        monkeypatch.setattr(export, "compare", compare_few)
    before = {path for path in folder.rglob("*") if path.is_file()}
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    # Of one or two steps of many layers, which take longer to trace than to run; the other examples trace theirs.
    tf.config.run_functions_eagerly(name in ("bring_your_own_model.py", "cifar10.py"))
    try:
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    finally:
        tf.config.run_functions_eagerly(False)
    made = {path for path in folder.rglob("*") if path.is_file()} - before
    provenance = {path for path in made if path.suffix == ".json"}  # of annotated files
    made -= provenance
    assert {path.with_suffix(".tflite") for path in provenance} <= made
    assert {path.relative_to(folder).as_posix() for path in made} == expected
    for path in made:
        if path.suffix == ".tflite":
            assert np.isfinite(run_on_zeros(path)).all()
        elif path.name == "trained.keras":  # what users bring
            assert keras.saving.load_model(path, safe_mode=True).count_params() > 0
        else:
            assert load_model(path).description_length(1.0) > 0
    printed = capsys.readouterr().out
    assert "nan" not in printed
    if name == "reject_unsure.py":
        assert_fewer_answers_are_more_accurate(printed)


def assert_fewer_answers_are_more_accurate(printed):
    rows = [line.split() for line in printed.splitlines() if line.count("%") == 3]
    assert len(rows) == 12
    for complexity in ("0.01", "0.1", "1"):
        accuracies = [float(row[2].rstrip("%")) for row in rows if row[0] == complexity]
        assert accuracies[-1] > accuracies[0] > 50


def run_on_zeros(path):
    interpreter = Interpreter(model_path=os.fspath(path))
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def test_notebook_is_committed_with_its_results_and_small():
    path = EXAMPLES / "quickstart.ipynb"
    assert path.stat().st_size < 500_000
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    kinds = {kind for cell in cells for output in cell.outputs for kind in output.get("data", {})}
    assert "image/png" in kinds
    assert not any(output.output_type == "error" for cell in cells for output in cell.outputs)
    assert "/home/" not in json.dumps(cells) and "/tmp/" not in json.dumps(cells)


@pytest.mark.long
def test_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("QUICKSTART_DATASET", "digits")
    monkeypatch.setenv("QUICKSTART_EPOCHS", "1")
    notebook = nbformat.read(EXAMPLES / "quickstart.ipynb", 4)
    few = f"from cvhn_tf import export\n\n{inspect.getsource(compare_few)}\nexport.compare = compare_few"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(few))
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}})
    client.execute()  # raises at the first cell that fails
    assert np.isfinite(run_on_zeros(tmp_path / "quickstart.tflite")).all()
