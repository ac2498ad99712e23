"""A matrix of integers, read row by row. What `tensor_coding` says of its code is said exactly here.

A probability depends on all that was read before, so this goes one bit at a time; `row_encoding` knows the matrix, and
computes all bits at once.
"""

import collections

import numpy as np

from cvhn_tf.export.packing.adaptive_models import AdaptiveBit, AdaptiveNumber

# Weights of columns are integers, whose sums have no rounding that could differ between machines.
HIT_WEIGHT = 40
NEIGHBOUR_WEIGHT = 1600
START_WEIGHT, LIVE_START_WEIGHT, DEAD_START_WEIGHT = 4, 16, 1
LARGEST_CONTEXT, LARGEST_CONTEXT_ALONE = 6, 3


def decode_rows(decoder, shape, live_rows, live_columns, period):
    """Reads an int64 matrix of this shape from a `BitDecoder`.

    Args:
        decoder: `BitDecoder`.
        shape: Pair of the numbers of rows and columns.
        live_rows: For each row whether a non-zero is to be expected; None if nothing is known.
        live_columns: The same for each column.
        period: Distance from a row to its neighbour beside the row before; 0 for no neighbours.

    Raises:
        ValueError: As `BitDecoder.decode`.
    """
    rows, columns = shape
    counts = collections.defaultdict(AdaptiveNumber)
    sign, magnitude = AdaptiveBit(), AdaptiveNumber()
    weights = start_weights(columns, live_columns)
    numbers, places, values = [], [], []
    for i in range(rows):
        context = (_count_context(numbers, period), live_rows and bool(live_rows[i]))
        # A decoder of broken bytes may read any number.
        number = min(counts[context].decode(decoder), columns)
        row = []
        if number:
            odds = list(weights)
            for distance in (1, period):
                for j in places[i - distance] if period and i >= distance else ():
                    odds[j] += NEIGHBOUR_WEIGHT
            for j in _decode_places(decoder, number, odds):
                negative = sign.decode(decoder)
                size = 1 + magnitude.decode(decoder)
                row.append(j)
                values.append(-size if negative else size)
                weights[j] += HIT_WEIGHT
        numbers.append(number)
        places.append(row)
    matrix = np.zeros(shape, np.int64)
    matrix[np.repeat(np.arange(rows), numbers), [j for row in places for j in row]] = values
    return matrix


def start_weights(columns, live_columns) -> list[int]:
    """Weights of the columns before any row."""
    if live_columns is None:
        return [START_WEIGHT] * columns
    return [LIVE_START_WEIGHT if live else DEAD_START_WEIGHT for live in live_columns]


def _count_context(numbers, period):
    """What the numbers of non-zeros of the rows so far tell of the next: the last, and the three a period before."""
    last = numbers[-1] if numbers else 0
    if not period:
        return min(last.bit_length(), LARGEST_CONTEXT_ALONE)
    i = len(numbers)
    before = sum(numbers[i - period - 1 : i - period + 2]) if i > period else 0
    return min((2 * last + before).bit_length(), LARGEST_CONTEXT)


def _decode_places(decoder, count, weights):
    """Reads which `count` entries of a row are not zero; yields their columns as they become known."""
    left = columns = len(weights)
    rest = sum(weights)
    for j, weight in enumerate(weights):
        if count == left:
            yield from range(j, columns)
            return
        probability = count * weight / rest
        if probability > 0.5:
            probability = min(probability, (2 * left - 1) / (2 * left))
        if decoder.decode(probability):
            yield j
            count -= 1
            if not count:
                return
        rest -= weight
        left -= 1
