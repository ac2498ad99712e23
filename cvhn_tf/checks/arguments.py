"""Numbers that users give: each kind has one check, and one error that names the argument and what was received."""

import math
import numbers
from typing import Any


def check_positive(name, value) -> float:
    """Returns `value` as a float, or raises a `ValueError` unless it is a positive finite number."""
    if not is_finite_number(value) or value <= 0:
        raise ValueError(f"Expected `{name}` to be a positive number. Received: {name}={value!r}")
    return float(value)


def check_initial_stddev(value) -> float | str:
    """Returns `"relative"` or a float whose square and their quotients fit in float32, or raises a `ValueError`."""
    if isinstance(value, str) and value == "relative":
        return value
    if not is_finite_number(value) or not 1e-8 <= value <= 1e4:
        raise ValueError(
            "Expected `initial_stddev` to be a positive number in [1e-08, 10000], or 'relative'. "
            f"Received: initial_stddev={value!r}"
        )
    return float(value)


def check_truth(name: str, value: Any) -> bool:
    """Returns `value`, or raises a `ValueError` unless it is True or False."""
    if not isinstance(value, bool):
        raise ValueError(f"Expected `{name}` to be True or False. Received: {name}={value!r}")
    return value


def check_integer(name: str, value: Any, at_least: int = 1, below: float = math.inf) -> int:
    """Returns `value` as an int, or raises a `ValueError` unless it is an integer in [at_least, below)."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not at_least <= int(value) < below:
        kind = "a positive integer" if at_least == 1 else f"an integer of at least {at_least}"
        kind += "" if below == math.inf else f" and below {below}"
        raise ValueError(f"Expected `{name}` to be {kind}. Received: {name}={value!r}")
    return int(value)


def check_share(name, value) -> float:
    """Returns `value` as a float, or raises a `ValueError` unless it is a number in [0, 1]."""
    return check_between(name, value, 0, 1)


def check_between(name, value, low, high) -> float:
    """Returns `value` as a float, or raises a `ValueError` unless it is a number in [low, high]."""
    if not is_finite_number(value) or not low <= value <= high:
        raise ValueError(f"Expected `{name}` to lie in [{low}, {high}]. Received: {name}={value!r}")
    return float(value)


def is_finite_number(value) -> bool:
    """Whether `value` is one real number, neither NaN nor infinite, and no truth value."""
    return not isinstance(value, bool) and isinstance(value, numbers.Real) and math.isfinite(value)
