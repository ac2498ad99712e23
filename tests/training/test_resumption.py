"""Trainings that are killed, terminated or cannot write; each ends as if nothing had been.

What a signal ends is a process of its own; what fails by itself runs in this one, which has imported TensorFlow.
"""

import concurrent.futures
import json
import pathlib
import re
import resource
import shutil
import signal
import time

import keras
import numpy as np
import pytest
from programs.forked import Program, check
from typer.testing import CliRunner

import cvhn_tf
from benchmarks.robustness import kills
from benchmarks.speed.local_workers import worker_configs
from cvhn_tf_cli.commands import app

COMMAND = ["-m", "cvhn_tf_cli", "train", "--output", "m.keras", "--target", "mlp_50"]
SECONDS = 600


def train(folder, *arguments):
    """The same command in this process."""
    return CliRunner().invoke(app, ["train", "--output", str(folder / "m.keras"), "--target", "mlp_50", *arguments])


def wait_for(path, processes):
    deadline = time.monotonic() + SECONDS
    while not path.exists() and time.monotonic() < deadline:
        assert all(process.poll() is None for process in processes), processes[0].communicate()
        time.sleep(0.01)
    assert path.exists()


@pytest.fixture(scope="module")
def terminated(tmp_path_factory):
    """The folder of a training of 10,000 epochs that got SIGTERM, and what it has said."""
    folder = tmp_path_factory.mktemp("terminated")
    process = Program(*COMMAND, "--epochs", 10_000, cwd=folder)
    wait_for(folder / "m.partial.keras", [process])
    process.terminate()
    stdout, stderr = process.communicate(timeout=SECONDS)
    return folder, process.returncode, stdout, stderr


@pytest.fixture
def backup(terminated, tmp_path):
    """A copy of its backup."""
    return shutil.copy(terminated[0] / "m.partial.keras", tmp_path)


def test_training_that_is_killed_thrice_ends_as_one_that_is_let_be(tmp_path, monkeypatch):
    def start(folder, arguments):
        return Program("-m", "cvhn_tf_cli", "train", "--output", kills.OUTPUT, *arguments, cwd=folder)

    monkeypatch.setattr(kills, "start", start)
    arguments = ["--target", "mlp_50", "--epochs", "80", "--batch-size", "64"]
    folders = [tmp_path / "whole", tmp_path / "killed"]
    for folder in folders:
        folder.mkdir()
    whole, killed = folders
    figures, _ = kills.run_whole(whole, arguments)
    # By what the training has done, not by the time that the whole one took when the machine was busier or idler.
    for backups, seconds in ((1, 0.1), (2, 0.2), (1, 0.0)):
        assert kills.kill(killed, arguments, seconds, backups)
    assert kills.finish(kills.start(killed, arguments)) == figures
    assert kills.is_equal(kills.read_state(killed / "model.keras"), kills.read_state(whole / "model.keras"))
    assert [file.name for file in killed.iterdir()] == ["model.keras"]


def test_sigterm_saves_the_epoch_and_ends_with_its_own_exit_code(terminated):
    folder, returncode, stdout, stderr = terminated
    assert returncode == 128 + signal.SIGTERM, stderr
    assert [file.name for file in folder.iterdir()] == ["m.partial.keras"]
    epochs = int(re.search(r"after (\d+) of 10000 epochs is m.partial.keras", stdout)[1])
    model = cvhn_tf.load_model(folder / "m.partial.keras")
    assert int(model.optimizer.iterations) == epochs * 6
    assert "Traceback" not in stderr


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [("--epochs", "40", "epochs=40"), ("--seed", "1", "seed=1"), ("--batch-size", "64", "64")],
)
def test_unfinished_training_with_other_arguments_is_refused(backup, option, value, said, tmp_path):
    options = {"--output": tmp_path / "m.keras", "--target": "mlp_50", "--epochs": "10000", option: value}
    before = pathlib.Path(backup).read_bytes()
    result = CliRunner().invoke(app, ["train", *[str(part) for pair in options.items() for part in pair]])
    assert result.exit_code == 2
    assert said in result.stderr and "--restart" in result.stderr
    assert pathlib.Path(backup).read_bytes() == before


def test_restart_begins_anew(backup, tmp_path):
    result = train(tmp_path, "--epochs", "2", "--restart")
    assert result.exit_code == 0, result.stderr
    assert "Going on" not in result.stdout
    assert int(cvhn_tf.load_model(tmp_path / "m.keras").optimizer.iterations) == 12
    assert not pathlib.Path(backup).exists()


def test_file_that_is_no_backup_is_refused(tmp_path):
    (tmp_path / "m.partial.keras").write_text("hello")
    result = train(tmp_path)
    assert result.exit_code == 2
    assert "m.partial.keras" in result.stderr


