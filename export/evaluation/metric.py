"""What networks and files are compared by, and which of two values is the better one."""

import math
from typing import Any

import numpy as np

from cvhn_tf.checks.arguments import is_finite_number
from cvhn_tf.export.evaluation.class_accuracy import accuracy
from cvhn_tf.export.evaluation.labelled_examples import as_examples


class Metric:
    """A number that says how good a network is, of its outputs and of labels.

    Nothing else knows whether small or large values are good. A score is the value turned so that the larger one of two
    is the better.

    Args:
        name: What tables call it.
        direction: `"max"` if large values are good, else `"min"`.
    """

    # Where rows have the value; behind `keras_` that in Keras, behind `estimated_` that before a file is made.
    field = "metric"
    # Score below which there is none.
    least_score = -math.inf
    # Whether it is the share of examples of some kind, of which a part tells with a known error.
    is_share = False
    # By how much pruning may make the score better, as `lowered` takes it: ten times what was seen.
    gain_by_pruning = 0.05
    # What values are multiplied by in pictures.
    scale = 1
    unit = ""

    def __init__(self, name: str, direction: str):
        self.name, self.direction = name, direction

    def of(self, row: Any) -> Any:
        """The value of a row or a candidate, None where it has none."""
        return getattr(row, self.field)

    def score(self, row: Any) -> float:
        """The score of a row or a candidate that has a value."""
        return self.score_of(self.of(row))

    def score_of(self, value: float) -> float:
        """A value turned so that larger is better; NaN is worst."""
        if math.isnan(value):
            return -math.inf
        return value if self.direction == "max" else -value

    def value_of(self, score: float) -> float:
        """The value of a score."""
        return score if self.direction == "max" else -score

    def lowered(self, score: float, loss: float) -> float:
        """A score that is worse by a share of its size."""
        return score - loss * abs(score) if math.isfinite(score) else score

    def loses_more(self, before: float, after: float, allowed: float) -> bool:
        """Whether a value is worse than the one before by more than is allowed, as `lowered` takes it."""
        least = self.lowered(self.score_of(before), allowed)
        return self.score_of(after) < self.lowered(least, 1e-6)  # which is more than float32 can tell

    @property
    def axis_title(self) -> str:
        """What a picture writes beside its axis."""
        return f"{self.name} in LiteRT{self.unit}"

    def axis(self, values: list[float]) -> tuple[tuple[float, float] | None, bool]:
        """Limits of a picture's axis for some values, None to show all, and whether it is logarithmic."""
        return None, self.direction == "min" and min(values, default=0) > 0

    def least_allowed(
        self, min_accuracy: float | None, min_metric: float | None, max_metric: float | None
    ) -> float | None:
        """The least score of a bound; None where there is none.

        Raises:
            ValueError: If a bound is none of this metric.
        """
        bounds = {"min_accuracy": min_accuracy, "min_metric": min_metric, "max_metric": max_metric}
        name, value = self.bound, bounds.pop(self.bound)
        for other, wrong in bounds.items():
            if wrong is not None:
                raise ValueError(
                    f"Expected `{name}` as a bound of {self.name}, of which "
                    f"{'large' if self.direction == 'max' else 'small'} values are good. "
                    f"Received: {other}={wrong!r}"
                )
        if value is None:
            return None
        if not is_finite_number(value):
            raise ValueError(f"Expected `{name}` to be a finite number. Received: {name}={value!r}")
        return self.score_of(value)

    @property
    def bound(self) -> str:
        """Name of the argument that bounds it."""
        return f"{'min' if self.direction == 'max' else 'max'}_metric"

    def words(self, value: float) -> str:
        """A value with its name."""
        return f"{self.name} {self.number(value)}"

    def number(self, value: float) -> str:
        """A value as text."""
        return f"{value:.4g}"

    def worse_than(self, score: float) -> str:
        """What is said of a value of a lower score than this one."""
        return f"of {self.name} {'below' if self.direction == 'max' else 'above'} {self.value_of(score):.4g}"

    def for_outputs(self, names: list[str]) -> "Metric":
        """The metric for a network whose outputs have these names.

        Raises:
            ValueError: If it does not fit them.
        """
        raise NotImplementedError

    def examples(self, network: Any, data: Any) -> tuple[Any, Any]:
        """Inputs as a network takes them, an array or a list of arrays, and labels as `value` takes them.

        Args:
            network: Built functional or Sequential Keras model.
            data: Pair (x, y) or `tf.data.Dataset` of batches of such pairs.

        Raises:
            ValueError: If they do not fit the network, or are not finite.
        """
        raise NotImplementedError

    def value(self, outputs: list[np.ndarray], labels: Any) -> float | None:
        """The value on all outputs of a network; None where there is none.

        Args:
            outputs: Arrays in the order of the network's outputs.
            labels: As `examples` gives them.
        """
        raise NotImplementedError


class Accuracy(Metric):
    """Share of the examples that a classifier puts into the right class; what is lost of it counts in its own units."""

    field = "accuracy"
    least_score = 0.0
    is_share = True
    gain_by_pruning = 0.005  # more was not seen
    scale = 100
    unit = ", %"
    bound = "min_accuracy"

    def __init__(self):
        super().__init__("accuracy", "max")

    def lowered(self, score, loss):
        return score - loss

    def loses_more(self, before, after, allowed):
        return before - after > allowed + 1e-9  # 0.98 - 0.001 is not quite 0.979

    def axis(self, values):
        values = [100 * value for value in values]
        best = max(values, default=100)
        # The useful end of the scale: what lost more than 15 points to the best lies below the picture until it is
        # zoomed out.
        lowest = max(min(values, default=0), best - 15)
        margin = 0.05 * (best - lowest) + 0.1
        return (lowest - margin, best + margin), False

    def number(self, value):
        return f"{value:.4f}"

    def worse_than(self, score):
        return f"less accurate than {score:.4f}"

    def for_outputs(self, names):
        return self

    def examples(self, network, data):
        return as_examples(network, data)

    def value(self, outputs, labels):
        return accuracy(outputs[0], labels) if len(outputs) == 1 else None


ACCURACY = Accuracy()
