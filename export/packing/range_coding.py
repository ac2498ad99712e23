"""Bits to bytes and back, each bit at the probability that a model gives it.

The encoder knows all symbols, so it takes bits and probabilities as arrays. The decoder can tell the probability of a
bit only once it has read those before, and reads one after another. That both come to the same probabilities is the
care of the models, and nothing here finds out where they do not: tests do, and `pack`, which unpacks each file.
"""

import math

import constriction
import numpy as np

# The coder's own resolution is 2**-24 at most; this keeps every bit possible.
_LEAST = 2.0**-20
_MOST = 1 - _LEAST
_Bernoulli = constriction.stream.model.Bernoulli


class BitEncoder:
    """Takes bits and their probabilities; a range coder makes the bytes once all are there."""

    def __init__(self):
        self._bits = [np.zeros(0, np.int8)]
        self._probabilities = [np.zeros(0)]

    def append(self, bits, probabilities):
        """Appends bits.

        Args:
            bits: Vector of zeros and ones.
            probabilities: Probabilities of a 1: a vector, or one for all. Must come of integer or correctly rounded
                arithmetic alone, so that every machine computes the same number.
        """
        self._bits.append(np.asarray(bits, np.int8))
        self._probabilities.append(np.broadcast_to(np.clip(probabilities, _LEAST, _MOST), np.shape(bits)))

    def extend(self, other):
        """Appends what another encoder has taken."""
        self._bits += other._bits
        self._probabilities += other._probabilities

    @property
    def length_bits(self) -> float:
        """The ideal code length so far, `-Σ log2 p(bit)`."""
        return -float(np.sum(np.log2(self._of_taken())))

    def to_bytes(self) -> bytes:
        """The code: at most 8 bytes longer than `length_bits`."""
        coder = constriction.stream.queue.RangeEncoder()
        bits, probabilities = self._joined()
        if bits.size:
            coder.encode(bits.astype(np.int32), _Bernoulli(perfect=False), probabilities)
        # The decoder takes what lies beyond the end for zeros.
        return coder.get_compressed().astype("<u4").tobytes().rstrip(b"\0")

    def _of_taken(self):
        """The probability of each bit that was taken."""
        bits, probabilities = self._joined()
        return np.where(bits, probabilities, 1 - probabilities)

    def _joined(self):
        return np.concatenate(self._bits), np.concatenate(self._probabilities)


def shortest(encoders) -> BitEncoder:
    """The encoder of the shortest code.

    Of two ways to code a tensor that are equally long, rounding chooses. Python's logarithms and sum, of one bit after
    another, do it alike on every processor, NumPy's do not; they are slow, so only those that are close get there.
    """
    lengths = [encoder.length_bits for encoder in encoders]
    close = [encoder for encoder, length in zip(encoders, lengths, strict=True) if length <= min(lengths) * (1 + 1e-9)]
    if len(close) == 1:
        return close[0]
    return min(close, key=lambda encoder: -sum(map(math.log2, encoder._of_taken().tolist())))


class BitDecoder:
    """Reads the bits back that a `BitEncoder` wrote.

    Args:
        content: Bytes from `BitEncoder.to_bytes`.
    """

    def __init__(self, content):
        padded = content + bytes(-len(content) % 4)
        self._read = constriction.stream.queue.RangeDecoder(np.frombuffer(padded, "<u4").astype(np.uint32)).decode

    def decode(self, probability) -> int:
        """Reads the next bit. `probability` must be what the encoder was given.

        Raises:
            ValueError: If no encoder that was given these probabilities wrote such bytes. Not all bytes that are none
                of its own are found out.
        """
        if not _LEAST <= probability <= _MOST:
            probability = _LEAST if probability < _LEAST else _MOST
        try:
            return self._read(_Bernoulli(probability, False))
        except AssertionError as error:  # so constriction calls it
            raise _refusal() from error

    def decode_fair(self, count) -> np.ndarray:
        """Reads the next bits, all of probability ½.

        Raises:
            ValueError: As `decode`.
        """
        try:
            return self._read(_Bernoulli(0.5, False), count)
        except AssertionError as error:
            raise _refusal() from error


def _refusal():
    return ValueError("Expected the bytes of a `BitEncoder`. Received: bytes that none can have made")
