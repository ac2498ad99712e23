"""The `cvhn-tf` command: the whole chain on digits, and one clear line for whatever the user can mend."""

import csv
import hashlib
import inspect
import json
import os
import re
import shlex

import numpy as np
import pytest
from typer.testing import CliRunner

import cvhn_tf
from cvhn_tf import datasets, export
from cvhn_tf.export.litert import open_file
from cvhn_tf_cli import commands
from cvhn_tf_cli.arguments import DATASETS, TARGETS


def run(*arguments, **options):
    return CliRunner().invoke(commands.app, [str(argument) for argument in arguments], **options)


def fails(result, exit_code, *parts):
    """Asserts one line on stderr that holds `parts`, and no traceback."""
    assert result.exit_code == exit_code, result.output
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("Error: ")
    for part in parts:
        assert str(part) in lines[0]


def fails_at_last(result, *parts):
    """Asserts exit code 2 and one line about it at the end of stderr, where progress may stand before it."""
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("Error: ")
    for part in parts:
        assert str(part) in line


@pytest.fixture(scope="module")
def model_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("train") / "new" / "digits.keras"
    result = run(
        "train", "--dataset", "digits", "--target", "mlp_50", "--epochs", 10, "--batch-size", 64, "--output", path
    )
    assert result.exit_code == 0, result.output
    assert "test accuracy" in result.output
    assert [file.name for file in path.parent.iterdir()] == ["digits.keras"]
    return path


@pytest.mark.parametrize(
    "command", [(), ("demo",), ("train",), ("export",), ("compare",), ("pack",), ("unpack",), ("doctor",)]
)
def test_help_names_every_option(command):
    result = run(*command, "--help", env={"COLUMNS": "200"})
    assert result.exit_code == 0
    expected = {
        (): ("demo", "train", "export", "compare", "pack", "unpack", "doctor", "--version"),
        ("demo",): ("--output", "--epochs", "--seed"),
        ("train",): (
            "--dataset",
            "--target",
            "--epochs",
            "--batch-size",
            "--complexity-range",
            "--seed",
            "--strategy",
            "--restart",
            "--output",
            "--quiet",
        ),
        ("export",): (
            "--complexity",
            "--sparsity",
            "--structure",
            "--encoding",
            "--quantization",
            "--max-accuracy-loss",
            "--step",
            "--max-bytes",
            "--max-gzip-bytes",
            "--max-description-bits",
            "--max-latency-ms",
            "--min-accuracy",
            "--dataset",
            "--finetune-epochs",
            "--output",
        ),
        ("compare",): ("--dataset", "--complexities", "--sparsities", "--encodings", "--output"),
        ("pack",): ("--complexity", "--sparsity", "--step", "--rate-weight", "--dataset", "--output"),
        ("unpack",): ("--output",),
        ("doctor",): ("exit code 1",),
    }
    for option in expected[command]:
        assert option in result.output


def test_help_lists_the_data_sets_and_targets_that_exist():
    from cvhn_tf import targets

    assert datasets.names() == DATASETS
    assert targets.names() == TARGETS


def test_sparsities_of_the_command_line_are_those_of_python():
    from cvhn_tf.export import compare
    from cvhn_tf_cli.arguments import SPARSITIES, parse_numbers

    default = inspect.signature(compare).parameters["sparsities"].default
    assert tuple(parse_numbers("--sparsities", SPARSITIES)) == default


def test_version_is_that_of_the_installed_package():
    import importlib.metadata

    assert run("--version").output == f"cvhn-tf {importlib.metadata.version('cvhn-tf')}\n"


def test_unknown_dataset_is_refused(tmp_path):
    fails(run("train", "--dataset", "imagenet", "--output", tmp_path / "m.keras"), 2, "digits, mnist", "imagenet")


def test_unknown_target_is_refused(tmp_path):
    fails(run("train", "--target", "resnet", "--output", tmp_path / "m.keras"), 2, "lenet_300_100", "resnet")


def test_target_that_does_not_fit_the_images_is_refused(tmp_path):
    fails(run("train", "--target", "lenet_5", "--output", tmp_path / "m.keras"), 2, "12×12", "(8, 8, 1)")


