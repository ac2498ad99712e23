"""`cvhn-tf export` without a budget: files that LiteRT runs, and what it refuses."""

import hashlib
import json
import shlex

import numpy as np
import pytest
from command_line import fails, run
from long import long_but

import cvhn_tf
from cvhn_tf import datasets, export
from cvhn_tf.export.verification.litert import open_file


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--sparsity", 1.0), ("[0, 1)", "--sparsity=1")),
        (("--sparsity", "nan"), ("[0, 1)", "--sparsity=nan")),
        (("--structure", "row"), ("weight, unit, block", "row")),
        (("--scope", "row"), ("global, layer", "row")),
        (("--complexity", 1000), ("[0.01, 100]", "complexity=1000")),
        (("--complexity", -1), ("[0.01, 100]", "complexity=-1")),
        (("--description-bits", 1e9), ("at λ = 0.01", "description_length_bits=1000000000.0")),
        (("--description-bits", "nan"), ("at λ = 100", "description_length_bits=nan")),
        (("--description-bits", 9, "--complexity", 1), ("--complexity=1", "--description-bits=9")),
        (("--encoding", "int3"), ("dynamic_range", "int3")),
        (("--encoding", "int8"), ("--dataset",)),
        (("--max-accuracy-loss", 1.5), ("[0, 1]", "--max-accuracy-loss=1.5")),
        (("--step", -1), ("at least 0", "--step=-1")),
        (("--finetune-epochs", 3), ("--dataset",)),
        (("--max-bytes", 9000, "--dataset", "digits", "--scope", "layer"), ("--max-bytes", "--scope=layer")),
        (("--max-bytes", 9000, "--dataset", "digits", "--polyphase"), ("--max-bytes", "--polyphase=True")),
        (("--dataset", "imagenet"), ("digits, mnist", "imagenet")),
        (("--integer-only",), ("--encoding int8", "--encoding=auto")),
        (("--integer-only", "--max-bytes", 9000, "--dataset", "digits"), ("--max-bytes", "--integer-only=True")),
        (("--client", "gpu", "--client", "cpu,phone"), ("any, cpu", "--client=phone")),
    ],
)
def test_export_refuses_bad_options(options, parts, model_path, tmp_path):
    fails(run("export", model_path, *options, "--output", tmp_path / "out.tflite"), 2, *parts)
    assert list(tmp_path.iterdir()) == []


def test_clients_are_given_one_by_one_and_integers_on_request(model_path, tmp_path):
    path = tmp_path / "out.tflite"
    options = ("--encoding", "int8", "--dataset", "digits", "--client", "gpu", "--client", "micro", "--integer-only")
    result = run("export", model_path, *options, "--output", path)
    assert result.exit_code == 0, result.output
    told = export.read_metadata(path)
    assert told["clients"] == ["gpu", "micro"]
    assert told["inputs"][0]["dtype"] == told["outputs"][0]["dtype"] == "int8"
    card = path.with_suffix(".md").read_text()
    assert "--client=gpu,micro" in card and "--integer-only" in card


def test_the_network_of_a_description_length_is_exported(model_path, tmp_path):
    bits = cvhn_tf.load_model(model_path).description_length(1.0)
    result = run(
        "export", model_path, "--description-bits", bits, "--encoding", "none", "--output", tmp_path / "a.tflite"
    )
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "a.json").read_text())["complexity"] == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize(
    "encoding", long_but({"none", "dynamic_range"}.__contains__, ["auto", "none", "dynamic_range", "weight_only_int4"])
)
def test_exported_file_runs_in_litert_as_accurately_as_the_table_says(encoding, model_path, accuracy_of, tmp_path):
    path = tmp_path / "out.tflite"
    arguments = ("--complexity", 0.1, "--sparsity", 0.5, "--encoding", encoding, "--dataset", "digits")
    result = run("export", model_path, *arguments, "--client", "cpu", "--output", path)
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


@pytest.fixture(scope="module")
def lossy(model_path):
    """A complexity and a sparsity at which 4 bits cost accuracy on the training examples, and that in Keras."""
    model, digits = cvhn_tf.load_model(model_path), datasets.load("digits")
    for complexity in (1.0, 0.1, 10.0):
        for sparsity in (0.9, 0.95, 0.5):
            network = export.recalibrate(export.prune(model, complexity, sparsity=sparsity), digits.x_train)
            whole = np.mean(network(digits.x_train).numpy().argmax(1) == digits.y_train)
            file = export.to_tflite(export.compact(network), quantization="weight_only_int4", client="cpu")
            if whole > export.evaluate_tflite(file, digits.x_train, digits.y_train).accuracy:
                return complexity, sparsity, whole
    raise AssertionError("4 bits cost nothing anywhere")


@pytest.mark.parametrize("loss", [0.0, 1.0])
def test_file_that_loses_more_accuracy_than_is_allowed_says_so(loss, lossy, model_path, tmp_path):
    complexity, sparsity, whole = lossy
    path = tmp_path / "out.tflite"
    arguments = ("--encoding", "weight_only_int4", "--client", "cpu", "--step", 0, "--sparsity", sparsity)
    arguments += ("--complexity", complexity, "--dataset", "digits", "--max-accuracy-loss", loss)
    result = run("export", model_path, *arguments, "--output", path)
    assert result.exit_code == 0, result.output
    digits = datasets.load("digits")
    lost = whole - export.evaluate_tflite(path, digits.x_train, digits.y_train).accuracy > loss
    assert lost == (loss == 0)
    caveats = export.read_metadata(path).get("caveats", [])
    assert [f"more than {loss:g}" in caveat for caveat in caveats] == ([True] if lost else [])
    assert ("a loss of more than" in path.with_suffix(".md").read_text()) == lost
    assert ("a loss of more than" in " ".join(result.output.split())) == lost


def test_output_that_the_files_beside_it_would_overwrite_is_refused(model_path, tmp_path):
    for name in ("out.json", "out.md"):
        fails(run("export", model_path, "--output", tmp_path / name), 2, name)
    assert list(tmp_path.iterdir()) == []


def test_finetuning_makes_a_pruned_file_more_accurate_and_no_larger(model_path, accuracy_of, tmp_path):
    accuracies, sizes = [], []
    for epochs in (0, 10):
        path = tmp_path / f"{epochs}.tflite"
        arguments = ("--sparsity", 0.9, "--encoding", "float32", "--dataset", "digits", "--finetune-epochs", epochs)
        result = run("export", model_path, *arguments, "--output", path)
        assert result.exit_code == 0, result.output
        accuracies.append(accuracy_of(path))
        sizes.append(path.stat().st_size)
        assert f"{accuracies[-1]:.4f}" in result.output
    assert accuracies[1] > accuracies[0] + 0.2  # at 0.97 layers lose all that leads to an output
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


@pytest.mark.long
def test_auto_is_no_larger_than_any_single_encoding(model_path, tmp_path):
    sizes = {}
    for encoding in ("auto", "float32", "float16", "dynamic_range"):
        path = tmp_path / f"{encoding}.tflite"
        result = run("export", model_path, "--sparsity", 0.9, "--quantization", encoding, "--output", path)
        assert result.exit_code == 0, result.output
        sizes[encoding] = path.stat().st_size
    assert sizes["auto"] == min(sizes.values())
