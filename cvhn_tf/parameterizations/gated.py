"""Weights that all complexities share, each with a gate that closes where the complexity is too high for it."""

import math

import keras
import numpy as np
import tensorflow as tf

from cvhn_tf.checks.arguments import check_between, check_positive, check_share
from cvhn_tf.parameterizations.base import LOG_STDDEV_RATE, Parameterization, add_variable, combine_rows, find_variable
from cvhn_tf.parameterizations.hierarchical import Hierarchical
from cvhn_tf.parameterizations.pivots import triangles
from cvhn_tf.tensors.gradients import for_each_weight, scale_gradient
from cvhn_tf.tensors.once import once

# Adam moves every variable by the same distance. Of `Hierarchical`, a shared value and a deviation move an end of the
# line together; its value alone moves it this many times as far.
_LOG_STDDEV_SPEED = 1.5
_DECADES = 4 * math.log(10)  # the default range
# A gate that has no more to take from σ: of zero there is no logarithm.
_SHUT = 1e-4  # a normal number in float16 too
# What files do not say that were saved before each argument was there.
_FIRST = {"threshold": 1.6, "stddev_power": None, "stddev_gate": 0.0, "gradient_power": 1.0}


@keras.saving.register_keras_serializable(package="cvhn_tf")
class Gated(Parameterization):
    """`gate(s; c) · (a + Σ hat_k(s) d_k)` for means: a weight fades where s comes near its own threshold c.

    As λ grows, a weight that is not worth its description length any more should fall to zero, and sooner the less it
    is worth. Straight lines between a few points of the range cannot do that at a place of each weight's own; a gate
    `sigmoid(sharpness · (c − s))` can, by one number a weight. What is behind it is that of `Hierarchical`. The gate
    counts as a share of what it is before training.

    Of a weight that is worth w and whose loss is quadratic, the best σ² under `AutomaticRelevance` grows with λ as long
    as the weight is kept, and falls with its mean: it is `λ · (1 − λ / λ_c)` in some unit, and the mean
    `w · (1 − λ / λ_c)`. So `log σ = height + growth · log λ + stddev_gate · log gate`, height and growth being each
    weight's own. `Gated(sharpness=16.0, threshold=1.15, stddev_power=0.25, gradient_power=0.5)` makes much shorter
    networks of large λ, at some accuracy of small λ: see "What was tried" in docs/results.md.

    Holds `pivots + 2` copies of the target's means, and 2 of its log-stddevs.

    Args:
        pivots: Number of deviations of the means, at least 2.
        sharpness: Slope of the gate, positive: it closes within about `4 / sharpness` of the encoded range.
        threshold: c before training, in [1, 10]: beyond the range, so that all gates begin open, but not so far off
            that they could not be closed.
        stddev_power: Growth before training, in [0, 1]: σ is proportional to λ to this power, and `initial_stddev` in
            the geometric middle of the range. None: log σ is a straight line in s between values of each weight's own
            at both ends of the range, equal before training.
        stddev_gate: The power to which the gate, 1e-4 at least, counts for σ, in [0, 1].
        gradient_power: In [0, 1]. Gradients of a step at λ are divided by `1 + λ`; those of what large λ have of their
            own, the thresholds and all deviations but the first, by this power of it. With less than 1 they learn more
            from large λ.

    Reference: [Bae et al., 2023](https://arxiv.org/abs/2212.03905), whose gates of hidden units learn the response of a
    variational autoencoder to the weight of its KL. The best mean and σ follow from setting the derivatives of
    `h (μ − w)² / 2 + h σ² / 2 + λ / N · log(1 + μ² / σ²) / 2` to zero: then `λ_c = N h w²`.
    """

    def __init__(
        self,
        pivots: int = 2,
        sharpness: float = 4.0,
        threshold: float = 1.3,
        stddev_power: float | None = 0.125,
        stddev_gate: float = 0.5,
        gradient_power: float = 1.0,
    ) -> None:
        self.sharpness = check_positive("sharpness", sharpness)
        self.threshold = check_between("threshold", threshold, 1, 10)  # open at every λ
        self.stddev_power = None if stddev_power is None else check_share("stddev_power", stddev_power)
        self.stddev_gate = check_share("stddev_gate", stddev_gate)
        self.gradient_power = check_share("gradient_power", gradient_power)
        self._behind = Hierarchical(pivots)
        self.pivots = self._behind.pivots

    def create(self, layer, name, initial_value):
        variables = {"complexity_range": layer.complexity_range}
        if not name.endswith("_log_stddev"):
            thresholds = np.full_like(initial_value, self.threshold)
            return variables | {
                "values": self._behind.create(layer, name, initial_value),
                "thresholds": add_variable(layer, _thresholds_of(name), thresholds),
            }
        height = initial_value / _LOG_STDDEV_SPEED
        if self.stddev_gate:  # those of the means, which were made just before
            of_mean = f"{name.removesuffix('_log_stddev')}_mean"
            variables["thresholds"] = find_variable(layer, _thresholds_of(of_mean))
        if self.stddev_power is None:
            return variables | {
                "ends": add_variable(layer, name, np.stack([height, height]).astype(initial_value.dtype))
            }
        # By s and not by log λ, so that Adam's steps move it as far as the height.
        growth_over_range = self.stddev_power * math.log(layer.complexity_range.high / layer.complexity_range.low)
        growth = np.full_like(height, growth_over_range / (LOG_STDDEV_RATE * _LOG_STDDEV_SPEED))
        line = np.stack([height, growth]).astype(initial_value.dtype)  # bfloat16 is no type that NumPy keeps
        return variables | {"growing": add_variable(layer, name, line)}

    def evaluate(self, variables, encoded_complexity):
        # Whatever is the same for all weights is done to numbers, not to tensors of the size of the target.
        s = encoded_complexity
        if "values" in variables:
            rows = once(s, ("gated rows", *self._key()), lambda: self._weigh_rows(s))
            means = combine_rows(rows, variables["values"], self._boosts(variables, s))
            return means * self._gate(variables, s)
        if "ends" in variables:
            log_stddev = combine_rows(_LOG_STDDEV_SPEED * triangles(s, 2), variables["ends"])
        else:
            line = once(s, "line", lambda: _LOG_STDDEV_SPEED * tf.stack([tf.ones_like(s), s - 0.5], 1))
            log_stddev = combine_rows(line, variables["growing"])
        if not self.stddev_gate:
            return log_stddev
        gate = self._gate(variables, s)
        log_gate = tf.math.log(tf.maximum(gate, _SHUT))  # faster than log_sigmoid
        before = once(s, ("log gate before training", *self._key()), lambda: tf.math.log_sigmoid(self._open(s)))
        return log_stddev + (self.stddev_gate / LOG_STDDEV_RATE) * (log_gate - for_each_weight(before, log_gate))

    def _key(self):
        return self.pivots, self.sharpness, self.threshold

    def _weigh_rows(self, s):
        """Of the values behind a gate, so that what a gate is before training counts as one."""
        return self._behind.weigh_rows(s, 1 / tf.sigmoid(self._open(s)))

    def _open(self, s):
        """The logit of a gate before training, by complexity."""
        return self.sharpness * (self.threshold - s)

    def _boost(self, variables, s):
        """What the gradients of a layer, divided by 1 + λ, are multiplied by, by complexity; None where it is 1."""
        if self.gradient_power == 1:
            return None
        bounds = variables["complexity_range"]
        key = "boost", self.gradient_power, bounds
        return once(s, key, lambda: (1 + bounds.decode(s)) ** (1 - self.gradient_power))

    def _boosts(self, variables, s):
        """That of each row of the means."""
        boost = self._boost(variables, s)
        return None if boost is None else tf.stack([*[tf.ones_like(s)] * 2, *[boost] * (self.pivots - 1)], 1)

    def _gate(self, variables, s):
        """Each weight's gate, of shape (complexities, *weight_shape)."""
        thresholds, boost = variables["thresholds"], self._boost(variables, s)

        def make():
            closes_at = self.sharpness * thresholds.value[None]
            logits = closes_at - for_each_weight(self.sharpness * s, closes_at)
            return tf.sigmoid(logits if boost is None else scale_gradient(logits, for_each_weight(boost, logits)))

        return once(s, ("gate", id(thresholds)), make)

    def get_config(self):
        return {
            "pivots": self.pivots,
            "sharpness": self.sharpness,
            "threshold": self.threshold,
            "stddev_power": self.stddev_power,
            "stddev_gate": self.stddev_gate,
            "gradient_power": self.gradient_power,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        slope = config.pop("stddev_slope", None)  # over the range, in nats, in builds before 0.2.0
        if slope is not None:  # what it was before training counts no longer
            config["stddev_power"] = min(slope / _DECADES, 1.0)
        return cls(**_FIRST | config)


def _thresholds_of(name):
    return f"{name}_thresholds"