@pytest.mark.parametrize("bounds", [(1, 1), (10, 1), (0, 1), ("nan", 1)])
def test_impossible_complexity_range_is_refused(bounds, tmp_path):
    result = run("train", "--complexity-range", *bounds, "--output", tmp_path / "m.keras")
    fails(result, 2, "complexity_range", "Received")
    assert list(tmp_path.iterdir()) == []


def test_output_that_cannot_be_written_is_refused_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    fails(run("train", "--output", tmp_path / "file" / "m.keras"), 2, "--output", "m.keras")
    (tmp_path / "folder.keras").mkdir()
    fails(run("train", "--output", tmp_path / "folder.keras"), 2, "is a folder")
    fails(run("train", "--output", tmp_path / "m.h5"), 2, ".keras")


@pytest.mark.parametrize("command", ["export", "compare", "pack"])
def test_missing_model_file_is_refused(command, tmp_path):
    fails(run(command, tmp_path / "none.keras", "--output", tmp_path / "out"), 2, tmp_path / "none.keras")


@pytest.mark.parametrize("command", ["export", "compare", "pack"])
def test_file_that_is_no_model_is_refused(command, tmp_path):
    (tmp_path / "text.keras").write_text("hello")
    fails(run(command, tmp_path / "text.keras", "--output", tmp_path / "out"), 2, tmp_path / "text.keras")


def test_ordinary_keras_model_is_refused(tmp_path):
    import keras

    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save(tmp_path / "plain.keras")
    fails(run("export", tmp_path / "plain.keras", "--output", tmp_path / "out.tflite"), 2, "plain.keras")


def test_data_that_is_not_there_is_a_known_failure(tmp_path, monkeypatch):
    from tensorflow_datasets.core import constants

    def refuse(builder):
        raise ConnectionError("no connection")

    monkeypatch.setattr(constants, "DATA_DIR", os.fspath(tmp_path / "data"))
    monkeypatch.setattr(datasets, "_probe", refuse)
    fails(run("train", "--dataset", "mnist", "--output", tmp_path / "m.keras"), 1, "'mnist' is not prepared")
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_someone_else_is_not_hidden(tmp_path, monkeypatch):
    def break_down(name):
        raise ValueError("a bug")

    monkeypatch.setattr(datasets, "load", break_down)
    result = run("train", "--output", tmp_path / "m.keras")
    assert isinstance(result.exception, ValueError)


def test_interrupt_exits_130_and_leaves_no_file(tmp_path, monkeypatch):
    def interrupt(name):
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets, "load", interrupt)
    fails(run("train", "--output", tmp_path / "m.keras"), 130, "Interrupted")
    assert list(tmp_path.iterdir()) == []


def test_interrupted_training_leaves_the_model_so_far_and_says_where(tmp_path, monkeypatch):
    import keras

    import cvhn_tf

    class InterruptSecondEpoch(cvhn_tf.VariationalHypernetwork):
        def fit(self, *args, callbacks, **kwargs):
            def interrupt(epoch, logs=None):
                if epoch == 1:
                    raise KeyboardInterrupt

            interrupting = keras.callbacks.LambdaCallback(on_epoch_begin=interrupt)
            return super().fit(*args, callbacks=[*callbacks, interrupting], **kwargs)

    (tmp_path / "m.keras").write_text("an earlier model")
    monkeypatch.setattr(cvhn_tf, "VariationalHypernetwork", InterruptSecondEpoch)
    result = run("train", "--target", "mlp_50", "--epochs", 3, "--output", tmp_path / "m.keras")
    partial = tmp_path / "m.partial.keras"
    assert result.exit_code == 130
    progress, error = result.stderr.strip().splitlines()
    assert "1/3 epochs" in progress
    assert error == (
        f"Error: Interrupted. The model after 1 of 3 epochs is {partial}; the same command goes on from it"
    )
    assert sorted(tmp_path.iterdir()) == [tmp_path / "m.keras", partial]
    assert (tmp_path / "m.keras").read_text() == "an earlier model"


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--sparsity", 1.0), ("[0, 1)", "--sparsity=1")),
        (("--sparsity", "nan"), ("[0, 1)", "--sparsity=nan")),
        (("--structure", "row"), ("weight, unit, block", "row")),
        (("--scope", "row"), ("global, layer", "row")),
        (("--complexity", 1000), ("[0.01, 100]", "complexity=1000")),
        (("--complexity", -1), ("[0.01, 100]", "complexity=-1")),
        (("--encoding", "int3"), ("dynamic_range", "int3")),
        (("--encoding", "int8"), ("--dataset",)),
        (("--max-accuracy-loss", 1.5), ("[0, 1]", "--max-accuracy-loss=1.5")),
        (("--step", -1), ("at least 0", "--step=-1")),
        (("--finetune-epochs", 3), ("--dataset",)),
        (("--max-bytes", 9000, "--dataset", "digits", "--scope", "layer"), ("--max-bytes", "--scope=layer")),
        (("--max-bytes", 9000, "--dataset", "digits", "--polyphase"), ("--max-bytes", "--polyphase=True")),
        (("--dataset", "imagenet"), ("digits, mnist", "imagenet")),
    ],
)
def test_export_refuses_bad_options(options, parts, model_path, tmp_path):
    fails(run("export", model_path, *options, "--output", tmp_path / "out.tflite"), 2, *parts)
    assert list(tmp_path.iterdir()) == []


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


