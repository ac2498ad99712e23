"""The pins hold all that an installation brings, and the documented versions are those of the files."""

import importlib.metadata
import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from places import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def read_pins(name):
    """Versions by package, in a file of constraints."""
    pins = [re.fullmatch(r"(\S+)==(\S+)", line) for line in (ROOT / name).read_text().splitlines() if line[:1] != "#"]
    assert all(pins)
    return {canonicalize_name(pin[1]): pin[2] for pin in pins}


def direct_requirements():
    lists = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    requirements = [Requirement(text) for texts in lists for text in texts]
    return {canonicalize_name(r.name): r for r in requirements if r.name != PROJECT["name"]}


def installed_closure():
    """Names of all packages that this installation with the extra `dev` needs, and needs in turn."""
    found, todo = set(), [(PROJECT["name"], extra) for extra in ("", "dev", *PROJECT["optional-dependencies"])]
    seen = set(todo)
    while todo:
        name, extra = todo.pop()
        for requirement in map(Requirement, importlib.metadata.requires(name) or ()):
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
                continue
            wanted = {(canonicalize_name(requirement.name), extra) for extra in ("", *requirement.extras)}
            todo += wanted - seen
            seen |= wanted
            found.add(canonicalize_name(requirement.name))
    return found - {PROJECT["name"]}


def test_every_package_that_is_installed_has_a_pin():
    closure = installed_closure()
    assert len(closure) > 100 and {"click", "promise", "setuptools"} <= closure
    assert closure - set(read_pins("constraints.txt")) == set()


@pytest.mark.parametrize("name", ["constraints.txt", "constraints-oldest.txt"])
def test_pins_are_within_the_bounds(name):
    pins = read_pins(name)
    for package, requirement in direct_requirements().items():
        assert requirement.specifier.contains(pins[package]), f"{package} {pins[package]}: {requirement}"


def test_oldest_pins_are_the_lower_bounds():
    """But of LiteRT, whose later version ai-edge-quantizer asks for."""
    pins = read_pins("constraints-oldest.txt")
    for package, requirement in direct_requirements().items():
        (least,) = [specifier.version for specifier in requirement.specifier if specifier.operator == ">="]
        if package != "ai-edge-litert":
            assert Version(pins[package]).release[: len(Version(least).release)] == Version(least).release, package


def test_documented_versions_are_those_of_the_files():
    rows = re.findall(r"^\| ([\w-]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", read_page(), re.MULTILINE)
    table = {canonicalize_name(name): versions for name, *versions in rows}
    required = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependencies"]}
    others = {"python", "ai-edge-quantizer", "tensorflow-model-optimization"}
    assert set(table) == required | others
    assert PROJECT["requires-python"] == ">=" + table.pop("python")[0]
    pinned, oldest = read_pins("constraints.txt"), read_pins("constraints-oldest.txt")
    for name, versions in table.items():
        (least,) = [s.version for s in direct_requirements()[name].specifier if s.operator == ">="]
        assert versions[1] == pinned[name]
        assert versions[0] == oldest[name] or name == "ai-edge-litert"
        assert Version(versions[0]).release[: len(Version(least).release)] == Version(least).release
        assert Version(versions[0]) <= Version(versions[1]) <= Version(versions[2])


def read_page():
    return (ROOT / "docs" / "compatibility.md").read_text()


def test_every_pin_has_hashes_and_no_file_of_pins_names_a_place_to_get_it_from():
    lines = [line for line in (ROOT / "requirements-hashed.txt").read_text().splitlines() if line[:1] != "#"]
    text = "\n".join(lines)
    entries = re.findall(
        r"^(\S+)==(\S+) \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", text + "\n", re.MULTILINE
    )
    assert sum(1 + entry[2].count("\n") for entry in entries) == len(lines)  # nothing else is in it
    assert {canonicalize_name(name): version for name, version, _ in entries} == read_pins("constraints.txt")
    for name in ("constraints.txt", "constraints-oldest.txt", "requirements-hashed.txt"):
        assert not re.search(r"://|--(index|extra|find|trusted)", (ROOT / name).read_text()), name
