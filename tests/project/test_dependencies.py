"""What an installation lacks, or has too old, is said in one sentence by whatever meets it first."""

import os
import pathlib
import subprocess
import sys
import sysconfig

import pytest

SITE_PACKAGES = pathlib.Path(sysconfig.get_path("purelib"))
IMPORT = "import cvhn_tf"
COMMAND = "sys.argv[1:] = {}; from cvhn_tf_cli.__main__ import main; main()"


def run(code, packages, before=()):
    """Runs code with the packages of a folder, and in front of them those of others, in a process of its own."""
    start = f"import site, sys; sys.path += {[str(folder) for folder in before]}; site.addsitedir({str(packages)!r}); "
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run([sys.executable, "-S", "-c", start + code], capture_output=True, text=True, env=environment)


@pytest.fixture
def packages_without(tmp_path):
    """Makes a folder of all packages of this environment but one."""

    def link(pattern):
        hidden = set(SITE_PACKAGES.glob(pattern))
        assert hidden
        for path in set(SITE_PACKAGES.iterdir()) - hidden:
            os.symlink(path, tmp_path / path.name)
        return tmp_path

    return link


@pytest.fixture
def metadata_of(tmp_path):
    """Makes a folder that says that a package is of another version."""

    def write(name, version):
        (tmp_path / f"{name}-{version}.dist-info").mkdir()
        text = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n"
        (tmp_path / f"{name}-{version}.dist-info" / "METADATA").write_text(text)
        return tmp_path

    return write


def test_import_says_which_package_is_missing(packages_without):
    result = run(IMPORT, packages_without("tensorflow_probability*"))
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: Expected tensorflow-probability>=0.25,<0.26. Received: no tensorflow-probability. "
        "Install by: pip install 'tensorflow-probability>=0.25,<0.26'"
    )


def test_import_says_which_package_is_too_old(metadata_of):
    result = run(IMPORT, SITE_PACKAGES, before=[metadata_of("keras", "3.9.0")])
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        "ImportError: Expected keras>=3.15,<4. Received: keras 3.9.0. Install by: pip install 'keras>=3.15,<4'"
    )


@pytest.mark.long
def test_package_newer_than_those_known_is_tried(metadata_of):
    result = run(f"{IMPORT}; print('tried')", SITE_PACKAGES, before=[metadata_of("constriction", "7.0.0")])
    assert (result.returncode, result.stdout) == (0, "tried\n"), result.stderr


def test_doctor_says_what_is_missing_and_runs_nothing(packages_without):
    result = run(COMMAND.format(["doctor"]), packages_without("constriction*"))
    assert (result.returncode, result.stderr) == (1, "")
    problems = [line for line in result.stdout.splitlines() if line.startswith("✗")]
    assert problems[0] == "✗ constriction is not installed: pip install 'constriction>=0.5,<0.6'"
    assert len(problems) == 2 and "so nothing was run" in problems[1]


@pytest.mark.parametrize(
    ("hidden", "words", "line"),
    [
        (
            "constriction*",
            ["export", "model.keras"],
            "Error: Expected constriction>=0.5,<0.6. Received: no constriction. "
            "Install by: pip install 'constriction>=0.5,<0.6'",
        ),
        ("typer*", ["doctor"], "Error: Expected typer. Received: no typer. Install by: pip install typer"),
    ],
)
def test_command_that_lacks_a_package_ends_with_one_line(hidden, words, line, packages_without, compiled):
    packages = packages_without(hidden)
    compiled().save(packages / "model.keras")
    words = [str(packages / word) if word.endswith(".keras") else word for word in words]
    result = run(COMMAND.format(words), packages)
    assert (result.returncode, result.stderr) == (1, line + "\n")