def test_data_set_of_other_images_is_refused(model_path, tmp_path, monkeypatch):
    digits = datasets.load("digits")
    wide = datasets.Dataset("digits", digits.x_train[:, :, :4], *list(vars(digits).values())[2:])
    monkeypatch.setattr(datasets, "load", lambda name: wide)
    result = run("export", model_path, "--dataset", "digits", "--output", tmp_path / "out.tflite")
    fails(result, 2, "(8, 8, 1)", "(8, 4, 1)")


@pytest.mark.parametrize("encoding", ["auto", "none", "dynamic_range", "weight_only_int4"])
def test_exported_file_runs_in_litert_as_accurately_as_the_table_says(encoding, model_path, accuracy_of, tmp_path):
    path = tmp_path / "out.tflite"
    arguments = ("--complexity", 0.1, "--sparsity", 0.5, "--encoding", encoding, "--dataset", "digits")
    result = run("export", model_path, *arguments, "--output", path)
    assert result.exit_code == 0, result.output
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.json", "out.md", "out.tflite"]
    assert f"{path.stat().st_size:,}" in result.output
    accuracy = accuracy_of(path)
    assert accuracy > 0.6
    assert f"{accuracy:.4f}" in result.output

    told = json.loads((tmp_path / "out.json").read_text())
    assert export.read_metadata(path).items() <= told.items()
    assert told["complexity"] == 0.1 and told["sparsity"] == 0.5 and told["labels"] == [str(i) for i in range(10)]
    card = (tmp_path / "out.md").read_text()
    (command,) = [line for line in card.splitlines() if line.startswith("cvhn-tf export")]
    for part in (f"{path.stat().st_size:,}", f"{accuracy:.4f}", told["encoding"], "dense accuracy", "digits"):
        assert part in card
    if encoding == "none":
        path.unlink()
        assert run(*shlex.split(command)[1:]).exit_code == 0
        assert json.loads((tmp_path / "out.json").read_text()) == told
        assert hashlib.sha256(path.read_bytes()).hexdigest() == told["sha256"]


def test_auto_loses_no_more_accuracy_than_it_may(model_path, tmp_path):
    digits = datasets.load("digits")
    accuracies, sizes = {}, {}
    for encoding, loss in (("float32", 0), ("auto", 0.001), ("auto", 0.2)):
        path = tmp_path / "out.tflite"
        arguments = ("--encoding", encoding, "--max-accuracy-loss", loss, "--dataset", "digits", "--output", path)
        assert run("export", model_path, *arguments).exit_code == 0
        accuracies[loss] = export.evaluate_tflite(path, digits.x_train, digits.y_train).accuracy
        sizes[loss] = path.stat().st_size
    assert accuracies[0.001] >= accuracies[0] - 0.001 - 1e-9
    assert accuracies[0.2] >= accuracies[0] - 0.2 - 1e-9
    assert sizes[0.2] <= sizes[0.001] < sizes[0]


