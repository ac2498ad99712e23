"""Generated targets, trained within a hypernetwork, come back from files, and exports compute the same.

`python -m benchmarks.robustness.fuzz_differential --targets 300` tries more.
"""

import keras
import numpy as np
import pytest
from long import long_but
from places import ROOT
from programs.forked import check

from benchmarks.robustness.differential.cases import case_of, compare_all
from benchmarks.robustness.differential.comparison import BATCH, Pair
from benchmarks.robustness.differential.targets import end_policy

LOAD_AND_RUN = """
import pathlib, sys
import keras
import numpy as np
import cvhn_tf
from benchmarks.robustness.differential.cases import case_of
folder = pathlib.Path(sys.argv[1])
outputs = {}
for path in folder.glob("*.keras"):
    x = case_of(int(path.stem)).drawn.x
    keras.config.set_dtype_policy("float32")  # which a file does without
    outputs[path.stem] = keras.tree.flatten(cvhn_tf.load_model(path)(x, training=False))[-1]
np.savez(folder / "outputs.npz", **outputs)
"""


@pytest.fixture(autouse=True)
def policy_ends():
    yield
    end_policy()


@pytest.mark.parametrize("number", long_but({2, 4, 6}.__contains__, range(12)))
def test_files_and_exports_of_a_generated_target_are_what_it_is(number, tmp_path):
    compare_all(case_of(number), tmp_path / "model.keras")


def test_new_process_loads_hypernetworks_of_generated_targets(tmp_path):
    expected = {}
    for number in range(100, 103):
        case = case_of(number)
        model = Pair(case.drawn, **case.options).model
        model.fit(case.drawn.x, case.drawn.y, batch_size=BATCH, verbose=0, **case.drawn.fit)
        model.save(tmp_path / f"{number}.keras")
        expected[str(number)] = keras.tree.flatten(model(case.drawn.x, training=False))[-1]
    check("-c", LOAD_AND_RUN, tmp_path, cwd=ROOT)
    with np.load(tmp_path / "outputs.npz") as outputs:
        assert set(outputs) == set(expected)
        for number in expected:
            np.testing.assert_allclose(outputs[number], expected[number], rtol=1e-6, atol=1e-6)
