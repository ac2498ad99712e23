"""`cvhn-tf doctor`: what it says of this installation, and of ones that lack something."""

import importlib.metadata
import json
import re

import pytest
import tensorflow as tf
from typer.testing import CliRunner

from cvhn_tf_cli import commands
from cvhn_tf_cli.work import strategies


@pytest.fixture
def run(monkeypatch):
    def run(**environment):
        monkeypatch.delenv("TF_CONFIG", raising=False)
        return CliRunner().invoke(commands.app, ["doctor"], env=environment)

    return run


def install(folder, name, version, *requirements):
    """Makes metadata as an installer would, in front of those of the environment."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    lines = ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", "Requires-Python: >=3.11"]
    lines += [f"Requires-Dist: {requirement}" for requirement in requirements]
    (info / "METADATA").write_text("\n".join(lines) + "\n")


def test_this_installation_is_healthy_and_everything_about_it_fits_one_screen(run):
    result = run()
    assert result.exit_code == 0, result.output
    for requirement in importlib.metadata.requires("cvhn-tf"):
        if "extra ==" not in requirement:
            name = requirement.split(">")[0].split("<")[0]
            (line,) = [line for line in result.output.splitlines() if line.split()[:1] == [name]]
            assert importlib.metadata.version(name) in line
    assert "no GPU" in result.output or tf.config.list_physical_devices("GPU")
    assert "LiteRT" in result.output and "bytes" in result.output
    # Their names may take more than one line.
    installed = re.search(r"extras installed(.*)extras missing", result.output, re.DOTALL)[1]
    assert {"dev", "tensorboard"} <= set(re.findall(r"[\w-]+", installed))
    assert "✗" not in result.output
    assert len(result.output.splitlines()) <= 28
    assert max(len(line) for line in result.output.splitlines()) <= 100


def test_package_that_is_too_old_or_missing_gives_one_sentence(run, tmp_path, monkeypatch):
    install(tmp_path, "constriction", "0.4.9")
    install(tmp_path, "cvhn-tf", "0.1.0", "constriction<0.6,>=0.5", "cvhn-missing>=2", "numpy>=2")
    monkeypatch.syspath_prepend(tmp_path)
    result = run()
    assert result.exit_code == 1
    problems = [line for line in result.output.splitlines() if line.startswith("✗")]
    assert problems == [
        "✗ constriction 0.4.9 is outside >=0.5,<0.6: pip install 'constriction>=0.5,<0.6'",
        "✗ cvhn-missing is not installed: pip install 'cvhn-missing>=2'",
    ]
    assert "works" not in result.output


def test_cluster_of_the_environment_is_read(run):
    workers = json.dumps({"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}})
    result = run(TF_CONFIG=workers)
    assert result.exit_code == 0
    assert "multiworker" in result.output
    result = run(TF_CONFIG="{worker")
    assert result.exit_code == 1
    (problem,) = [line for line in result.output.splitlines() if line.startswith("✗")]
    assert problem.startswith("✗ Expected TF_CONFIG to name workers")
    assert "Received: TF_CONFIG={worker" in problem


@pytest.mark.parametrize(
    ("cluster", "gpus", "strategy"),
    [
        (None, 0, "none"),
        (None, 1, "none"),
        (None, 2, "mirrored"),
        ({"worker": ["a:1"]}, 0, "none"),
        ({"worker": ["a:1"]}, 4, "mirrored"),
        ({"chief": ["a:1"], "worker": ["b:1"]}, 4, "multiworker"),
        ({"worker": ["a:1", "b:1"]}, 0, "multiworker"),
    ],
)
def test_strategy_follows_workers_and_then_gpus(cluster, gpus, strategy, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if cluster is not None:
        config = {"cluster": cluster, "task": {"type": "worker", "index": 0}}
        monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    assert strategies.choose(gpus) == strategy
