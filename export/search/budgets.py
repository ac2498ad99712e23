"""What a file may cost and must be worth, and which of two files is the better one."""

import dataclasses
import math
import numbers

from cvhn_tf.export.evaluation.metric import ACCURACY, Metric

# Budget -> what it limits, and how that is said.
_LIMITS = {
    "max_bytes": ("size_bytes", "{:,.0f} bytes"),
    "max_gzip_bytes": ("gzip_bytes", "{:,.0f} bytes after gzip"),
    "max_description_bits": ("description_length_bits", "{:,.0f} bits"),
    "max_latency_ms": ("latency_ms", "{:.4g} ms"),
    "max_arena_bytes": ("arena_bytes", "{:,.0f} bytes of arena"),
    "max_multiply_adds": ("multiply_adds", "{:,.0f} multiply-adds"),
}


@dataclasses.dataclass(frozen=True)
class Budgets:
    """Limits that a file has to keep, all of them; at least one is given.

    Args:
        max_bytes: Largest size of the file in bytes.
        max_gzip_bytes: Largest size after gzip in bytes.
        max_description_bits: Largest KL of the posterior in bits, before pruning.
        max_latency_ms: Longest time in ms for one example on one thread of this machine.
        max_arena_bytes: Largest memory in bytes for the tensors in tflite-micro.
        max_multiply_adds: Most multiply-adds for one example, those by zeros included.
        min_accuracy: Least accuracy of the file, in [0, 1].
        min_metric: Least value of another metric of which large ones are good.
        max_metric: Largest value of another metric of which small ones are good.
        metric: What files are compared by.

    Raises:
        ValueError: If none is given, one is out of range, or one is of another metric.
    """

    max_bytes: float | None = None
    max_gzip_bytes: float | None = None
    max_description_bits: float | None = None
    max_latency_ms: float | None = None
    max_arena_bytes: float | None = None
    max_multiply_adds: float | None = None
    min_accuracy: float | None = None
    min_metric: float | None = None
    max_metric: float | None = None
    metric: Metric = ACCURACY

    def __post_init__(self):
        for name in _LIMITS:
            value = getattr(self, name)
            if value is not None and not (_is_number(value) and 0 < value < math.inf):
                raise ValueError(f"Expected `{name}` to be a positive number. Received: {name}={value!r}")
        accuracy = self.min_accuracy
        if accuracy is not None and not (_is_number(accuracy) and 0 <= accuracy <= 1):
            raise ValueError(f"Expected `min_accuracy` to lie in [0, 1]. Received: min_accuracy={accuracy!r}")
        self.metric.least_allowed(accuracy, self.min_metric, self.max_metric)
        if not self.given():
            raise ValueError(
                f"Expected at least one of {', '.join(_LIMITS)}, {self.metric.bound}. Received: none of them"
            )

    def given(self) -> dict[str, float]:
        """The budgets that there are, by their names."""
        return {name: value for name, value in vars(self).items() if name != "metric" and value is not None}

    def without_bound(self) -> "Budgets":
        """The same budgets, but for the bound of the metric."""
        return dataclasses.replace(self, min_accuracy=None, min_metric=None, max_metric=None)

    def exceeded_by(self, candidate, bound=False) -> str | None:
        """Which budget a candidate breaks, in words, of what is known of it; None if there is none.

        Args:
            candidate: `Candidate`.
            bound: Whether its figures are lower bounds.
        """
        least = "at least " if bound else ""
        for name, (attribute, words) in _LIMITS.items():
            limit, value = getattr(self, name), getattr(candidate, attribute)
            if limit is not None and value is not None and value > limit:
                return f"{least}{words.format(value)}, more than {words.format(limit)}"
        metric, lowest = self.metric, self.least_score
        if lowest is not None and metric.of(candidate) is not None and metric.score(candidate) < lowest:
            than = "less than" if metric.direction == "max" else "more than"
            return f"{metric.words(metric.of(candidate))}, {than} {metric.value_of(lowest):g}"
        return None

    def excess_of(self, candidate) -> float:
        """How far over the budgets a candidate is: the largest of value/limit, of what is known of it."""
        ratios = [0.0]
        for name, (attribute, _) in _LIMITS.items():
            limit, value = getattr(self, name), getattr(candidate, attribute)
            if limit is not None and value is not None:
                ratios.append(value / limit)
        return max(ratios)

    def describe(self, candidate) -> str:
        """What a candidate takes of each budget, in words."""
        parts = []
        for name, (attribute, words) in _LIMITS.items():
            value = getattr(candidate, attribute)
            if getattr(self, name) is not None and value is not None:
                parts.append(words.format(value))
        return " and ".join(parts)

    @property
    def least_score(self) -> float | None:
        """The least score in the metric that a file may have; None where there is no bound."""
        return self.metric.least_allowed(self.min_accuracy, self.min_metric, self.max_metric)

    @property
    def seek_smallest(self) -> bool:
        """Whether the smallest file is wanted that is good enough, and not the most accurate one."""
        return self.least_score is not None

    def rank(self, candidate) -> tuple:
        """Smaller is better. Where the smallest file is wanted, breaking a limit by less is better than by more.

        Of files of one size the better one in the metric is: a dense one takes as much whatever weights are zero.
        What was not measured yet may be the best.
        """
        if self.seek_smallest:
            score = math.inf if self.metric.of(candidate) is None else self.metric.score(candidate)
            return max(1.0, self.excess_of(candidate)), candidate.size_bytes, -score
        return -self.metric.score(candidate), candidate.size_bytes


def _is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
