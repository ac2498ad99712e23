"""Which channels stay or go together."""

import numpy as np


class ChannelIds:
    """Hands out ids for channels, and keeps those that are tied to each other, or needed whatever happens.

    Attributes:
        pinned: List with one boolean for each id that was handed out: whether its channel has to stay.
    """

    def __init__(self):
        self.pinned = []
        self._parents = []

    def new(self, count, pinned=False):
        """Array of `count` ids that no channel has yet."""
        first = len(self._parents)
        self._parents += range(first, first + count)
        self.pinned += [pinned] * count
        return np.arange(first, first + count)

    def pin(self, ids):
        """Says that these channels have to stay."""
        for i in ids:
            self.pinned[i] = True

    def tie(self, ids, others):
        """Ties each of `ids` to the one in its place in `others`, an array of the same length."""
        for one, other in zip(ids, others, strict=True):
            self._parents[self._root(one)] = self._root(other)

    def resolve(self):
        """Array that maps each id to the one that stands for all those tied to it, pinned if one of them is."""
        roots = np.array([self._root(i) for i in range(len(self._parents))], int)
        pinned = np.zeros(len(roots), bool)
        pinned[roots[np.array(self.pinned, bool)]] = True
        self.pinned = pinned
        return roots

    def _root(self, i):
        while self._parents[i] != i:
            self._parents[i] = self._parents[self._parents[i]]
            i = self._parents[i]
        return i
