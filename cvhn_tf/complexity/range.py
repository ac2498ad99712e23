"""The complexity coefficient λ: its range, its distribution, and its encoding for the hypernetwork."""

import dataclasses
import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from cvhn_tf.checks.arguments import check_integer

_GOLDEN_SECTION = (math.sqrt(5) - 1) / 2


@dataclasses.dataclass(frozen=True)
class ComplexityRange:
    """The closed interval of complexities λ that a hypernetwork is trained on.

    The hypernetwork sees the *encoded* complexity `s = (log λ - log low) / (log high - log low)`, which lies in [0, 1].

    Args:
        low: Smallest complexity, positive.
        high: Largest complexity, greater than `low`.

    Raises:
        ValueError: If the bounds are not finite, not positive or not in order.
    """

    low: float = 1e-2
    high: float = 1e2

    def __post_init__(self):
        if not (_is_finite_number(self.low) and _is_finite_number(self.high) and 0 < self.low < self.high):
            raise ValueError(
                "Expected `complexity_range` to be two finite numbers `(low, high)` with 0 < low < high. "
                f"Received: complexity_range=({self.low!r}, {self.high!r})"
            )

    @classmethod
    def of(cls, bounds: "ComplexityRange | tuple[float, float]") -> "ComplexityRange":
        """Takes a `ComplexityRange` or a pair `(low, high)`."""
        if isinstance(bounds, ComplexityRange):
            return bounds
        try:
            low, high = bounds
        except (TypeError, ValueError):
            raise ValueError(
                f"Expected `complexity_range` to be a pair `(low, high)`. Received: complexity_range={bounds!r}"
            ) from None
        return cls(low, high)

    @property
    def default_complexity(self) -> float:
        """λ = 1, the evidence lower bound itself, or the geometric middle of a range without it."""
        return 1.0 if self.low <= 1.0 <= self.high else math.sqrt(self.low * self.high)

    def check(self, complexity: Any, name: str = "complexity") -> float:
        """Returns `complexity` as a float, or raises a `ValueError` if it is no number in the range.

        Args:
            complexity: λ.
            name: Name of the user's argument.
        """
        if not _is_finite_number(complexity):
            raise ValueError(f"Expected a finite number for `{name}`. Received: {name}={complexity!r}")
        # A complexity that went through float32 may stand a rounding error outside.
        if not self.low * (1 - 1e-6) <= complexity <= self.high * (1 + 1e-6):
            raise ValueError(
                f"`{name}` must lie in `complexity_range`, the range of the training, "
                f"[{self.low:g}, {self.high:g}]. Received: {name}={float(complexity):g}"
            )
        return min(max(float(complexity), self.low), self.high)

    def as_tensor(self, complexity: Any) -> tf.Tensor:
        """`complexity` as a float32 tensor, checked unless it is one whose value TensorFlow does not know yet.

        Raises:
            ValueError: If it is no number in the range.
        """
        if isinstance(complexity, numbers.Real) or hasattr(complexity, "numpy") or not tf.is_tensor(complexity):
            return tf.constant(self.check(complexity), tf.float32)
        return tf.cast(complexity, tf.float32)

    def encode(self, complexity: tf.Tensor) -> tf.Tensor:
        """Maps complexities, a tensor of any shape, to encoded complexities in [0, 1]."""
        log_low, log_high = math.log(self.low), math.log(self.high)
        return tf.clip_by_value((tf.math.log(complexity) - log_low) / (log_high - log_low), 0.0, 1.0)

    def decode(self, encoded_complexity: tf.Tensor) -> tf.Tensor:
        """Maps encoded complexities back."""
        return tf.exp(self.decode_log(encoded_complexity))

    def decode_log(self, encoded_complexity: tf.Tensor) -> tf.Tensor:
        """Maps encoded complexities to log λ."""
        log_low, log_high = math.log(self.low), math.log(self.high)
        return log_low + encoded_complexity * (log_high - log_low)

    def sample(self, samples: int, seed: tf.Tensor) -> tf.Tensor:
        """Draws log-uniform complexities, one from each of `samples` equal strata of log λ.

        Args:
            samples: Number of complexities.
            seed: Integer tensor of shape (2,): the seed of a sequence of draws, and the place in it, a step.

        Returns:
            Float tensor of shape (samples,), ascending.
        """
        encoded = evenly_spread(samples, seed)
        log_low, log_high = math.log(self.low), math.log(self.high)
        return tf.exp(log_low + encoded * (log_high - log_low))

    def grid(self, count: int) -> list[float]:
        """`count` complexities spaced evenly in log λ, both ends included."""
        check_integer("count", count, at_least=2)
        ratio = self.high / self.low
        return [self.low * ratio ** (i / (count - 1)) for i in range(count)]

    def grid_or(self, complexities: Sequence[float] | None, count: int = 9) -> list[float]:
        """`complexities`, each of them checked, or a grid of `count` where they are None.

        Raises:
            ValueError: If one of them is no number in the range.
        """
        complexities = self.grid(count) if complexities is None else complexities
        return [self.check(complexity, "complexities") for complexity in complexities]


def evenly_spread(samples: int, seed):
    """Draws from [0, 1], one from each of `samples` strata of equal width, spread evenly over the steps too.

    Within a stratum each step goes on by the golden section of its width, from a random place: every draw is uniform,
    and any few steps in a row cover the stratum, where independent draws would crowd in one place and leave another.

    Args:
        samples: Number of draws.
        seed: Integer tensor of shape (2,): the seed of the random places, and the step.

    Returns:
        Float tensor of shape (samples,), ascending.

    Reference: Kuipers & Niederreiter, *Uniform Distribution of Sequences*, 1974, on multiples of an irrational number.
    """
    seed = tf.convert_to_tensor(seed)
    sequence, step = tf.unstack(seed)
    start = tf.random.stateless_uniform([samples], tf.stack([sequence, 0]), dtype=tf.float64)
    uniform = tf.math.floormod(start + _GOLDEN_SECTION * tf.cast(step, tf.float64), 1.0)
    return tf.cast((np.arange(samples, dtype="float64") + uniform) / samples, tf.float32)


def batch_shares(complexities: int) -> list[float]:
    """Shares of a batch that the complexities of a step get, in ascending order of λ; they sum to 1.

    The first gets twice as much as the last, the others geometric steps between. Where λ is small, the NLL decides,
    which is known from examples alone; where λ is large, the description length does, which is known exactly.
    """
    weights = [0.5 ** (i / max(complexities - 1, 1)) for i in range(complexities)]
    return [weight / sum(weights) for weight in weights]


def _is_finite_number(value) -> bool:
    is_scalar = isinstance(value, numbers.Real) or getattr(value, "shape", None) == ()
    return is_scalar and not isinstance(value, bool) and math.isfinite(value)
