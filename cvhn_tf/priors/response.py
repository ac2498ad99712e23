"""How a weight answers to λ at the optimum, where its loss is quadratic: its mean and variance, by prior.

Of a weight that is best at w and whose loss has the curvature h, `h (μ − w)² / 2 + h σ² / 2 + λ / N · KL(μ, σ)` is
least where its derivatives are zero. There `μ = (1 − r) w`, and r and σ depend on λ / λ_c, λ_c being a number of each
weight's own.
"""

import dataclasses
import math

import tensorflow as tf

_LEAST = 1e-8  # what a variance falls to, of what it was: of zero there is no logarithm
_TINY = 1e-30  # the same of a prior's own variance, which does not shrink with the weights
_FAINT = 1e-4  # what counts for the size of a weight that is zero
_LIFE = math.log(16)  # by which log λ_c is above the range before training
_LOW = math.log(0.5)  # what is added to log σ before training, if nothing else is asked for
_SHARE = 0.0125  # of the root mean square of a tensor, or of 0.05, its stddev before training


@dataclasses.dataclass(frozen=True)
class FittedResponse:
    """That of priors whose KL depends on μ²/σ² alone: `KL = ½ log(1 + μ²/σ²)`, with `λ_c = N h w²`.

    `r = λ/λ_c` and `σ² = w² (1 − r) r` below λ_c, so that `KL = ½ log(λ_c/λ)`; above it r is 1.
    """

    def shrinkage(self, log_ratio):
        """r, by log(λ/λ_c), tensors of any shape."""
        return tf.exp(tf.minimum(log_ratio, 0.0))

    def remainder(self, log_ratio, shrinkage):
        """1 − r, which the mean is of w, by log(λ/λ_c) and r."""
        return 1 - shrinkage

    def log_variance(self, value, shrinkage, log_complexity):
        """log σ², by w, r and log λ, tensors whose shapes broadcast."""
        return tf.math.log((tf.square(value) + _FAINT**2) * tf.maximum(shrinkage * (1 - shrinkage), _LEAST))

    def start(self, stddev, size, log_low, log_high):
        """What weights have before training.

        Args:
            stddev: Their stddev in the middle of a range of λ; None for half of that of the optimum.
            size: Their root mean square.
            log_low: log of the least λ of the range.
            log_high: log of the largest.

        Returns:
            log λ_c, and what is added to log σ.
        """
        log_critical = log_high + _LIFE
        if not size:
            return log_critical, _LOW
        log_size = math.log(math.hypot(size, _FAINT))  # as `log_variance` has it
        if stddev is None:
            return log_critical, _LOW + math.log(size) - log_size
        ratio = math.exp((log_low + log_high) / 2 - log_critical)
        return log_critical, math.log(stddev) - log_size - 0.5 * math.log(max(ratio * (1 - ratio), _LEAST))


@dataclasses.dataclass(frozen=True)
class FixedResponse:
    """That of a prior N(0, τ²), with `λ_c = N h τ²`: `r = (λ/λ_c) / (1 + λ/λ_c)` and `σ² = τ² r`.

    Args:
        stddev: τ.
        narrows: Whether σ² is divided by λ, as where the prior's own variance is.
    """

    stddev: float
    narrows: bool = False

    def shrinkage(self, log_ratio):
        """r, by log(λ/λ_c), tensors of any shape."""
        return tf.sigmoid(log_ratio)

    def remainder(self, log_ratio, shrinkage):
        """1 − r, which the mean is of w, by log(λ/λ_c) and r: never zero, though r rounds to 1."""
        return tf.sigmoid(-log_ratio)

    def log_variance(self, value, shrinkage, log_complexity):
        """log σ², by w, r and log λ, tensors whose shapes broadcast."""
        log_variance = 2 * math.log(self.stddev) + tf.math.log(tf.maximum(shrinkage, _TINY))
        return log_variance - log_complexity if self.narrows else log_variance

    def start(self, stddev, size, log_low, log_high):
        """As that of `FittedResponse`; where no stddev is given, it is 0.0125 of the weights, τ/√2 at the most."""
        middle = (log_low + log_high) / 2
        wanted = ((stddev or _SHARE * (size or 0.05)) / self.stddev) ** 2 * (math.exp(middle) if self.narrows else 1.0)
        share = min(wanted, 0.5)
        height = 0.0 if stddev is None else 0.5 * math.log(wanted / share)
        return middle - math.log(share / (1 - share)), height
