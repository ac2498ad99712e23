"""One program on one device, two mirrored devices, two and three workers: real processes, one mathematics."""

import subprocess
import sys

import numpy as np
import pytest
from places import PROGRAMS

from benchmarks.speed.local_workers import start_workers

SECONDS = 600


def run_workers(program, count, folder):
    def command(index):
        return [sys.executable, PROGRAMS / program, "workers", folder / str(index)]

    processes = start_workers(command, count, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        outputs = [process.communicate(timeout=SECONDS)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * count, "\n".join(outputs)
    return outputs


def read(folder):
    with np.load(folder / "results.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What came of `replicas.py`, by the kind of replicas: a list, one for each process."""
    folder = tmp_path_factory.mktemp("replicas")
    of_kind = {}
    for kind in ("one", "mirrored"):
        command = [sys.executable, PROGRAMS / "replicas.py", kind, folder / kind]
        result = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        assert result.returncode == 0, result.stderr
        of_kind[kind] = [read(folder / kind)]
    for count in (2, 3):
        run_workers("replicas.py", count, folder / str(count))
        of_kind[f"{count} workers"] = [read(folder / str(count) / str(index)) for index in range(count)]
    return of_kind


KINDS = pytest.mark.parametrize("kind", ["mirrored", "2 workers", "3 workers"])


@pytest.mark.parametrize("kind", ["2 workers", "3 workers"])
def test_workers_agree_on_weights_figures_and_seed(results, kind):
    first, *others = results[kind]
    for other in others:
        assert first.keys() == other.keys()
        for name in first:
            np.testing.assert_array_equal(first[name], other[name], err_msg=name)


@KINDS
@pytest.mark.parametrize("name", ["gated", "piecewise_linear"])
def test_steps_without_noise_are_those_of_one_device(results, kind, name):
    one, several = results["one"][0], results[kind][0]
    for what in (f"weights {name}", f"logs {name}"):
        np.testing.assert_allclose(several[what], one[what], rtol=1e-4, atol=1e-6)


@KINDS
def test_predictions_and_figures_of_uneven_batches_are_those_of_one_device(results, kind):
    one, several = results["one"][0], results[kind][0]
    for name in ("predictions", "figures of batches of 20", "figures of batches of 15"):
        np.testing.assert_allclose(several[name], one[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["mirrored", "2 workers"])
def test_callbacks_stop_save_and_resume_as_on_one_device(results, kind):
    for name in ("epochs before the early stop", "epochs after the backup", "steps after the backup"):
        assert results[kind][0][name] == results["one"][0][name]
    assert results[kind][0]["epochs after the backup"] == 2


def test_a_step_sends_its_gradients_once_and_of_pivots_those_in_use_only(results):
    (sent, _) = results["2 workers"]
    assert sent["bytes gated"] == 4 * sent["parameters gated"]
    assert sent["bytes piecewise_linear"] == 4 * sent["parameters piecewise_linear"] * 2 / 5


def test_keras_itself_cannot_yet_train_on_several_workers(tmp_path):
    """Where this fails, Keras has been mended, and `DistributedModel` is no longer needed."""
    outputs = run_workers("plain_keras.py", 2, tmp_path)
    assert all("build: " in output and "logs: " in output for output in outputs), outputs
