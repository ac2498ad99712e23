"""The code of a tensor of integers of which most are zero.

The tensor is taken for a matrix, its last axis (the units) against all others, and is told row by row:

- how many entries of the row are not zero, by a distribution learned from the rows before; it depends on the number
  in the row before, so that a stretch of dead rows costs a fraction of a bit a row;
- which they are: columns are taken one after another, and the probability that column j is one of the `k` that are
  still to come is `k · w_j / Σ w` over the columns left, where `w_j` is the number of non-zeros that the column has had
  and a little more. Once all are found the rest of the row costs nothing, and dead columns soon cost next to nothing;
- for each its sign and its magnitude, by adaptive distributions.

Rows may be the units or the inputs: both are tried, and the shorter code is taken.
"""

import numpy as np

from cvhn_tf.export.adaptive_models import AdaptiveBit, AdaptiveNumber
from cvhn_tf.export.range_coding import BitEncoder

_COUNT_CONTEXTS = 4


def encode_tensor(encoder, values):
    """Appends an integer array of any shape to a `BitEncoder`. Magnitudes are at most `AdaptiveNumber.largest`."""
    matrix = _as_matrix(np.asarray(values))
    trials = []
    for transposed in (0, 1):
        trial = BitEncoder()
        trial.code(transposed, 0.5)
        _code_matrix(
            trial, (matrix.T if transposed else matrix).tolist(), matrix.shape[::-1] if transposed else matrix.shape
        )
        trials.append(trial)
    encoder.extend(min(trials, key=lambda trial: trial.length_bits))


def decode_tensor(decoder, shape) -> np.ndarray:
    """Reads an int64 array of this shape from a `BitDecoder`."""
    rows, columns = _as_matrix(np.empty(shape, bool)).shape
    if decoder.code(None, 0.5):
        return np.array(_code_matrix(decoder, None, (columns, rows)), np.int64).reshape(columns, rows).T.reshape(shape)
    return np.array(_code_matrix(decoder, None, (rows, columns)), np.int64).reshape(shape)


def _as_matrix(values):
    if values.ndim < 2:
        return values.reshape(1, -1)
    return values.reshape(-1, values.shape[-1]) if values.size else values.reshape(0, 1)


def _code_matrix(coder, matrix, shape):
    """Codes a list of rows, or reads it where `matrix` is None; returns it."""
    rows, columns = shape
    counts = [AdaptiveNumber() for _ in range(_COUNT_CONTEXTS)]
    sign, magnitude = AdaptiveBit(), AdaptiveNumber()
    found = [0] * columns  # non-zeros of each column so far
    result, previous = [], 0
    for i in range(rows):
        given = None if matrix is None else matrix[i]
        count = None if given is None else columns - given.count(0)
        context = min(previous.bit_length(), _COUNT_CONTEXTS - 1)
        # A decoder of broken bytes may read any number.
        previous = min(counts[context].code(coder, count), columns)
        row = [0] * columns
        for j in _code_places(coder, given, previous, found):
            value = None if given is None else given[j]
            negative = sign.code(coder, None if value is None else int(value < 0))
            size = 1 + magnitude.code(coder, None if value is None else abs(value) - 1)
            row[j] = -size if negative else size
            found[j] += 1
        result.append(row)
    return result


def _code_places(coder, given, count, found):
    """Codes which `count` entries of a row are not zero; yields their columns as they become known."""
    columns = len(found)
    # A tenth of a non-zero for each column before any is seen; times 10, so that sums of integers have no rounding.
    weights = [10 * hits + 1 for hits in found]
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