def test_output_that_the_files_beside_it_would_overwrite_is_refused(model_path, tmp_path):
    for name in ("out.json", "out.md"):
        fails(run("export", model_path, "--output", tmp_path / name), 2, name)
    assert list(tmp_path.iterdir()) == []


def test_finetuning_makes_a_pruned_file_more_accurate_and_no_larger(model_path, accuracy_of, tmp_path):
    accuracies, sizes = [], []
    for epochs in (0, 10):
        path = tmp_path / f"{epochs}.tflite"
        arguments = ("--sparsity", 0.97, "--encoding", "float32", "--dataset", "digits", "--finetune-epochs", epochs)
        result = run("export", model_path, *arguments, "--output", path)
        assert result.exit_code == 0, result.output
        accuracies.append(accuracy_of(path))
        sizes.append(path.stat().st_size)
        assert f"{accuracies[-1]:.4f}" in result.output
    assert accuracies[1] > accuracies[0] + 0.05
    assert sizes[1] <= sizes[0]


def test_whole_units_make_a_dense_file_smaller(model_path, tmp_path):
    sizes = {}
    for structure in ("weight", "unit"):
        path = tmp_path / structure
        # Not dynamic_range, which leaves tensors of fewer than 1,024 weights in float32.
        arguments = ("--sparsity", 0.5, "--structure", structure, "--encoding", "float16", "--output", path)
        result = run("export", model_path, *arguments)
        assert result.exit_code == 0, result.output
        sizes[structure] = path.stat().st_size
    assert sizes["unit"] < 0.8 * sizes["weight"]
    assert "0.5, whole units" in result.output


def test_scope_layer_prunes_each_layer_by_itself(model_path, tmp_path):
    path = tmp_path / "model.tflite"
    settings = {"complexity": 0.1, "sparsity": 0.5, "structure": "unit", "scope": "layer"}
    options = [part for name, value in settings.items() for part in (f"--{name}", value)]
    result = run("export", model_path, *options, "--encoding", "float32", "--output", path)
    assert result.exit_code == 0, result.output
    assert "0.5, whole units of each layer" in result.output
    network = export.compact(export.prune(cvhn_tf.load_model(model_path), **settings))
    x = datasets.load("digits").x_test
    (outputs,) = open_file(path.read_bytes()).run([x])
    np.testing.assert_allclose(outputs, network.predict(x, verbose=0), atol=1e-5)


def test_blocks_are_exported(model_path, accuracy_of, tmp_path):
    path = tmp_path / "blocks.tflite"
    arguments = ("--complexity", 0.1, "--sparsity", 0.5, "--structure", "block", "--encoding", "float32")
    result = run("export", model_path, *arguments, "--output", path)
    assert result.exit_code == 0, result.output
    assert "0.5, whole blocks" in result.output
    assert accuracy_of(path) > 0.6


def test_auto_is_no_larger_than_any_single_encoding(model_path, tmp_path):
    sizes = {}
    for encoding in ("auto", "float32", "float16", "dynamic_range"):
        path = tmp_path / f"{encoding}.tflite"
        result = run("export", model_path, "--sparsity", 0.9, "--quantization", encoding, "--output", path)
        assert result.exit_code == 0, result.output
        sizes[encoding] = path.stat().st_size
    assert sizes["auto"] == min(sizes.values())


def test_export_within_a_budget_writes_the_file_and_a_report_on_it(model_path, accuracy_of, tmp_path):
    output = tmp_path / "small.tflite"
    fixed = ("--complexity", 0.1, "--structure", "weight", "--encoding", "float16")
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
    files = {file.stat().st_size: file for file in report.glob("*.tflite")}
    for file in files.values():
        described = json.loads(file.with_suffix(".json").read_text())
        assert described["complexity"] in (0.1, 10.0) and described["labels"] == [str(digit) for digit in range(10)]
    front = [row for row in rows if row["pareto"] in ("True", "true", "1")]
    assert front
    for row in front:
        assert accuracy_of(files[int(row["size_bytes"])]) == pytest.approx(float(row["accuracy"]), abs=1e-6)
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


