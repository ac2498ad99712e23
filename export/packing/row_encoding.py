"""The code that `row_decoding` reads: the bits of a matrix and their probabilities, computed for all rows at once.

The matrix is known, so what a bit's probability depends on is a sum over what stands before it or after it.
"""

import numpy as np

from cvhn_tf.export.packing.adaptive_models import learned_probabilities, number_runs
from cvhn_tf.export.packing.row_decoding import (
    HIT_WEIGHT,
    LARGEST_CONTEXT,
    LARGEST_CONTEXT_ALONE,
    NEIGHBOUR_WEIGHT,
    start_weights,
)
from cvhn_tf.export.packing.runs import Runs

# Entries of the rows that are computed together. As many as a processor's cache holds.
_SLAB = 2**15


def encode_rows(encoder, matrix, live_rows, live_columns, period):
    """Appends an int64 matrix to a `BitEncoder`; the arguments are those of `decode_rows`, `period` not 1."""
    kept = matrix != 0
    numbers = np.count_nonzero(kept, axis=1)
    counts = number_runs(numbers, _count_contexts(numbers, live_rows, period))
    places = _place_runs(kept, live_columns, period)
    entries = places.interleaved(_value_runs(matrix[kept], kept))
    row_lengths = entries.lengths.reshape(matrix.shape).sum(axis=1)
    rows = counts.interleaved(Runs(row_lengths, entries.bits, entries.probabilities))
    encoder.append(rows.bits, rows.probabilities)


def _count_contexts(numbers, live_rows, period):
    rows = len(numbers)
    totals = np.pad(np.cumsum(numbers), (1, 0))  # of the rows before each
    known = np.pad(numbers, (1, 0))[:rows]
    if period:
        i = np.arange(period + 1, rows)
        known *= 2
        known[i] += totals[i - period + 2] - totals[i - period - 1]
    # The exponent of `frexp` is an integer's number of bits.
    contexts = np.minimum(np.frexp(known)[1], LARGEST_CONTEXT if period else LARGEST_CONTEXT_ALONE)
    return contexts if live_rows is None else 2 * contexts + np.asarray(live_rows, bool)


def _place_runs(kept, live_columns, period):
    """For each entry a bit that tells whether it is zero, or none where that is known."""
    rows, columns = kept.shape
    left = np.arange(columns, 0, -1)
    most = (2 * left - 1) / (2 * left)
    weights = np.array(start_weights(columns, live_columns), np.int64)
    coded, probabilities = np.empty(kept.shape, bool), [np.empty(0)]
    step = max(_SLAB // max(columns, 1), 1)
    for start in range(0, rows, step):
        slab = kept[start : start + step]
        odds = weights + HIT_WEIGHT * (np.cumsum(slab, axis=0) - slab)
        weights += HIT_WEIGHT * np.count_nonzero(slab, axis=0)
        for distance in (1, period) if period else ():
            neighbours = kept[max(start - distance, 0) : max(start + len(slab) - distance, 0)]
            odds[len(slab) - len(neighbours) :] += NEIGHBOUR_WEIGHT * neighbours
        count = _sums_to_the_end(slab)
        here = (count > 0) & (count < left)
        coded[start : start + step] = here
        probabilities.append(np.minimum(count * odds / _sums_to_the_end(odds), most)[here])
    return Runs(coded.ravel().astype(np.int64), kept[coded], np.concatenate(probabilities))


def _sums_to_the_end(values):
    """Sum of each entry and of those after it in its row."""
    return np.cumsum(values[:, ::-1], axis=1)[:, ::-1]


def _value_runs(values, kept):
    """For each entry that is kept its sign and its magnitude."""
    negative = values < 0
    one_context = np.zeros(len(values), np.int16)
    signs = Runs(np.ones(len(values), np.int64), negative, learned_probabilities(one_context, negative))
    runs = signs.interleaved(number_runs(np.abs(values) - 1, one_context))
    lengths = np.zeros(kept.size, np.int64)
    lengths[kept.ravel()] = runs.lengths
    return Runs(lengths, runs.bits, runs.probabilities)
