"""What is possible in the place of budgets that no file keeps."""

from cvhn_tf.export.evaluation.metric import ACCURACY
from cvhn_tf.export.search.pruned_networks import Point
from cvhn_tf.export.verification.verify import ConversionError

_WORDS = {"max_latency_ms": "fastest", **dict.fromkeys(("max_bytes", "max_gzip_bytes", "max_arena_bytes"), "smallest")}
_NETWORKS = 3


def describe_nearest(trials, others=None) -> str:
    """Says what comes nearest to budgets that no file keeps.

    Args:
        trials: `Trials` that found none.
        others: `Trials` of the same budgets without the accuracy, if there are any.

    Raises:
        ConversionError: If no file works at all.
    """
    budgets = trials.budgets
    received = ", ".join(f"{name}={value:.10g}" for name, value in budgets.given().items())
    metric = budgets.metric
    best = "most accurate" if metric is ACCURACY else "best"

    def reached(candidate):
        return metric.number(metric.of(candidate)) if metric is ACCURACY else metric.words(metric.of(candidate))

    text = f"Expected budgets that some file keeps. Received: {received}. "
    if others is not None and others.best is not None:
        found = others.best
        return text + (
            f"The {best} file found within the other budgets reaches {reached(found)} and takes "
            f"{others.budgets.describe(found)}, at {found.settings()}"
        )
    trials = others or trials
    if not trials.prunings.points:
        bits, complexity = trials.prunings.shortest_description()
        return text + f"The shortest description found takes {bits:,.0f} bits, at complexity={complexity:g}"
    if others is None and budgets.seek_smallest:
        found = max(_measured(trials, _most_accurate(trials)), key=metric.score)
        return text + f"The {best} file found reaches {reached(found)}, at {found.settings()}"
    found = min(_measured(trials, _smallest(trials)), key=trials.budgets.excess_of)
    names = list(trials.budgets.given())
    word = _WORDS.get(names[0], "nearest") if len(names) == 1 else "nearest"
    return text + (
        f"The {word} file found takes {trials.budgets.describe(found)}, at {found.settings()}; "
        f"its {metric.name} is {metric.number(metric.of(found))}"
    )


def _most_accurate(trials):
    def score(point):
        estimate = trials.prunings.known_estimate(point)
        return trials.metric.least_score if estimate is None else trials.metric.score_of(estimate)

    points = sorted(trials.prunings.points, key=score)
    return [(point, quantization) for point in points[-_NETWORKS:] for quantization in trials.quantizations]


def _smallest(trials):
    """Files that were refused for little, and those that cannot be made smaller."""
    weighed = sorted((c for c in trials.trace if c.size_bytes is not None), key=trials.budgets.excess_of)
    refused = [(Point(c.complexity, c.sparsity, c.structure), _quantization(c)) for c in weighed[:_NETWORKS]]
    pairs = [(point, quantization) for point in trials.prunings.points for quantization in trials.quantizations]
    return refused + sorted(pairs, key=lambda pair: trials.prunings.least_bytes(*pair))[:_NETWORKS]


def _quantization(candidate):
    return None if candidate.encoding == "float32" else candidate.encoding


def _measured(trials, pairs):
    found = [trials.measure(*pair) for pair in dict.fromkeys(pairs)]
    found = [candidate for candidate in found if candidate is not None]
    if not found:
        raise ConversionError(f"None of the files works in LiteRT: {trials.trace[-1].reason}")
    return found