def test_quiet_training_prints_nothing_and_progress_goes_to_stderr(tmp_path):
    arguments = ("train", "--target", "mlp_50", "--epochs", 2, "--output", tmp_path / "m.keras")
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("Training mlp_50 on digits: ")]
    assert [line.split(": ")[1].split(" ")[0] for line in lines] == ["1/2", "2/2"]
    assert "loss" in lines[0] and "Training" not in result.stdout
    quiet = run(*arguments, "--quiet")
    assert (quiet.exit_code, quiet.output) == (0, "")
    assert (tmp_path / "m.keras").exists()
    fails(run("train", "--quiet", "--dataset", "imagenet", "--output", tmp_path / "m.keras"), 2, "imagenet")


def test_progress_moves_with_each_step_and_gives_figures_after_each_epoch(compiled, data):
    from cvhn_tf_cli import training

    told = []
    progress = training._Progress(lambda *done_and_figures: told.append(done_and_figures))
    logs = compiled().fit(*data, batch_size=16, epochs=2, verbose=0, callbacks=[progress]).history
    assert [done for done, _ in told] == [0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2]
    assert [figures for _, figures in told[:3]] == ["", "", ""]
    assert all(f"loss {logs['loss'][0]:.3f}" in figures for _, figures in told[3:7])
    assert f"loss {logs['loss'][1]:.3f}" in told[7][1]


def test_equal_seeds_give_equal_models(tmp_path):
    import cvhn_tf

    weights = []
    for name in ("a.keras", "b.keras"):
        arguments = ("--target", "mlp_50", "--epochs", 1, "--seed", 3, "--output", tmp_path / name)
        assert run("train", *arguments).exit_code == 0
        weights.append(cvhn_tf.load_model(tmp_path / name).at(1.0).get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_packed_file_unpacks_to_the_model_that_the_table_measured(model_path, tmp_path):
    import keras

    packed, network = tmp_path / "new" / "network.cvhn", tmp_path / "new" / "network.keras"
    arguments = ("--complexity", 0.1, "--sparsity", 0.8, "--step", 1, "--dataset", "digits")
    result = run("pack", model_path, *arguments, "--output", packed)
    assert result.exit_code == 0, result.output
    assert f"{packed.stat().st_size:,}" in result.output
    assert run("unpack", packed, "--output", network).exit_code == 0
    assert sorted(packed.parent.iterdir()) == [packed, network]
    digits = datasets.load("digits")
    outputs = keras.saving.load_model(network).predict(digits.x_test, verbose=0)
    accuracy = np.mean(outputs.argmax(1) == digits.y_test)
    assert accuracy > 0.6
    assert f"{accuracy:.4f}" in result.output


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--sparsity", 1.0), ("[0, 1)", "--sparsity=1")),
        (("--step", 0), ("positive", "--step=0")),
        (("--step", "nan"), ("positive", "--step=nan")),
        (("--step", "inf"), ("positive", "--step=inf")),
        (("--rate-weight", -1), ("at least 0", "--rate-weight=-1")),
        (("--complexity", 1000), ("[0.01, 100]", "complexity=1000")),
        (("--dataset", "imagenet"), ("digits, mnist", "imagenet")),
    ],
)
def test_pack_refuses_bad_options(options, parts, model_path, tmp_path):
    fails(run("pack", model_path, *options, "--output", tmp_path / "out.cvhn"), 2, *parts)
    assert list(tmp_path.iterdir()) == []


def test_unpack_refuses_what_is_no_packed_file(model_path, tmp_path):
    output = ("--output", tmp_path / "network.keras")
    fails(run("unpack", tmp_path / "none.cvhn", *output), 2, tmp_path / "none.cvhn")
    fails(run("unpack", model_path, *output), 2, "Received")
    packed = tmp_path / "network.cvhn"
    assert run("pack", model_path, "--output", packed).exit_code == 0
    fails(run("unpack", packed, "--output", tmp_path / "network.h5"), 2, ".keras")
    packed.write_bytes(packed.read_bytes()[:-1])
    fails(run("unpack", packed, *output), 2, "Received")
    assert list(tmp_path.iterdir()) == [packed]
