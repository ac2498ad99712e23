"""Weights that all complexities share, each with a gate that closes where the complexity is too high for it."""

import keras
import numpy as np
import tensorflow as tf

from cvhn_tf.checks.arguments import check_between, check_positive, check_share
from cvhn_tf.parameterizations.base import LOG_STDDEV_RATE, Parameterization, add_variable, combine_rows
from cvhn_tf.parameterizations.hierarchical import Hierarchical
from cvhn_tf.parameterizations.pivots import triangles
from cvhn_tf.tensors.once import once

# Adam moves every variable by the same distance. Of `Hierarchical`, a shared value and a deviation move an end of the
# line together; its value alone moves it this many times as far.
_LOG_STDDEV_SPEED = 1.5


@keras.saving.register_keras_serializable(package="cvhn_tf")
class Gated(Parameterization):
    """`gate(s; c) · (a + Σ hat_k(s) d_k)` for means: a weight fades where s comes near its own threshold c.

    As λ grows, a weight that is not worth its description length any more should fall to zero, and sooner the less it
    is worth. Straight lines between a few points of the range cannot do that at a place of each weight's own; a gate
    `sigmoid(sharpness · (c − s))` can, by one number a weight. What is behind it is that of `Hierarchical`. The gate
    counts as a share of what it is before training.

    Log-stddevs are straight lines in s, between values of each weight's own at both ends of the range.

    `Gated(sharpness=4.0, threshold=1.3, stddev_slope=2.3, gradient_power=0.5)` makes far shorter networks of large λ,
    at some accuracy of those of small λ: see "What was tried" in docs/results.md.

    Holds `pivots + 2` copies of the target's means, and 2 of its log-stddevs.

    Args:
        pivots: Number of deviations of the means, at least 2.
        sharpness: Slope of the gate, positive: it closes within about `4 / sharpness` of the encoded range.
        threshold: c before training, in [1, 10]: beyond the range, so that all gates begin open, but not so far off
            that they could not be closed.
        stddev_slope: By how much log σ grows over the range before training, in nats, in [0, 20], `initial_stddev`
            being σ in the middle. Log σ then has a height and a slope: the optimal noise of a weight that is kept
            grows with λ, as √λ where the loss is quadratic. None: values at both ends, equal before training.
        gradient_power: Gradients at λ are divided by `(1 + λ)` to this power, in [0, 1]: with less than 1, large λ
            count for more in what all complexities share.

    Reference: [Bae et al., 2023](https://arxiv.org/abs/2212.03905), whose gates of hidden units learn the response of a
    variational autoencoder to the weight of its KL.
    """

    def __init__(
        self,
        pivots: int = 2,
        sharpness: float = 2.0,
        threshold: float = 1.6,
        stddev_slope: float | None = None,
        gradient_power: float = 1.0,
    ) -> None:
        self.sharpness = check_positive("sharpness", sharpness)
        self.threshold = check_between("threshold", threshold, 1, 10)  # open at every λ
        self.stddev_slope = None if stddev_slope is None else check_between("stddev_slope", stddev_slope, 0, 20)
        self.gradient_power = check_share("gradient_power", gradient_power)
        self._behind = Hierarchical(pivots)
        self.pivots = self._behind.pivots

    def create(self, layer, name, initial_value):
        if name.endswith("_log_stddev"):
            height = initial_value / _LOG_STDDEV_SPEED
            if self.stddev_slope is None:
                return {"ends": add_variable(layer, name, np.stack([height, height]).astype(initial_value.dtype))}
            slope = np.full_like(height, self.stddev_slope / (LOG_STDDEV_RATE * _LOG_STDDEV_SPEED))
            return {"line": add_variable(layer, name, np.stack([height, slope]).astype(initial_value.dtype))}
        return {
            "values": self._behind.create(layer, name, initial_value),
            "thresholds": add_variable(layer, f"{name}_thresholds", np.full_like(initial_value, self.threshold)),
        }

    def evaluate(self, variables, encoded_complexity):
        if "ends" in variables:
            ends = once(encoded_complexity, "ends", lambda: _LOG_STDDEV_SPEED * triangles(encoded_complexity, 2))
            return combine_rows(ends, variables["ends"])
        if "line" in variables:
            speeds = [
                tf.fill(tf.shape(encoded_complexity), _LOG_STDDEV_SPEED),
                _LOG_STDDEV_SPEED * (encoded_complexity - 0.5),
            ]
            return combine_rows(tf.stack(speeds, 1), variables["line"])
        # Whatever is the same for all weights is done to numbers, not to tensors of the size of the target.
        key = "gated", self.pivots, self.sharpness, self.threshold
        rows = once(encoded_complexity, key, lambda: self._weigh_rows(encoded_complexity))
        behind = combine_rows(rows, variables["values"])
        thresholds = self.sharpness * variables["thresholds"].value
        rank, dtype = len(thresholds.shape), thresholds.dtype

        def closes_at():
            return tf.cast(tf.reshape(self.sharpness * encoded_complexity, [-1] + [1] * rank), dtype)

        return behind * tf.sigmoid(thresholds - once(encoded_complexity, (*key, rank, dtype), closes_at))

    def _weigh_rows(self, encoded_complexity):
        """Of the values behind a gate, so that what a gate is before training counts as one."""
        gate = tf.sigmoid(self.sharpness * (self.threshold - encoded_complexity))
        return self._behind.weigh_rows(encoded_complexity, 1 / gate)

    def get_config(self):
        return {
            "pivots": self.pivots,
            "sharpness": self.sharpness,
            "threshold": self.threshold,
            "stddev_slope": self.stddev_slope,
            "gradient_power": self.gradient_power,
        }
