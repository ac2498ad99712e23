"""The examples run as a user runs them, at small settings, and what they print is true."""

import pathlib
import subprocess
import sys

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"


def test_rejecting_unsure_images_makes_the_answers_more_accurate(tmp_path):
    command = (sys.executable, EXAMPLES / "reject_unsure.py", "--epochs", "15", "--samples", "8")
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    rows = [line.split() for line in result.stdout.splitlines() if line.count("%") == 3]
    assert len(rows) == 12
    for complexity in ("0.01", "0.1", "1"):
        accuracies = [float(row[2].rstrip("%")) for row in rows if row[0] == complexity]
        assert accuracies[-1] > accuracies[0] > 50
