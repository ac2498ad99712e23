"""The `cvhn-tf` command in real processes: what imports, output streams and signals do to it."""

import pathlib
import subprocess
import sys
import time

import pytest
from command_line import run
from programs.forked import Program

import cvhn_tf
from cvhn_tf import datasets

MODULE = (sys.executable, "-m", "cvhn_tf_cli")
SCRIPT = (str(pathlib.Path(sys.executable).with_name("cvhn-tf")),)


def run_process(*arguments, folder, command=MODULE):
    return subprocess.run([*command, *arguments], cwd=folder, capture_output=True, text=True, timeout=300)


def test_help_does_not_wait_for_tensorflow():
    code = "import sys; from cvhn_tf_cli import commands; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("command", [MODULE, SCRIPT], ids=["module", "script"])
def test_module_and_script_print_their_help_and_nothing_else(command, tmp_path):
    result = run_process("--help", folder=tmp_path, command=command)
    assert result.returncode == 0, result.stderr
    assert "compare" in result.stdout
    assert result.stderr == ""


def test_killed_training_leaves_a_model_that_exports_and_trains_on(tmp_path, monkeypatch):
    partial = tmp_path / "m.partial.keras"
    arguments = ("--target", "mlp_50", "--epochs", "100000", "--output", "m.keras")
    process = Program("-m", "cvhn_tf_cli", "train", *arguments, cwd=tmp_path)
    try:
        deadline = time.monotonic() + 120
        while not partial.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        process.kill()
        process.communicate()
    assert partial.exists()
    assert not (tmp_path / "m.keras").exists()

    monkeypatch.chdir(tmp_path)
    result = run("export", partial.name)  # in this process, since it needs no other
    assert result.exit_code == 0, result.output
    digits = datasets.load("digits")
    model = cvhn_tf.load_model(partial)
    steps = int(model.optimizer.iterations.numpy())
    assert steps > 0
    model.fit(digits.x_train, digits.y_train, batch_size=479, verbose=0)  # a third of the images
    assert int(model.optimizer.iterations.numpy()) == steps + 3


def test_demo_and_its_hint_in_real_processes_write_everything_quietly(accuracy_of, tmp_path):
    result = run_process("demo", "--epochs", "2", folder=tmp_path)
    assert result.returncode == 0, result.stderr
    folder = tmp_path / "cvhn-demo"
    names = {file.name for file in folder.iterdir()}
    assert {"model.keras", "table.csv", "table.json", "table.md", "plot.png"} <= names
    assert len({name.split("_")[0] for name in names if name.endswith(".tflite")}) >= 4
    assert "★" in result.stdout
    assert "cvhn-tf export" in result.stdout
    assert all(line.startswith(("Training", "Exporting")) for line in result.stderr.splitlines()), result.stderr

    hint = next(line.split() for line in result.stdout.splitlines() if "cvhn-tf export" in line)
    result = run_process(*hint[1:], folder=tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert f"{accuracy_of(tmp_path / 'digits.tflite'):.4f}" in result.stdout
