"""Bits of many symbols, whose probabilities are known, in the order of a stream."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Runs:
    """A run of bits for each of some symbols, one run after another.

    Args:
        lengths: Bits of each run, which may be none.
        bits: All bits.
        probabilities: For each bit the probability of a 1.
    """

    lengths: np.ndarray
    bits: np.ndarray
    probabilities: np.ndarray

    def interleaved(self, other) -> "Runs":
        """Each run followed by the run of the same index of `other`."""
        lengths = np.stack([self.lengths, other.lengths], axis=1)
        own = np.repeat(np.arange(lengths.size) % 2 == 0, lengths.ravel())
        bits, probabilities = np.empty(len(own), np.int8), np.empty(len(own))
        for runs, here in ((self, np.flatnonzero(own)), (other, np.flatnonzero(~own))):
            bits[here], probabilities[here] = runs.bits, runs.probabilities
        return Runs(lengths.sum(axis=1), bits, probabilities)
