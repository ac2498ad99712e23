"""Generated targets train within a hypernetwork as by themselves; what differs on purpose is listed beside them.

`python -m benchmarks.robustness.fuzz_differential --targets 300` tries more.
"""

import pytest
from long import long_but

from benchmarks.robustness.differential.cases import case_of, compare_training
from benchmarks.robustness.differential.targets import end_policy


@pytest.fixture(autouse=True)
def policy_ends():
    yield
    end_policy()


# Those before train in test_exports_against_keras.py. By number, since Hypothesis would give most of them twice.
@pytest.mark.parametrize("number", long_but(range(12, 18).__contains__, range(12, 43)))
def test_hypernetwork_of_a_generated_target_trains_as_the_target_does(number):
    compare_training(case_of(number), epochs=1)
