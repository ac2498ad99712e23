"""Numbers that nothing is known of, each in a fixed number of bits of probability ½, the highest bit first."""

import numpy as np


def encode_fixed(encoder, numbers, bits):
    """Appends a number in [0, 2**bits), or a vector of them, to a `BitEncoder`."""
    places = np.arange(bits - 1, -1, -1)
    encoder.append((np.asarray(numbers, np.int64).reshape(-1, 1) >> places & 1).ravel(), 0.5)


def decode_fixed(decoder, bits, count=1) -> np.ndarray:
    """Reads a vector of so many numbers from a `BitDecoder`.

    Raises:
        ValueError: As `BitDecoder.decode`.
    """
    places = np.arange(bits - 1, -1, -1)
    return decoder.decode_fair(count * bits).reshape(count, bits) @ (1 << places)
