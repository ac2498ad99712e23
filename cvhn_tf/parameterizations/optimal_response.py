"""Weights that answer to λ as the optimum of a quadratic loss does, each up to a λ of its own."""

import math

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from cvhn_tf.checks.arguments import check_integer, check_positive
from cvhn_tf.parameterizations.base import LOG_STDDEV_RATE, Parameterization, add_variable, find_variable
from cvhn_tf.parameterizations.hierarchical import Hierarchical
from cvhn_tf.tensors.gradients import for_each_weight
from cvhn_tf.tensors.once import once

# Adam moves every variable by the same distance a step: log λ_c this many times as far.
_LOG_CRITICAL_SPEED = 4 * math.log(10)
# Of log λ in training, as shares of the range: where most steps are, and the standard deviation around it.
_MOST_STEPS, _SPREAD = 0.39, 0.38
_NARROW = 1e-3  # of log λ; float32 does not tell quantiles apart in much narrower ranges


@keras.saving.register_keras_serializable(package="cvhn_tf")
class OptimalResponse(Parameterization):
    """The posterior that is best for a weight w whose loss is quadratic, which dies at a complexity λ_c of its own.

    Under `AutomaticRelevance`, `μ = w (1 − λ/λ_c)` and `σ² = w² (1 − λ/λ_c) λ/λ_c` up to λ_c, and zero above it: the
    mean is whole where λ is small, its noise grows with λ, and both end at λ_c. The description of such a weight takes
    `½ log(λ_c/λ)` nats. Other priors have a response of their own: see docs/mathematics.md. A hypernetwork learns w and
    log λ_c of each weight, and how w deviates at both ends of the range, since losses are not quadratic.

    What noise costs changes λ_c and not w, which the loss of the mean decides: at the optimum of a quadratic loss both
    say the same, and before it noise only holds w back. Besides, log σ has a height of each weight's own. It begins at
    half of the optimum (`initial_stddev="relative"`), so that weights that carry nothing lose their mean before noise
    hides it.

    Holds `pivots + 2` copies of the target's means, or 2 where there are no pivots, and one of its log-stddevs.

    Args:
        pivots: Number of deviations of w as in `Hierarchical`, at least 2; or 0, so that one w serves all complexities.
        height_speed: How far the height of log σ moves in a step of Adam, times what w does. Slow heights give shorter
            networks, of fewer weights, after many thousand steps; after a few hundred, 1.0 keeps more of large λ.

    Raises:
        ValueError: If `pivots` is 1 or below zero, or `height_speed` is not positive. A layer with it is refused whose
            prior has no `response`.

    Reference: the derivatives of `h (μ − w)² / 2 + h σ² / 2 + λ / N · KL` are zero there (docs/mathematics.md); on
    response functions of λ, [Bae et al., 2023](https://arxiv.org/abs/2212.03905).
    """

    initial_stddev = "relative"

    def __init__(self, pivots: int = 2, height_speed: float = 0.375) -> None:
        self.pivots = check_integer("pivots", pivots, at_least=0)
        if self.pivots == 1:
            raise ValueError("Expected `pivots` to be 0, or at least 2. Received: pivots=1")
        self.height_speed = check_positive("height_speed", height_speed)
        self._deviating = Hierarchical(self.pivots) if self.pivots else None

    def complexity_distribution(self, complexity_range):
        """Normal in log λ: the largest λ take a third as many steps as those below the middle, and lose little by it.

        What they ask of a weight follows from its λ_c, which steps at all λ teach (docs/results.md). Log-uniform in
        ranges so narrow that all λ are alike.
        """
        log_low = math.log(complexity_range.low)
        width = math.log(complexity_range.high) - log_low
        if width < _NARROW:
            return None
        return tfp.distributions.LogNormal(log_low + _MOST_STEPS * width, _SPREAD * width)

    def create(self, layer, name, initial_value):
        response = layer.prior.response
        if response is None:
            raise ValueError(
                "Expected a prior whose optimal response is known for the parameterization `OptimalResponse`. "
                f"Received: prior={type(layer.prior).__name__} in layer '{layer.name}'"
            )
        common = {"response": response, "complexity_range": layer.complexity_range}
        if name.endswith("_log_stddev"):  # after the mean, whose variables it has in common
            of_mean = f"{name.removesuffix('_log_stddev')}_mean"
            values = find_variable(layer, of_mean)
            with tf.init_scope():  # a subclassed model may be built while TensorFlow traces its call
                _, height = _start(layer, response, np.asarray(values.value[0]))
            heights = np.full_like(initial_value, height / self.height_speed)
            return common | {
                "of_stddev": values,
                "log_criticals": find_variable(layer, f"{of_mean}_log_critical"),
                "heights": add_variable(layer, name, heights),
            }
        log_critical, _ = _start(layer, response, initial_value)
        deviations = np.zeros((self.pivots, *initial_value.shape), initial_value.dtype)
        log_criticals = np.full_like(initial_value, log_critical / _LOG_CRITICAL_SPEED)
        type_of = initial_value.dtype.type  # rounded as log λ_c will be, so that means begin as the weights, bit by bit
        start = type_of(_LOG_CRITICAL_SPEED) * type_of(log_critical / _LOG_CRITICAL_SPEED)
        return common | {
            "values": add_variable(layer, name, np.concatenate([initial_value[None], deviations])),
            "log_criticals": add_variable(layer, f"{name}_log_critical", log_criticals),
            # A weight, not a number: a layer that is loaded was built around other weights.
            "start": add_variable(layer, f"{name}_log_critical_start", start, trainable=False),
        }

    def evaluate(self, variables, encoded_complexity):
        s, response, bounds = encoded_complexity, variables["response"], variables["complexity_range"]
        log_complexity = once(s, ("log λ", bounds), lambda: bounds.decode_log(s))
        shrinkage, remainder = self._shares(variables, log_complexity, s)
        if "of_stddev" in variables:
            value = tf.stop_gradient(self._value(variables["of_stddev"], s))
            log_variance = response.log_variance(value, shrinkage, for_each_weight(log_complexity, shrinkage))
            return (0.5 * log_variance + self.height_speed * variables["heights"].value) / LOG_STDDEV_RATE
        # What the mean is before training counts as one, whatever λ is.
        _, before = _shares_of(response, log_complexity, variables["start"].value, shrinkage)
        return self._value(variables["values"], s) * (remainder / before)

    def _value(self, variable, s):
        """w of each weight, of shape (complexities, *weight_shape), or (1, *weight_shape) where all have the same."""
        if self._deviating is None:
            return variable.value
        return once(s, ("w", id(variable)), lambda: self._deviating.evaluate(variable, s))

    def _shares(self, variables, log_complexity, s):
        """By which share of w the mean falls short of it, and which is left, of shape (complexities, *weight_shape)."""
        log_criticals = variables["log_criticals"]

        def make():
            log_critical = _LOG_CRITICAL_SPEED * log_criticals.value[None]
            return _shares_of(variables["response"], log_complexity, log_critical, log_critical)

        return once(s, ("shares", id(log_criticals)), make)

    def get_config(self):
        return {"pivots": self.pivots, "height_speed": self.height_speed}


def _shares_of(response, log_complexity, log_critical, like):
    """r and 1 − r for each complexity, in the type and rank of a tensor (complexities, *weight_shape)."""
    log_ratio = for_each_weight(log_complexity, like) - log_critical
    shrinkage = response.shrinkage(log_ratio)
    return shrinkage, response.remainder(log_ratio, shrinkage)


def _start(layer, response, means):
    """log λ_c and the height of log σ before training, two numbers: σ is as asked for in the middle of the range.

    Args:
        layer: The layer, with its `initial_stddev` and `complexity_range`.
        response: That of its prior.
        means: NumPy array, the initial means of a tensor.
    """
    size = float(np.sqrt(np.mean(np.square(means, dtype="float64")))) if means.size else 0.0
    stddev = None if layer.initial_stddev == "relative" else layer.initial_stddev
    return response.start(stddev, size, math.log(layer.complexity_range.low), math.log(layer.complexity_range.high))
