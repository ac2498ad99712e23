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

from cvhn_tf.export.packing.fixed_numbers import decode_fixed, encode_fixed
from cvhn_tf.export.packing.range_coding import BitEncoder, shortest
from cvhn_tf.export.packing.row_decoding import decode_rows
from cvhn_tf.export.packing.row_encoding import encode_rows

_PERIOD_BITS = 8


def encode_tensor(encoder, values, live=None):
    """Appends an integer array of any shape to a `BitEncoder`.

    Args:
        encoder: `BitEncoder`.
        values: Integers, of a magnitude of at most `AdaptiveNumber.largest`.
        live: For each index along the first axis of the matrix, whether a non-zero is to be expected there (a unit
            that the layer before has); None if nothing is known.
    """
    matrix = _as_matrix(np.asarray(values, np.int64))
    encoder.extend(shortest(list(_trials(matrix, live if matrix.size else None))))


def decode_tensor(decoder, shape, live=None) -> np.ndarray:
    """Reads an int64 array of this shape from a `BitDecoder`; `live` as it was for `encode_tensor`."""
    transposed = decoder.decode(0.5)
    period = int(decode_fixed(decoder, _PERIOD_BITS)[0]) if decoder.decode(0.5) else 0
    rows, columns = _as_matrix(np.empty(shape, bool)).shape
    if transposed:
        return decode_rows(decoder, (columns, rows), None, live, period).T.reshape(shape)
    return decode_rows(decoder, (rows, columns), live, None, period).reshape(shape)


def _trials(matrix, live):
    for transposed in (0, 1):
        given = np.ascontiguousarray(matrix.T) if transposed else matrix
        for period in sorted({0, _find_period(given)}):
            trial = BitEncoder()
            encode_fixed(trial, transposed, 1)
            encode_fixed(trial, int(period > 0), 1)
            if period:
                encode_fixed(trial, period, _PERIOD_BITS)
            encode_rows(trial, given, *((None, live) if transposed else (live, None)), period)
            yield trial


def _find_period(matrix) -> int:
    """The distance from 2 on at which non-zeros of the same column are most frequent; 0 for too few rows."""
    rows, columns = matrix.shape
    # Sums of ones, which float32 has exactly up to 2**24.
    kept = (matrix != 0).astype("float32").ravel()
    most = min(rows // 2, 2**_PERIOD_BITS - 1)
    meetings = [float(kept[distance * columns :] @ kept[: -distance * columns]) for distance in range(2, most + 1)]
    return 2 + int(np.argmax(meetings)) if any(meetings) else 0


def _as_matrix(values):
    if values.ndim < 2:
        return values.reshape(-1, 1)
    return values.reshape(-1, values.shape[-1]) if values.size else values.reshape(0, 1)