@pytest.fixture
def small_files():
    """No file can grow beyond 100,000 bytes, as on a full disk; Python ignores the signal that goes with it."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_full_disk_ends_the_training_and_leaves_the_last_backup(backup, tmp_path, small_files):
    before = pathlib.Path(backup).read_bytes()
    result = train(tmp_path, "--epochs", "10000")
    assert result.exit_code == 1, result.stderr
    assert result.stderr.splitlines()[-1].startswith("Error: ") and "File too large" in result.stderr
    assert pathlib.Path(backup).read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["m.partial.keras"]


def test_folder_that_vanishes_ends_the_training_and_the_last_backup_is_good(tmp_path):
    folder, moved = tmp_path / "out", tmp_path / "moved"
    folder.mkdir()

    def move():
        wait_for(folder / "m.partial.keras", [])
        folder.rename(moved)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        moving = pool.submit(move)
        result = train(folder, "--epochs", "10000")
    moving.result()
    assert result.exit_code == 1, result.stderr
    assert "folder that exists" in result.stderr.splitlines()[-1]
    assert int(cvhn_tf.load_model(moved / "m.partial.keras").optimizer.iterations) > 0


def test_job_completes_when_it_is_started_again_after_a_worker_was_killed(tmp_path):
    command = [*COMMAND, "--epochs", "20", "--batch-size", "512", "--strategy", "auto"]

    def start_job():
        return [Program(*command, cwd=tmp_path, TF_CONFIG=config) for config in worker_configs(2)]

    chief, other = start_job()
    wait_for(tmp_path / "m.partial.keras", [chief, other])
    other.kill()
    other.communicate()
    _, stderr = chief.communicate(timeout=SECONDS)
    assert chief.returncode == 1
    assert "Another worker was lost" in stderr.splitlines()[-1]

    outputs = [(process.communicate(timeout=SECONDS), process.returncode) for process in start_job()]
    assert [returncode for _, returncode in outputs] == [0, 0], outputs
    assert "Going on from m.partial.keras" in outputs[0][0][0]
    assert outputs[1][0][0].strip().startswith("Strategy: multiworker") and "λ" not in outputs[1][0][0]
    assert [file.name for file in tmp_path.iterdir()] == ["m.keras"]
    assert int(cvhn_tf.load_model(tmp_path / "m.keras").optimizer.iterations) == 20 * 3


@pytest.mark.parametrize(
    ("tf_config", "strategy", "said"),
    [
        (None, "multiworker", "TF_CONFIG"),
        ("{", "auto", "TF_CONFIG"),
        ({"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 2}}, "auto", "TF_CONFIG"),
        ({"cluster": {"worker": ["a:1"], "ps": ["b:2"]}, "task": {"type": "worker", "index": 0}}, "auto", "TF_CONFIG"),
        ({"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 0}}, "mirrored", "2 workers"),
        (None, "tpu", "--strategy"),
    ],
)
def test_clusters_that_cannot_be_are_refused_at_once(tf_config, strategy, said, tmp_path, monkeypatch):
    if tf_config is not None:
        monkeypatch.setenv("TF_CONFIG", tf_config if isinstance(tf_config, str) else json.dumps(tf_config))
    result = CliRunner().invoke(app, ["train", "--strategy", strategy, "--output", str(tmp_path / "m.keras")])
    assert result.exit_code == 2
    assert said in result.stderr and "Received" in result.stderr


def test_a_resumed_fit_continues_dropout_and_everything_else(data, tmp_path):
    def build():
        keras.utils.clear_session()
        keras.utils.set_random_seed(3)
        layers = [keras.layers.Dense(16, "relu"), keras.layers.Dropout(0.5), keras.layers.Dense(3, "softmax")]
        target = keras.Sequential([keras.Input((8,)), *layers])
        model = cvhn_tf.VariationalHypernetwork(target, seed=3, train_size=64, kl_warmup=6)
        model.compile(cvhn_tf.default_optimizer(20), "sparse_categorical_crossentropy")
        return model

    def fit(model, epochs, first_epoch, *callbacks):
        batches = cvhn_tf.shuffled_batches(data, 16, seed=3, first_epoch=first_epoch)
        options = {"steps_per_epoch": 4, "epochs": epochs, "initial_epoch": first_epoch, "shuffle": False}
        return model.fit(batches, verbose=0, callbacks=callbacks, **options).history

    whole = build()
    history = fit(whole, 5, 0)
    first = build()
    backup = cvhn_tf.Backup(tmp_path / "backup.keras", {"name": "a run"})
    assert backup.restore(first) == 0
    fit(first, 1, 0, backup)
    second = build()
    backup = cvhn_tf.Backup(tmp_path / "backup.keras", {"name": "a run"})
    assert backup.restore(second) == 1
    resumed = fit(second, 5, 1, backup)
    assert {name: values[1:] for name, values in history.items()} == resumed
    for ours, theirs in zip(second.variables, whole.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    backup.remove()
    assert list(tmp_path.iterdir()) == []


def test_runs_of_one_seed_are_equal_with_deterministic_operations():
    code = """
import hashlib, keras, numpy as np, tensorflow as tf, cvhn_tf
from cvhn_tf import datasets, targets
tf.config.experimental.enable_op_determinism()
digits = datasets.load("digits")
sums = []
for _ in range(2):
    keras.utils.clear_session()
    keras.utils.set_random_seed(11)
    layers = [keras.layers.Conv2D(4, 3, activation="relu"), keras.layers.Flatten(), keras.layers.Dropout(0.2)]
    target = keras.Sequential([keras.Input((8, 8, 1)), *layers, keras.layers.Dense(10, "softmax")])
    model = cvhn_tf.VariationalHypernetwork(target)
    model.compile(cvhn_tf.PivotAdam(), "sparse_categorical_crossentropy")
    model.fit(digits.x_train, digits.y_train, batch_size=128, epochs=2, verbose=0)
    sums.append([hashlib.sha256(v.numpy().tobytes()).hexdigest() for v in model.weights])
print(sums[0] == sums[1])
"""
    assert check("-c", code) == "True\n"


def test_backup_of_a_training_that_is_complete_can_be_removed_without_another_fit(compiled, data, tmp_path):
    model = compiled()
    model.fit(*data, verbose=0, callbacks=[cvhn_tf.Backup(tmp_path / "backup.keras")])
    backup = cvhn_tf.Backup(tmp_path / "backup.keras")
    assert backup.restore(compiled()) == 1
    backup.remove()
    assert not (tmp_path / "backup.keras").exists()
