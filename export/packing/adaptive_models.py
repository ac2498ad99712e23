"""Models that learn, from the symbols before, how probable the next one is.

`AdaptiveBit` and `AdaptiveNumber` decode, a symbol at a time, and say how each is coded. `learned_probabilities` and
`number_runs` compute the same bits and probabilities for all symbols at once, to encode them.
"""

import collections

import numpy as np

from cvhn_tf.export.packing.runs import Runs

_LARGEST_EXPONENT = 47


class AdaptiveBit:
    """A bit whose probability is learned by counting.

    After a bits of 1 among n, `P(1) = (a + 2/5) / (n + 4/5)`: near the estimator of Krichevsky and Trofimov, which adds
    1/2 and 1, but a little quicker to believe that a bit never changes.

    Reference: [Krichevsky and Trofimov, 1981](https://doi.org/10.1109/TIT.1981.1056331).
    """

    def __init__(self):
        # Integers, and one division, which every machine rounds alike.
        self._ones, self._total = 2, 4

    def decode(self, decoder) -> int:
        """Reads a bit from a `BitDecoder`, and learns from it."""
        bit = decoder.decode(self._ones / self._total)
        self._ones += 5 * bit
        self._total += 5
        return bit


def learned_probabilities(contexts, bits) -> np.ndarray:
    """For each bit the probability of a 1 that the `AdaptiveBit` of its context has learned from the bits before.

    Args:
        contexts: Vector of integers.
        bits: Vector of zeros and ones.
    """
    order = np.argsort(contexts, kind="stable")
    starts = np.unique(contexts[order], return_index=True)[1]
    probabilities = np.empty(len(bits))
    for here in np.split(order, starts[1:]):
        own = np.asarray(bits[here], np.int64)
        ones_before = np.cumsum(own) - own
        probabilities[here] = (5 * ones_before + 2) / (5 * np.arange(len(own)) + 4)
    return probabilities


class AdaptiveNumber:
    """A number from 0 on, whose distribution is learned.

    With `x = number + 1` in `[2**e, 2**(e + 1))`, the exponent e is told in unary by adaptive bits, the bit of x below
    its leading one by an adaptive bit for each e, and the others as they are: the Elias gamma code with learned
    probabilities, so that a distribution of a few values and one with a long tail both cost what they must.

    Reference: [Elias, 1975](https://doi.org/10.1109/TIT.1975.1055349).
    """

    largest = 2 ** (_LARGEST_EXPONENT + 1) - 2

    def __init__(self):
        self._exponent_bits = collections.defaultdict(AdaptiveBit)
        self._second_bits = collections.defaultdict(AdaptiveBit)

    def decode(self, decoder) -> int:
        """Reads a number, at most `largest`, from a `BitDecoder`, and learns from it."""
        exponent = 0
        while exponent < _LARGEST_EXPONENT and self._exponent_bits[exponent].decode(decoder):
            exponent += 1
        x = 1
        if exponent:
            x = 2 + self._second_bits[exponent].decode(decoder)
            for _ in range(exponent - 1):
                x = 2 * x + decoder.decode(0.5)
        return x - 1


def number_runs(numbers, contexts) -> Runs:
    """A run of bits for each number, as the `AdaptiveNumber` of its context codes it.

    Args:
        numbers: Vector of int64, at most `AdaptiveNumber.largest`.
        contexts: Vector of integers in [0, 256).
    """
    x = numbers + 1
    # Small integers, for there are many bits; besides, those of 16 bits sort in linear time.
    exponents = (np.frexp(x.astype(np.float64))[1] - 1).astype(np.int8)
    unary = np.minimum(exponents + 1, _LARGEST_EXPONENT)
    lengths = unary.astype(np.int64) + exponents
    # Where in its run a bit is, and at which place of x; before x come the bits of the exponent.
    starts = np.repeat(np.cumsum(lengths) - lengths, lengths)
    index = (np.arange(len(starts)) - starts).astype(np.int8)
    contexts = np.repeat(contexts.astype(np.int16), lengths)
    x, exponents, unary = (np.repeat(values, lengths) for values in (x, exponents, unary))
    of_exponent = index < unary
    place = np.where(of_exponent, 0, exponents - 1 - (index - unary))
    bits = np.where(of_exponent, index < exponents, x >> place & 1).astype(np.int8)
    learned = of_exponent | (place == exponents - 1)
    kinds = np.where(of_exponent, index, _LARGEST_EXPONENT + exponents)
    keys = (2 * (_LARGEST_EXPONENT + 1) * contexts + kinds)[learned]
    probabilities = np.full(len(bits), 0.5)
    probabilities[learned] = learned_probabilities(keys, bits[learned])
    return Runs(lengths, bits, probabilities)
