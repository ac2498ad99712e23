"""Where the parts of this repository are."""

import pathlib

TESTS = pathlib.Path(__file__).parent
ROOT = TESTS.parent
BENCHMARKS = ROOT / "benchmarks"
EXAMPLES = ROOT / "examples"
PROGRAMS = TESTS / "programs"
SAVED_FILES = sorted((TESTS / "data").glob("saved_*"))
