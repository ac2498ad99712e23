"""Imports go one way between the rooms, and the check that says so notices an arrow back."""

import pathlib
import shutil
import subprocess
import sys
import tomllib

import pytest
from places import ROOT

LINTER = pathlib.Path(sys.executable).with_name("lint-imports")


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    """The packages laid out as they are installed, where the linter looks for them."""
    folder = tmp_path_factory.mktemp("layout")
    shutil.copytree(ROOT / "cvhn_tf", folder / "cvhn_tf")
    shutil.copytree(ROOT / "export", folder / "cvhn_tf" / "export")
    shutil.copytree(ROOT / "cli", folder / "cvhn_tf_cli")
    return folder


def lint(folder):
    return subprocess.run(
        [LINTER, "--no-cache", "--config", ROOT / "pyproject.toml"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_imports_go_one_way_and_in_no_circle(layout):
    result = lint(layout)
    assert result.returncode == 0, result.stdout
    assert "5 kept, 0 broken" in result.stdout


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("cvhn_tf/export/pruning/prune.py", "from cvhn_tf.export.search import best", "one direction"),
        ("cvhn_tf/checks/arguments.py", "from cvhn_tf.hypernetwork import VariationalHypernetwork", "its parts"),
        ("cvhn_tf/graph.py", "from cvhn_tf_cli import terminal", "the command line"),
        ("cvhn_tf/export/search/size_bound.py", "from cvhn_tf.export.search import trials", "No circle"),
    ],
)
def test_an_arrow_back_is_found(layout, module, line, contract):
    path = layout / module
    text = path.read_text()
    path.write_text(f"{text}\n{line}\n")
    try:
        result = lint(layout)
    finally:
        path.write_text(text)
    assert result.returncode != 0
    assert any(contract in line and "BROKEN" in line for line in result.stdout.splitlines()), result.stdout


def test_no_room_is_too_large_to_read():
    """15 modules a folder and 300 lines a module, as docs/design.md says."""
    for folder in ("cvhn_tf", "export", "cli", "tests", "benchmarks", "examples"):
        modules = list((ROOT / folder).rglob("*.py"))
        crowded = {path.parent for path in modules if sum(other.parent == path.parent for other in modules) > 15}
        assert not crowded
    for folder in ("cvhn_tf", "export", "cli"):
        long = [path for path in (ROOT / folder).rglob("*.py") if len(path.read_text().splitlines()) > 300]
        assert not long


def test_every_room_says_what_comes_in_and_what_goes_out():
    for init in [*(ROOT / "cvhn_tf").glob("*/__init__.py"), *(ROOT / "export").glob("*/__init__.py")]:
        docstring = init.read_text().split('"""')[1]
        assert 3 <= len(docstring.splitlines()) <= 7, init
        assert "Begin with" in docstring, init
        assert "__all__" in init.read_text(), init


def test_every_room_is_installed():
    """setuptools leaves out, without a word, a package that is not in its list."""
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = set()
    for folder, package in (("cvhn_tf", "cvhn_tf"), ("export", "cvhn_tf.export"), ("cli", "cvhn_tf_cli")):
        for init in (ROOT / folder).rglob("__init__.py"):
            found.add(".".join([package, *init.parent.relative_to(ROOT / folder).parts]))
    assert listed == found
