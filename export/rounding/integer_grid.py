"""Weights on a grid of few levels, whose step is chosen by what the posterior knows of each weight."""

import keras
import numpy as np

from cvhn_tf.export.pruning.prune import prune
from cvhn_tf.export.pruning.weight_groups import owners
from cvhn_tf.export.rounding.rate import round_by_rate
from cvhn_tf.export.rounding.step_grid import check_step, posterior_step, stddev_or_substitute
from cvhn_tf.hypernetwork import VariationalHypernetwork
from cvhn_tf.tensors import channels

_LEVELS = {8: 127, 4: 7}
# Shares of the largest weight at which a channel's range may be cut off.
_CLIPPING = np.linspace(0.3, 1.0, 71)


def round_weights(
    model: VariationalHypernetwork,
    complexity: float,
    sparsity: float | None = None,
    snr_threshold: float | None = None,
    bits: int = 8,
    step: float = 0.5,
    rate_weight: float = 0.0,
    scope: str = "global",
    structure: str = "weight",
    include_frozen: bool = False,
) -> keras.Model:
    """The pruned network at a complexity, its kernels rounded to what 8-bit or 4-bit integers can hold.

    An error δ of a weight costs about `δ² / (2 stddev²)` nats of the posterior's density. Each channel (a unit, a
    filter) gets the step of the least sum of these costs, among those that are not finer than `step` of its tensor's
    posterior stddevs, as in `pack`: where 127 (or 7) multiples of this reach the channel's largest weight, it is this
    step, and otherwise as much of the range is cut off as pays. Converters go by the largest weight alone. Biases stay
    in float.

    The result is a plain network. Once it is in a file that is quantized with as many bits (`"dynamic_range"`,
    `"weight_only_int8"`; `"weight_only_int4"`), its weights are exactly those of this network.

    Args:
        model: `cvhn_tf.VariationalHypernetwork`.
        complexity: λ of the network.
        sparsity: As in `prune`.
        snr_threshold: As in `prune`.
        bits: 8 or 4.
        step: Least quantization step, in posterior stddevs, positive. The coarser, the smaller a file is after gzip.
        rate_weight: As in `pack`: weight of a code's length in rounding, which prunes further. 0 rounds to the nearest.
        scope: As in `prune`.
        structure: As in `prune`.
        include_frozen: As in `prune`. Frozen kernels, of which no posterior tells the grid, are pruned but not rounded.

    Returns:
        Plain Keras model of the target's architecture.

    Raises:
        ValueError: If an argument is out of range.
    """
    if bits not in _LEVELS:
        raise ValueError(f"Expected `bits` to be 8 or 4. Received: bits={bits!r}")
    check_step(step, rate_weight)
    network = prune(model, complexity, sparsity, snr_threshold, scope, False, structure, include_frozen)
    posterior = model.posterior(complexity)
    for path, (layer, weight) in owners(network).items():
        if path in posterior and len(weight.shape) > 1 and not weight.name.startswith("bias"):
            values = keras.ops.convert_to_numpy(weight).astype("float64")
            stddev = np.broadcast_to(np.asarray(posterior[path].stddev(), "float64"), values.shape)
            axes = channels.of_weight(layer, weight).output
            weight.assign(_round(values, stddev, axes, _LEVELS[bits], step, rate_weight))
    return network


def _round(values, stddev, axes, levels, step, rate_weight):
    if not values.any():
        return values
    stddev = stddev_or_substitute(values, stddev)
    matrix, stddev = (_channels_last(array, axes) for array in (values, stddev))
    scales = _best_scales(matrix, stddev, levels, posterior_step(matrix, stddev, step))
    rounded = np.clip(round_by_rate(matrix / scales, stddev / scales, rate_weight), -levels, levels)
    return _from_channels_last(rounded * scales, values.shape, axes)


def _best_scales(matrix, stddev, levels, least):
    """For each column the step, at least `least`, of the least cost where zeros stay zeros."""
    precision = np.where(matrix != 0, 1 / np.square(stddev), 0)
    largest = np.abs(matrix).max(axis=0)
    best = np.full(matrix.shape[1], np.inf)
    scales = np.full(matrix.shape[1], least)
    for share in _CLIPPING[::-1]:
        trial = np.maximum(largest * share / levels, least)
        errors = matrix - trial * np.clip(np.rint(matrix / trial), -levels, levels)
        cost = np.sum(precision * np.square(errors), axis=0)
        better = cost < best
        best[better], scales[better] = cost[better], trial[better]
    return scales


def _channels_last(values, axes):
    """A matrix with a column for each channel."""
    axes = sorted(axis % values.ndim for axis in axes)
    moved = np.moveaxis(values, axes, range(-len(axes), 0))
    return moved.reshape(-1, int(np.prod([values.shape[axis] for axis in axes])))


def _from_channels_last(matrix, shape, axes):
    axes = sorted(axis % len(shape) for axis in axes)
    others = [axis for axis in range(len(shape)) if axis not in axes]
    moved = matrix.reshape([shape[axis] for axis in (*others, *axes)])
    return np.moveaxis(moved, range(-len(axes), 0), axes)
