"""The `cvhn-tf` command: its help, and files that no command can use."""

import pytest
from command_line import fails, run

from cvhn_tf import datasets
from cvhn_tf_cli.arguments import DATASETS, TARGETS


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
            "--description-bits",
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


def test_version_is_that_of_the_installed_package():
    import importlib.metadata

    assert run("--version").output == f"cvhn-tf {importlib.metadata.version('cvhn-tf')}\n"


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


def test_data_set_of_other_images_is_refused(model_path, tmp_path, monkeypatch):
    digits = datasets.load("digits")
    wide = datasets.Dataset("digits", digits.x_train[:, :, :4], *list(vars(digits).values())[2:])
    monkeypatch.setattr(datasets, "load", lambda name: wide)
    result = run("export", model_path, "--dataset", "digits", "--output", tmp_path / "out.tflite")
    fails(result, 2, "(8, 8, 1)", "(8, 4, 1)")


@pytest.mark.parametrize("command", ["export", "pack"])
def test_a_file_never_takes_the_place_of_a_model(command, model_path):
    before = model_path.read_bytes()
    fails(run(command, model_path, "--output", model_path), 2, "not to end in", ".keras")
    assert model_path.read_bytes() == before


def test_complexity_is_by_default_one_that_the_model_was_trained_for(tmp_path):
    path = tmp_path / "m.keras"
    arguments = ("--target", "mlp_50", "--epochs", 1, "--complexity-range", 0.001, 0.1, "--output", path)
    assert run("train", *arguments).exit_code == 0
    result = run("export", path, "--encoding", "float32", "--output", tmp_path / "m.tflite")
    assert result.exit_code == 0, result.output
    assert "--complexity=0.01" in (tmp_path / "m.md").read_text()
    assert run("pack", path, "--output", tmp_path / "m.cvhn").exit_code == 0
