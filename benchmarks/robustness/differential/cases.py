"""A target, the arguments of its hypernetwork, and what is compared."""

import dataclasses
from typing import Any

import hypothesis
import hypothesis.strategies as st
import keras

from benchmarks.robustness.differential.comparison import Pair, compare_exports, compare_finetuning, compare_loaded
from benchmarks.robustness.differential.targets import Drawn, draw_target


@dataclasses.dataclass
class Case:
    """What is compared with plain Keras.

    Args:
        drawn: The target and its data.
        options: Arguments of `Pair`.
        sparsity: Of the exports.
    """

    drawn: Drawn
    options: dict[str, Any]
    sparsity: float


def draw_case(draw) -> Case:
    """A case, by a function that draws from strategies. Changes the dtype policy of the process."""
    drawn = draw_target(draw)
    noisy = st.tuples(st.just("normal"), st.sampled_from(["local_reparameterization", "flipout", "weight_sampling"]))
    prior, estimator = draw(st.one_of(noisy, noisy, noisy, st.just(("l2", "deterministic"))))
    options = {
        "momentum": draw(st.sampled_from([0.0, 0.9])),
        "clip": draw(st.sampled_from([None, None, 0.5])) if _can_clip(drawn) else None,
        "eagerly": draw(st.integers(0, 7)) > 0,
        "prior": prior,
        "estimator": estimator,
    }
    return Case(drawn, options, draw(st.sampled_from([0.0, 0.3, 0.8])))


def case_of(number: int) -> Case:
    """The case of a number, always the same one."""
    cases = []
    settings = hypothesis.settings(
        deadline=None,
        database=None,
        max_examples=2,  # of which the first is the simplest there is
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    hypothesis.seed(number)(settings(hypothesis.given(st.data())(lambda data: cases.append(draw_case(data.draw)))))()
    return cases[-1]


def compare_training(case: Case, epochs=2) -> Pair:
    """The pair of a case, once all figures, weights and outputs have come out the same."""
    before = case.drawn.target.get_weights()
    pair = Pair(case.drawn, **case.options)
    with pair.functions():
        pair.train(epochs=epochs)
        pair.compare_predictions()
        pair.compare_weights(before)
    return pair


def compare_all(case: Case, path) -> None:
    """The training, the exports, and what comes back from a file at `path`."""
    pair = compare_training(case)
    with pair.functions():
        compare_exports(pair, case.sparsity)
        compare_finetuning(pair, case.sparsity)
        compare_loaded(pair, path)


def _can_clip(drawn):
    """Whether Keras clips the gradients of a target's weights by the norm that they have."""
    has_embeddings = any(isinstance(layer, keras.layers.Embedding) for layer in drawn.target._flatten_layers())
    return drawn.policy == "float32" and not has_embeddings
