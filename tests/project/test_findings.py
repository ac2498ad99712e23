"""The scripts in findings/ stand by themselves, with pinned versions, of dependencies those of constraints.txt."""

import os
import re
import shlex
import subprocess

import pytest
from places import ROOT

FINDINGS = ROOT / "findings"
SCRIPTS = sorted(FINDINGS.glob("*.sh"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_finding_is_a_script_of_pinned_packages_and_nothing_of_ours(path):
    text = path.read_text()
    packages = shlex.split(re.search(r"^packages=\((.*)\)$", text, re.MULTILINE)[1])
    assert packages
    constraints = (ROOT / "constraints.txt").read_text().split()
    ours = {pinned.partition("==")[0] for pinned in constraints}
    for package in packages:  # of what this package does not use, such as keras-hub, any one version
        assert re.fullmatch(r"[\w.-]+==[\w.]+", package)
        assert package in constraints or package.partition("==")[0] not in ours
    assert text.startswith("#!/usr/bin/env bash\nset -euo pipefail\n")
    assert os.access(path, os.X_OK)
    assert "://" not in text
    assert "cvhn_tf" not in text
    subprocess.run(["bash", "-n", path], check=True)


def test_the_list_of_findings_names_every_script_once():
    named = re.findall(r"^\| \[(.*?)\]\((.*?)\) \|", (FINDINGS / "README.md").read_text(), re.MULTILINE)
    assert [name for name, _ in named] == [link for _, link in named]
    assert sorted(name for name, _ in named) == [path.name for path in SCRIPTS]
