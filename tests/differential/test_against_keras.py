"""Generated targets train within a hypernetwork as by themselves; what differs on purpose is listed beside them.

`python -m benchmarks.robustness.fuzz_differential --targets 300` tries more.
"""

import hypothesis
import hypothesis.strategies as st
import pytest

from benchmarks.robustness.differential.cases import compare_training, draw_case
from benchmarks.robustness.differential.targets import end_policy


@pytest.fixture(autouse=True)
def policy_ends():
    yield
    end_policy()


@hypothesis.settings(
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=28,
    phases=[hypothesis.Phase.generate],
    suppress_health_check=list(hypothesis.HealthCheck),
)
@hypothesis.given(st.data())
def test_hypernetwork_of_a_generated_target_trains_as_the_target_does(data):
    compare_training(draw_case(data.draw), epochs=1)
