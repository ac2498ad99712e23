"""What users name as a metric, as a `Metric` with its direction."""

import inspect
from typing import Any

import keras

from cvhn_tf.checks.errors import with_cause
from cvhn_tf.export.evaluation.class_accuracy import accuracy
from cvhn_tf.export.evaluation.keras_metric import KerasMetric, kind, made_of, tidy
from cvhn_tf.export.evaluation.metric import ACCURACY, Metric

_ACCURACY = ("accuracy", "acc")
# Metrics that take no labels: outputs would be the weights of these.
_OF_VALUES = (keras.metrics.Mean, keras.metrics.Sum)
# Better when large, or when small, of those of which Keras itself does not tell.
_LARGE_IS_GOOD = (
    keras.metrics.IoU,
    keras.metrics.PrecisionAtRecall,
    keras.metrics.RecallAtPrecision,
    keras.metrics.SensitivityAtSpecificity,
    keras.metrics.SpecificityAtSensitivity,
    keras.metrics.TrueNegatives,
    keras.metrics.TruePositives,
)
_SMALL_IS_GOOD = (keras.losses.Loss, keras.metrics.FalseNegatives, keras.metrics.FalsePositives)


def as_metric(metric: Any = "accuracy", direction: str = "auto") -> Metric:
    """What networks are compared by, from what users give.

    Args:
        metric: `"accuracy"`; what Keras takes as a metric or a loss: its name, an object, a class or a function of
            labels and outputs; a list or a dict of these, for a network of several outputs; or a `Metric`.
        direction: `"min"` if small values are good, `"max"` if large ones are; `"auto"` to take what Keras knows.

    Raises:
        ValueError: If it is none of these, or its direction cannot be told.
    """
    if direction not in ("auto", "min", "max"):
        raise ValueError(f"Expected `direction` to be 'auto', 'min' or 'max'. Received: direction={direction!r}")
    if isinstance(metric, Metric):
        return metric
    if _is_accuracy(metric):
        if direction == "min":
            raise ValueError("Expected direction='max' with metric='accuracy'. Received: direction='min'")
        return ACCURACY
    parts: Any = metric
    if isinstance(metric, dict):
        parts = {name: part for name, part in metric.items() if part is not None}
    elif isinstance(metric, list | tuple):
        parts = {i: part for i, part in enumerate(metric) if part is not None}
    else:
        parts = {None: metric}
    judges = {key: _as_judge(part, metric) for key, part in parts.items()}
    if not judges:
        raise ValueError(f"Expected `metric` for one output at least. Received: metric={metric!r}")
    names = {key: _name(part, judges[key]) for key, part in parts.items()}
    directions = {key: _direction(judge) if direction == "auto" else direction for key, judge in judges.items()}
    for key, found in directions.items():
        if found is None:
            raise ValueError(
                "Expected `direction`, 'min' or 'max', with a metric of which Keras does not tell which values are "
                f"good. Received: metric={parts[key]!r}, direction='auto'"
            )
    if len(set(directions.values())) > 1:
        told = ", ".join(f"{name} ({directions[key]})" for key, name in names.items())
        raise ValueError(
            f"Expected metrics of one direction, since files are compared by their sum. Received: {told}; None in the "
            "place of a metric leaves its output out"
        )
    count = len(metric) if isinstance(metric, list | tuple) else None
    return KerasMetric(judges, names, next(iter(directions.values())), count)


def _as_judge(part, metric):
    """A `keras.metrics.Metric`, or a function of labels and outputs."""
    if _is_accuracy(part):
        return _class_accuracy
    reason = ""
    for get in (keras.metrics.get, keras.losses.get):
        try:
            judge = get(part) if isinstance(part, str) else part() if inspect.isclass(part) else part
        except (TypeError, ValueError) as error:  # of one that cannot be made without arguments
            reason = reason or ("" if isinstance(error, ValueError) else f": {with_cause(error)}")
            continue
        if callable(judge) and not isinstance(judge, keras.Layer) and type(judge) not in _OF_VALUES:
            return judge
    raise ValueError(
        "Expected `metric` to be 'accuracy', or what Keras takes as a metric or a loss: its name, such as 'mse', an "
        f"object, or a function of labels and outputs. Received: metric={metric!r}{reason}"
    )


def _is_accuracy(part):
    """Whether it is "accuracy", which Keras knows in large letters too."""
    return isinstance(part, str) and part.lower() in _ACCURACY


def _class_accuracy(labels, outputs):
    """What Keras takes "accuracy" for, of one of several outputs."""
    share = accuracy(keras.ops.convert_to_numpy(outputs), keras.ops.convert_to_numpy(labels))
    if share is None:
        raise ValueError("accuracy is of classes")
    return share


def _name(part, judge):
    name = part if isinstance(part, str) else getattr(judge, "name", None) or kind(judge)
    return tidy(name)


def _direction(judge) -> str | None:
    """Which values are good, as `keras.callbacks.EarlyStopping` takes it from a metric; None where it is not known."""
    if judge is _class_accuracy:
        return "max"
    known = getattr(judge, "_direction", None)
    if known is not None:
        return "max" if known == "up" else "min"
    if isinstance(judge, _LARGE_IS_GOOD):
        return "max"
    if isinstance(judge, _SMALL_IS_GOOD) or _has_name(judge, keras.losses.get):
        return "min"
    named = _has_name(judge, keras.metrics.get)
    return None if named is None or named is judge else _direction(named)


def _has_name(function, get):
    """What Keras has by the name of a function, if it is this function or made of it."""
    try:
        named = get(getattr(function, "__name__", ""))
    except (TypeError, ValueError):
        return None
    return named if made_of(named) is function else None
