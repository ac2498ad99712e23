"""Weights as whole multiples of a step that is as coarse as the posterior allows."""

import dataclasses
import math
import numbers

import keras
import numpy as np

from cvhn_tf.export.pruning.prune import prune
from cvhn_tf.export.rounding.rate import round_by_rate
from cvhn_tf.tensors.paths import paths_by_id

# A weight without noise has no stddev to go by; its tensor's root mean square over this takes its place.
_LEVELS_WITHOUT_NOISE = 16
# No step is finer than float32 weights are.
_FINEST = 2.0**-24
# 2**(i / 4), as numbers: `pow` may differ in its last bit between machines.
_QUARTER_OCTAVES = (1.0, 1.189207115002721, 1.4142135623730951, 1.681792830507605)
STEP_EXPONENTS = range(-512, 512)
_HALVINGS = 30


@dataclasses.dataclass(frozen=True)
class RoundedTensor:
    """Weights `values * 2**(step_exponent / 4)`.

    Args:
        values: int64 array of the weights' shape.
        step_exponent: Integer in `STEP_EXPONENTS`.
    """

    values: np.ndarray
    step_exponent: int

    def weights(self, dtype="float32") -> np.ndarray:
        """The weights."""
        return (self.values * step_size(self.step_exponent)).astype(dtype)


def step_size(step_exponent) -> float:
    """`2**(step_exponent / 4)`, the same number on every machine."""
    return math.ldexp(_QUARTER_OCTAVES[step_exponent % 4], step_exponent // 4)


def round_to_steps(model, complexity, sparsity=None, snr_threshold=None, step=2.0, rate_weight=0.3, scope="global"):
    """The pruned network at a complexity with its weights rounded to multiples of a step, one step a tensor.

    An error δ of a weight costs about `δ² / (2 stddev²)` nats of the posterior's density, so a weight needs no more
    digits than its stddev shows. The step of a tensor is that at which these costs are those of a step of each weight's
    own, `step * stddev`: `step² / 24` nats a weight. It is rounded down to a power of 2^¼. Weights are rounded as
    `round_by_rate` says; those that become zero, biases too, are zeros from then on. Weights that are not random (those
    of normalization layers) are not quantized.

    Reference: [Hinton and van Camp, 1993](https://doi.org/10.1145/168304.168306), for the precision that noise leaves.

    Args:
        model: `cvhn_tf.VariationalHypernetwork`.
        complexity: λ of the network.
        sparsity: As in `prune`.
        snr_threshold: As in `prune`.
        step: Quantization step in posterior stddevs, positive.
        rate_weight: Weight of the code length against the error of rounding, both in nats. 0 rounds to the
            nearest; at 1 they count as they did in training.
        scope: As in `prune`.

    Returns:
        Pair of the pruned network, before rounding, and a list with a `RoundedTensor` for each of its `weights`, None
        for those that are not quantized.

    Raises:
        ValueError: If an argument is out of range, or a weight is NaN or infinite.
    """
    check_step(step, rate_weight)
    network = prune(model, complexity, sparsity, snr_threshold, scope=scope)
    posterior = model.posterior(complexity)
    tensors = []
    path_of = paths_by_id(network)
    for weight in network.weights:
        values = keras.ops.convert_to_numpy(weight)
        distribution = posterior.get(path_of[id(weight)])
        if distribution is None:
            tensors.append(None)
        else:
            stddev = np.broadcast_to(np.asarray(distribution.stddev(), "float64"), values.shape)
            tensors.append(_round_tensor(values.astype("float64"), stddev, step, rate_weight))
    return network, tensors


def check_step(step, rate_weight):
    """Raises a `ValueError` unless the step is a positive number and the weight of the rate one from 0 on."""
    if not (_is_finite(step) and step > 0):
        raise ValueError(f"Expected `step` to be a positive number of stddevs. Received: step={step!r}")
    if not (_is_finite(rate_weight) and rate_weight >= 0):
        raise ValueError(f"Expected `rate_weight` to be at least 0. Received: rate_weight={rate_weight!r}")


def _is_finite(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def stddev_or_substitute(values, stddev):
    """`stddev`, or, for weights without noise, a share of their root mean square that takes its place."""
    kept = values != 0
    if np.all(stddev[kept] > 0):
        return stddev
    return np.full(values.shape, math.sqrt(np.mean(np.square(values[kept]))) / _LEVELS_WITHOUT_NOISE)


def posterior_step(values, stddev, step) -> float:
    """The step at which rounding costs `step² / 24` nats a kept weight; no finer than float32 weights are.

    An error that is uniform over a step costs a weight `step_size² / (24 stddev²)` nats, and what is so small that it
    becomes zero `SNR² / 2`, however coarse the step is. Where all weights have one stddev and are larger than steps,
    the result is `step · stddev`.
    """
    kept = values != 0
    sizes, precision = np.abs(values[kept]), np.square(1 / stddev[kept])
    most, wanted = sizes.max(), step**2 / 24
    low, high = step / math.sqrt(np.mean(precision)), most  # the former is too fine where anything becomes zero
    for _ in range(_HALVINGS if low < high else 0):
        middle = math.sqrt(low * high)
        cost = np.mean(precision * np.minimum(middle**2 / 24, np.square(sizes) / 2))
        low, high = (middle, high) if cost < wanted else (low, middle)
    return max(low, most * _FINEST)


def _round_tensor(values, stddev, step, rate_weight):
    if not values.any():
        return RoundedTensor(np.zeros(values.shape, np.int64), 0)
    stddev = stddev_or_substitute(values, stddev)
    exponent = math.floor(4 * math.log2(posterior_step(values, stddev, step)))
    exponent = min(max(exponent, STEP_EXPONENTS[0]), STEP_EXPONENTS[-1])
    size = step_size(exponent)
    shape = (-1, values.shape[-1]) if values.ndim > 1 else (-1, 1)
    rounded = round_by_rate(values.reshape(shape) / size, stddev.reshape(shape) / size, rate_weight)
    return RoundedTensor(rounded.reshape(values.shape), exponent)
