"""The work of `doctor`: what this installation has, what it lacks, and whether a file comes out at the end."""

import dataclasses
import importlib.metadata
import os
import platform
import textwrap
from collections.abc import Iterator

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from cvhn_tf_cli.loading import start_tensorflow

_PACKAGE = "cvhn-tf"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line of the diagnosis.

    Args:
        name: What was looked at.
        found: What is there.
        needed: What `cvhn-tf` asks for, if it asks for anything.
        problem: One sentence on what is wrong and how to mend it, or None.
    """

    name: str
    found: str
    needed: str = ""
    problem: str | None = None


def diagnose() -> list[Finding]:
    """Looks at Python, every dependency, the devices, the strategy, LiteRT and the optional extras."""
    requirements = [Requirement(text) for text in importlib.metadata.requires(_PACKAGE) or ()]
    needed = [requirement for requirement in requirements if not _extras_of(requirement)]
    findings = [_check_python(), *(_check_package(r) for r in needed if _applies(r))]
    try:
        start_tensorflow()
    except Exception as error:
        problem = f"TensorFlow and cvhn_tf cannot be imported, so nothing was run: {_first_line(error)}."
        findings.append(Finding("import", "failed", problem=problem))
    else:
        findings += _check_devices()
        findings.append(_check_litert())
    return [*findings, *_look_for_extras(requirements)]


def _check_python():
    version = platform.python_version()
    needed = importlib.metadata.metadata(_PACKAGE)["Requires-Python"]
    fits = SpecifierSet(needed).contains(version, prereleases=True)
    return Finding(
        "Python", version, needed, None if fits else f"Python {version} does not fit: {_PACKAGE} needs {needed}."
    )


def _check_package(requirement):
    name = requirement.name
    needed = ",".join(sorted(map(str, requirement.specifier), reverse=True))  # >= before <
    mend = f"pip install '{name}{needed}'"
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, "missing", needed, f"{name} is not installed: {mend}")
    fits = requirement.specifier.contains(version, prereleases=True)
    return Finding(name, version, needed, None if fits else f"{name} {version} is outside {needed}: {mend}")


def _check_devices():
    import tensorflow as tf

    from cvhn_tf_cli.work.strategies import choose

    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
    yield Finding("devices", f"{os.cpu_count()} CPU cores, " + (", ".join(names) if names else "no GPU"))
    try:
        yield Finding("strategy", choose(len(gpus)))
    except ValueError as error:
        yield Finding("strategy", "unknown", problem=f"{error}.")


def _check_litert():
    import keras
    import numpy as np

    from cvhn_tf import export
    from cvhn_tf.export.verification import LiteRTModel

    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    try:
        artifact = export.to_tflite(network)  # runs the file, and compares it with Keras
        outputs = LiteRTModel(artifact).run([np.ones((1, 4), "float32")])
    except Exception as error:
        return Finding("LiteRT", "failed", problem=f"LiteRT does not run a small model: {_first_line(error)}.")
    return Finding("LiteRT", f"runs a file of {artifact.size_bytes:,} bytes, {outputs[0].size} outputs")


def _look_for_extras(requirements: list[Requirement]) -> Iterator[Finding]:
    extras: dict[bool, list[str]] = {True: [], False: []}
    for extra in importlib.metadata.metadata(_PACKAGE).get_all("Provides-Extra") or []:
        own = [r for r in requirements if extra in _extras_of(r) and r.name != _PACKAGE]
        extras[all(_check_package(requirement).problem is None for requirement in own)].append(extra)
    for state, names in (("installed", extras[True]), ("missing", extras[False])):
        yield Finding(f"extras {state}", textwrap.fill(", ".join(names), 50, break_on_hyphens=False) or "none")


def _extras_of(requirement):
    """Names of the extras that a requirement is part of."""
    names = importlib.metadata.metadata(_PACKAGE).get_all("Provides-Extra") or []
    marker = requirement.marker
    if marker is None or marker.evaluate({"extra": ""}):
        return []
    return [name for name in names if marker.evaluate({"extra": name})]


def _applies(requirement):
    return requirement.marker is None or requirement.marker.evaluate({"extra": ""})


def _first_line(error):
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).rstrip(".")
