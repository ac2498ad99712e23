"""The code of a tensor of integers of which most are zero.

The tensor is taken for a matrix, its last axis (the units) against all others, a vector for a column,
and is told row by row:

- how many entries of the row are not zero, by a distribution learned from the rows before; it depends on the number
  in its neighbours, so that a stretch of dead rows costs a fraction of a bit a row;
- which they are: columns are taken one after another, and the probability that column j is one of the `k` that are
  still to come is `k · w_j / Σ w` over the columns left, where `w_j` is the number of non-zeros that the column has
  had, a little more, and much more if the row's neighbours have one there. Once all are found the rest of the row costs
  nothing, and dead columns soon cost next to nothing;
- for each its sign and its magnitude, by adaptive distributions.

Neighbours of a row are the row before and the one a period before: where rows are the pixels of an image, a period is
its width. The period at which non-zeros meet most often is told with the tensor; period 0 stands for no neighbours.

Rows may be the inputs or the units. Both are tried, with neighbours and without, and the shortest code is taken. Where
the layer before is known to have dead units, the rows (or columns) that would read them have a distribution of their
own.
"""

import numpy as np

from cvhn_tf.export.packing.adaptive_models import AdaptiveBit, AdaptiveNumber, code_fixed
from cvhn_tf.export.packing.range_coding import BitEncoder

_LARGEST_CONTEXT = 6
_PERIOD_BITS = 8
# In the unit of `weights` below, of which a non-zero of the column counts 40.
_NEIGHBOUR_WEIGHT = 1600


def encode_tensor(encoder, values, live=None):
    """Appends an integer array of any shape to a `BitEncoder`.

    Args:
        encoder: `BitEncoder`.
        values: Integers, of a magnitude of at most `AdaptiveNumber.largest`.
        live: For each index along the first axis of the matrix, whether a non-zero is to be expected there (a unit
            that the layer before has); None if nothing is known.
    """
    matrix = _as_matrix(np.asarray(values))
    trials = []
    for transposed in (0, 1):
        for period in {0, _find_period(matrix.T if transposed else matrix)}:
            trial = BitEncoder()
            trial.code(transposed, 0.5)
            _code_period(trial, period)
            _code(trial, matrix, matrix.shape, live, transposed, period)
            trials.append(trial)
    encoder.extend(min(trials, key=lambda trial: trial.length_bits))


def decode_tensor(decoder, shape, live=None) -> np.ndarray:
    """Reads an int64 array of this shape from a `BitDecoder`; `live` as it was for `encode_tensor`."""
    transposed = decoder.code(None, 0.5)
    period = _code_period(decoder, None)
    return _code(decoder, None, _as_matrix(np.empty(shape, bool)).shape, live, transposed, period).reshape(shape)


def _code_period(coder, period):
    exists = coder.code(None if period is None else int(period > 0), 0.5)
    return code_fixed(coder, period, _PERIOD_BITS) if exists else 0


def _find_period(matrix) -> int:
    """The distance from 2 on at which non-zeros of the same column are most frequent; 0 for too few rows."""
    kept = (matrix != 0).astype("float32")
    most = min(len(kept) // 2, 2**_PERIOD_BITS - 1)
    meetings = [float(np.sum(kept[distance:] * kept[:-distance])) for distance in range(2, most + 1)]
    return 2 + int(np.argmax(meetings)) if any(meetings) else 0


def _as_matrix(values):
    if values.ndim < 2:
        return values.reshape(-1, 1)
    return values.reshape(-1, values.shape[-1]) if values.size else values.reshape(0, 1)


def _code(coder, matrix, shape, live, transposed, period):
    """Codes a matrix, or reads it where `matrix` is None, by rows or by columns; returns it."""
    if transposed:
        given = None if matrix is None else matrix.T.tolist()
        coded = _code_rows(coder, given, shape[::-1], None, live, period)
        return np.array(coded, np.int64).reshape(shape[::-1]).T
    given = None if matrix is None else matrix.tolist()
    return np.array(_code_rows(coder, given, shape, live, None, period), np.int64).reshape(shape)


def _code_rows(coder, matrix, shape, live_rows, live_columns, period):
    rows, columns = shape
    counts = {}
    sign, magnitude = AdaptiveBit(), AdaptiveNumber()
    # Of each column, forty times its non-zeros so far and a start for those to come. Integers, whose sums have no
    # rounding that could differ between machines.
    weights = [4] * columns if live_columns is None else [16 if live else 1 for live in live_columns]
    result, numbers = [], []
    for i in range(rows):
        given = None if matrix is None else matrix[i]
        count = None if given is None else columns - given.count(0)
        context = (_count_context(numbers, period), live_rows and bool(live_rows[i]))
        # A decoder of broken bytes may read any number.
        number = min(counts.setdefault(context, AdaptiveNumber()).code(coder, count), columns)
        numbers.append(number)
        row = [0] * columns
        if number:
            near = [result[i - distance] for distance in (1, period) if period and i >= distance]
            odds = list(weights)
            for neighbour in near:
                odds = [w + _NEIGHBOUR_WEIGHT if n else w for w, n in zip(odds, neighbour, strict=True)]
            for j in _code_places(coder, given, number, odds):
                value = None if given is None else given[j]
                negative = sign.code(coder, None if value is None else int(value < 0))
                size = 1 + magnitude.code(coder, None if value is None else abs(value) - 1)
                row[j] = -size if negative else size
                weights[j] += 40
        result.append(row)
    return result


def _count_context(numbers, period):
    """What the numbers of non-zeros of the rows so far tell of the next: the last, and the three a period before."""
    last = numbers[-1] if numbers else 0
    i = len(numbers)
    before = sum(numbers[i - period - 1 : i - period + 2]) if period and i > period else 0
    return min((2 * last + before if period else last).bit_length(), _LARGEST_CONTEXT if period else 3)


def _code_places(coder, given, count, weights):
    """Codes which `count` entries of a row are not zero; yields their columns as they become known."""
    columns = len(weights)
    rest = sum(weights)
    for j, weight in enumerate(weights):
        if not count:
            return
        left = columns - j
        if count == left:
            hit = 1
        else:
            probability = min(count * weight / rest, (2 * left - 1) / (2 * left))
            hit = coder.code(None if given is None else int(given[j] != 0), probability)
        rest -= weight
        count -= hit
        if hit:
            yield j
