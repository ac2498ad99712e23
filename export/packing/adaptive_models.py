"""Models that learn, from the symbols before, how probable the next one is."""


class AdaptiveBit:
    """A bit whose probability is learned by counting.

    After a bits of 1 among n, `P(1) = (a + 2/5) / (n + 4/5)`: near the estimator of Krichevsky and Trofimov, which adds
    1/2 and 1, but a little quicker to believe that a bit never changes.

    Reference: [Krichevsky and Trofimov, 1981](https://doi.org/10.1109/TIT.1981.1056331).
    """

    def __init__(self):
        self._ones = 0
        self._total = 0

    def code(self, coder, bit):
        """Codes a bit with a `BitEncoder` or `BitDecoder`, learns from it and returns it."""
        # Integers, and one division, which every machine rounds alike.
        bit = coder.code(bit, (5 * self._ones + 2) / (5 * self._total + 4))
        self._ones += bit
        self._total += 1
        return bit


class AdaptiveNumber:
    """A number from 0 on, whose distribution is learned.

    With `x = number + 1` in `[2**e, 2**(e + 1))`, the exponent e is told in unary by adaptive bits, the bit of x below
    its leading one by an adaptive bit for each e, and the others as they are: the Elias gamma code with learned
    probabilities, so that a distribution of a few values and one with a long tail both cost what they must.

    Reference: [Elias, 1975](https://doi.org/10.1109/TIT.1975.1055349).
    """

    largest = 2**48 - 2

    def __init__(self):
        self._exponent_bits = {}
        self._second_bits = {}

    def code(self, coder, number):
        """Codes a number, at most `largest`, with a `BitEncoder` or `BitDecoder`, learns from it and returns it.

        `number` is None when decoding.
        """
        x = None if number is None else number + 1
        exponent = 0
        while exponent < 47 and self._bit(self._exponent_bits, exponent).code(
            coder, None if x is None else int(x >> exponent > 1)
        ):
            exponent += 1
        result = 1
        for place in range(exponent - 1, -1, -1):
            bit = None if x is None else (x >> place) & 1
            if place == exponent - 1:
                bit = self._bit(self._second_bits, exponent).code(coder, bit)
            else:
                bit = coder.code(bit, 0.5)
            result = 2 * result + bit
        return result - 1

    @staticmethod
    def _bit(bits, key):
        return bits.setdefault(key, AdaptiveBit())


def code_fixed(coder, number, bits):
    """Codes a number in [0, 2**bits) that nothing is known of, with a `BitEncoder` or `BitDecoder`."""
    result = 0
    for place in range(bits - 1, -1, -1):
        result = 2 * result + coder.code(None if number is None else (number >> place) & 1, 0.5)
    return result
