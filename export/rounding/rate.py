"""Rounding that weighs what a weight's error costs against what its bits cost."""

import numpy as np

_PASSES = 3
_SMOOTHING = 5


def round_by_rate(values, stddev, rate_weight):
    """Rounds weights, in units of the step, to the integers of the least `error + rate_weight * code length`.

    Both are in nats. The error δ of a weight costs `δ² / (2 stddev²)`, what the posterior's log density loses, which is
    the rise of the training objective divided by λ/N. So 1 is the trade between fit and description length that
    training made; 0 rounds to the nearest.

    The length of the code is estimated from the integers themselves, and rounding and estimate take turns. A magnitude
    costs the logarithm of its frequency, smoothed; a sign one bit; a place `log2(n / (r c))` bits in a tensor of n
    non-zeros, r of them in its row and c in its column, as if rows and columns were independent. Candidates are the
    integers on both sides, the next one towards zero, and zero. Zeros stay zeros.

    Reference: rate-distortion optimized quantization, as for weights in [Wiedemann et al., 2020](
    https://arxiv.org/abs/1907.11900).

    Args:
        values: Weights divided by the step; array of shape (rows, columns).
        stddev: Posterior stddevs divided by the step, of the same shape.
        rate_weight: At least 0.

    Returns:
        int64 array of the same shape.
    """
    magnitudes = np.abs(values)
    kept = magnitudes > 0
    below = np.floor(magnitudes).astype(np.int64)
    candidates = [np.zeros_like(below), np.maximum(below - 1, 0), below, below + 1]
    distortions = [np.square((magnitudes - candidate) / stddev) / 2 for candidate in candidates]
    rounded = np.rint(magnitudes).astype(np.int64)
    if not rate_weight:
        return np.where(values < 0, -rounded, rounded)
    # Large integers are rare and their exact cost of no weight: one bin for all of them bounds the table.
    last = min(below.max(initial=0) + 1, 4096)
    for _ in range(_PASSES):
        places = _place_bits(rounded != 0)
        sizes = _magnitude_bits(np.minimum(rounded[rounded != 0], last), last)
        costs = [
            distortion
            + rate_weight * np.log(2) * np.where(candidate > 0, places + sizes[np.minimum(candidate, last)], 0)
            for candidate, distortion in zip(candidates, distortions, strict=True)
        ]
        rounded = np.where(kept, np.choose(np.argmin(costs, axis=0), candidates), 0)
    return np.where(values < 0, -rounded, rounded)


def _place_bits(kept):
    """Bits that say that an entry is one of those kept, and its sign."""
    rows, columns = kept.sum(axis=1, keepdims=True) + 0.5, kept.sum(axis=0, keepdims=True) + 0.5
    return 1 + np.maximum(np.log2((kept.sum() + 1) / (rows * columns)), 0)


def _magnitude_bits(magnitudes, last):
    """Bits of each magnitude from 0 to `last`, by smoothed frequencies; 0 is never asked for."""
    counts = np.bincount(magnitudes, minlength=last + 1)[1:].astype("float64")
    half = _SMOOTHING // 2
    smooth = np.convolve(np.pad(counts, half, mode="edge"), np.ones(_SMOOTHING) / _SMOOTHING, mode="valid") + 0.3
    return np.concatenate([[0.0], -np.log2(smooth / smooth.sum())])
