"""One program on one device, two mirrored devices, two and three workers: real processes, one mathematics."""

import multiprocessing.connection
import pathlib
import time

import numpy as np
import pytest
from long import asked_for, long_but
from places import PROGRAMS
from programs.forked import Program

from benchmarks.speed.local_workers import worker_configs

SECONDS = 1200
NUMBERS = {"one": 1, "mirrored": 1, "2 workers": 2, "3 workers": 3}  # of processes


def commands_of(program, kind, folder):
    of_kind = "workers" if "workers" in kind else kind
    return [[str(PROGRAMS / program), of_kind, str(folder / kind / str(index))] for index in range(NUMBERS[kind])]


def run(commands):
    """Runs a program's processes together, and returns what they have printed."""
    configs = [{"TF_CONFIG": config} for config in worker_configs(len(commands))] if len(commands) > 1 else [{}]
    programs = [Program(*command, **config) for command, config in zip(commands, configs, strict=True)]
    waiting, deadline = [program.sentinel for program in programs], time.monotonic() + SECONDS
    while waiting and not any(program.returncode for program in programs) and time.monotonic() < deadline:
        ended = multiprocessing.connection.wait(waiting, timeout=1)
        waiting = [sentinel for sentinel in waiting if sentinel not in ended]
    for program in programs:
        program.kill()  # where one of several has failed, others wait for it
    outputs = ["".join(program.communicate()) for program in programs]
    assert [program.returncode for program in programs] == [0] * len(programs), "\n".join(outputs)
    return outputs


def read(folder):
    with np.load(folder / "results.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def results(request, tmp_path_factory):
    """What came of `replicas.py`, by the kind of replicas: a list, one for each process."""
    folder = tmp_path_factory.mktemp("replicas")
    asked = {"one", "mirrored", *asked_for(request, "kind")}
    commands = {kind: commands_of("replicas.py", kind, folder) for kind in NUMBERS if kind in asked}
    for of_kind in commands.values():
        run(of_kind)
    return {kind: [read(pathlib.Path(command[-1])) for command in of_kind] for kind, of_kind in commands.items()}


KINDS = pytest.mark.parametrize("kind", long_but({"mirrored"}.__contains__, ["mirrored", "2 workers", "3 workers"]))


@pytest.mark.long
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


@pytest.mark.parametrize("kind", long_but({"mirrored"}.__contains__, ["mirrored", "2 workers"]))
def test_callbacks_stop_save_and_resume_as_on_one_device(results, kind):
    for name in ("epochs before the early stop", "epochs after the backup", "steps after the backup"):
        assert results[kind][0][name] == results["one"][0][name]
    assert results[kind][0]["epochs after the backup"] == 2


@pytest.mark.long
@pytest.mark.parametrize("kind", ["2 workers"])
def test_a_step_sends_its_gradients_once_and_of_pivots_those_in_use_only(results, kind):
    (sent, _) = results[kind]
    assert sent["bytes gated"] == 4 * sent["parameters gated"]
    assert sent["bytes piecewise_linear"] == 4 * sent["parameters piecewise_linear"] * 2 / 5


def test_noise_differs_between_replicas_and_complexity_does_not(results):
    (mirrored,) = results["mirrored"]
    first, second = mirrored["outputs with noise"]
    assert np.abs(first - second).max() > 1e-2, "equal noise"
    np.testing.assert_allclose(*mirrored["outputs without noise"], atol=1e-6)


@pytest.mark.long
def test_keras_itself_cannot_yet_train_on_several_workers(tmp_path):
    """Where this fails, Keras has been mended, and `DistributedModel` is no longer needed."""
    outputs = run(commands_of("plain_keras.py", "2 workers", tmp_path))
    assert len(outputs) == 2
    assert all("build: " in output and "logs: " in output for output in outputs), outputs
