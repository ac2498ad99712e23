"""What the package cannot run without is looked at before it is imported.

A dependency that is missing, or older than any that was seen to work, would show as a traceback from deep within the
first module that meets it. Newer ones than those that are known are let through: `cvhn-tf doctor` names them.
"""

import importlib.metadata
import importlib.util

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

_PACKAGE = "cvhn-tf"
# Other modules are called as their packages are.
_MODULES = {"scikit-learn": "sklearn"}


def check_dependencies() -> None:
    """Looks at every package that `cvhn-tf` requires, without importing any.

    Raises:
        ModuleNotFoundError: If some are not installed.
        ImportError: If some are too old.
    """
    missing, old, needed = [], [], []
    for requirement in _requirements():
        version = _version(requirement.name)
        if version is None and not _has_module(requirement.name):
            missing.append(f"no {requirement.name}")
        elif version is not None and not _least(requirement).contains(version, prereleases=True):
            old.append(f"{requirement.name} {version}")
        else:
            continue
        needed.append(f"{requirement.name}{_sorted(requirement.specifier)}")
    if needed:
        kind = ModuleNotFoundError if missing else ImportError
        commands = " ".join(f"'{package}'" for package in needed)
        raise kind(
            f"Expected {', '.join(needed)}. Received: {', '.join([*missing, *old])}. Install by: pip install {commands}"
        )


def _requirements():
    try:
        lines = importlib.metadata.requires(_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:  # run from its sources, which say nothing
        return []
    requirements = map(Requirement, lines)
    return [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]


def _version(name):
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _has_module(name):
    """Whether the module is there under another package's name, as TensorFlow is in builds for some processors."""
    return importlib.util.find_spec(_MODULES.get(name, name.replace("-", "_"))) is not None


def _least(requirement):
    """The lower bounds of a requirement alone."""
    return SpecifierSet(",".join(str(s) for s in requirement.specifier if not s.operator.startswith("<")))


def _sorted(specifier):
    return ",".join(sorted(map(str, specifier), reverse=True))  # >= before <
