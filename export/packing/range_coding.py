"""Bits to bytes and back, each bit at the probability that a model gives it.

Encoder and decoder have the same method `code(bit, probability)`: the encoder takes the bit and returns it, the decoder
ignores it and returns the one that it reads. A model that is written once against this method can both encode and
decode, and both ways it sees the same past; that the two agree is no matter of care.
"""

import math

import constriction
import numpy as np

# The coder's own resolution is 2**-24 at most; this keeps every bit possible.
_LEAST = 2.0**-20


class BitEncoder:
    """Takes bits and their probabilities; a range coder makes the bytes once all are there."""

    def __init__(self):
        self._bits = []
        self._probabilities = []

    def code(self, bit, probability):
        """Appends a bit.

        Args:
            bit: 0 or 1.
            probability: Probability of a 1. Must come of integer or correctly rounded arithmetic alone, so that every
                machine computes the same number.

        Returns:
            `bit`.
        """
        self._bits.append(bit)
        self._probabilities.append(_possible(probability))
        return bit

    def extend(self, other):
        """Appends what another encoder has taken."""
        self._bits += other._bits
        self._probabilities += other._probabilities

    @property
    def length_bits(self) -> float:
        """The ideal code length so far, `-Σ log2 p(bit)`."""
        return -sum(math.log2(p if bit else 1 - p) for bit, p in zip(self._bits, self._probabilities, strict=True))

    def to_bytes(self) -> bytes:
        """The code: at most 8 bytes longer than `length_bits`."""
        coder = constriction.stream.queue.RangeEncoder()
        if self._bits:
            family = constriction.stream.model.Bernoulli(perfect=False)
            coder.encode(np.array(self._bits, np.int32), family, np.array(self._probabilities, np.float64))
        # The decoder takes what lies beyond the end for zeros.
        return coder.get_compressed().astype("<u4").tobytes().rstrip(b"\0")


class BitDecoder:
    """Reads the bits back that a `BitEncoder` wrote.

    Args:
        content: Bytes from `BitEncoder.to_bytes`.
    """

    def __init__(self, content):
        padded = content + bytes(-len(content) % 4)
        self._coder = constriction.stream.queue.RangeDecoder(np.frombuffer(padded, "<u4").astype(np.uint32))

    def code(self, bit, probability):
        """Reads the next bit. `bit` is ignored; `probability` must be what the encoder was given.

        Raises:
            ValueError: If no encoder that was given these probabilities wrote such bytes. Not all bytes that are none
                of its own are found out.
        """
        model = constriction.stream.model.Bernoulli(_possible(probability), perfect=False)
        try:
            return int(self._coder.decode(model))
        except AssertionError as error:  # so constriction calls it
            raise ValueError("Expected the bytes of a `BitEncoder`. Received: bytes that none can have made") from error


def _possible(probability):
    return min(max(probability, _LEAST), 1 - _LEAST)
