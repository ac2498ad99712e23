"""The description length of a hypernetwork's posterior: of a given λ, and the λ of a given length."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from cvhn_tf.checks.arguments import is_finite_number
from cvhn_tf.complexity.range import ComplexityRange

# A trained model's description length falls with λ but for noise of the training where it hardly falls at all.
RISE_TOLERANCE = 0.02
_HALVINGS = 24


class Described:
    """What a `VariationalHypernetwork` can say of its description length, which falls as λ grows."""

    complexity_range: ComplexityRange
    _target: Any

    def description_length(self, complexity: float) -> float:
        """KL(q(w | λ) ‖ p(w)) of the whole posterior in bits.

        Under a fixed prior this is the bits-back code length of the weights. Under `AutomaticRelevance` and
        `GroupRelevance`, whose priors are fitted to the weights, and under `LogUniform`, which is improper, it measures
        information but is no code length. Under `L2` it is the penalty `Σ w² / (2 stddev²)` in the same unit, which
        compares networks with each other only: the code of a number without noise has no end.
        """
        complexities = tf.constant([self.complexity_range.check(complexity)], tf.float32)
        kls = [layer.kl(layer.posteriors(complexities), complexities) for layer in self._target.layers()]
        return float(tf.add_n([tf.cast(kl, tf.float64) for kl in kls])[0]) / math.log(2)

    def complexity_for(self, description_length_bits: float) -> float:
        """The λ whose posterior has a wanted description length, before pruning.

        Halves the range in log λ, since the length falls as λ grows. Where it does not fall everywhere, as after too
        short a training, the λ that is found still has at most the wanted length, but need not be the smallest one.

        Args:
            description_length_bits: Wanted length in bits, between those at both ends of `complexity_range`.

        Returns:
            λ, of which `description_length` is at most what is wanted, and nearly that.

        Raises:
            ValueError: If it is no number, or the model has no such length in its range.
        """
        bits, bounds = description_length_bits, self.complexity_range
        longest, shortest = self.description_length(bounds.low), self.description_length(bounds.high)
        # What is printed of an end is that end: a thousandth beyond it counts as it.
        if not is_finite_number(bits) or not 0.999 * shortest <= bits <= 1.001 * longest or longest < shortest:
            raise ValueError(
                f"Expected `description_length_bits` between {shortest:,.1f} at λ = {bounds.high:g} and "
                f"{longest:,.1f} at λ = {bounds.low:g}, the lengths that this model has. "
                f"Received: description_length_bits={bits!r}"
            )
        return complexity_of_length(bits, self.description_length, bounds.low, bounds.high)


def complexity_of_length(bits: float, length_of: Callable[[float], float], low: float, high: float) -> float:
    """Halves [low, high] in log λ for the λ from which on the description takes at most `bits`, as it does at `high`.

    Args:
        bits: Wanted length.
        length_of: Function from λ to its description length in bits, which falls as λ grows.
        low: Positive λ.
        high: λ above `low`, the result where all below are longer.
    """
    if length_of(low) <= bits:
        return low
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if length_of(middle) <= bits else (middle, high)
    return high


def describe_rise(lengths: Mapping[float, float]) -> str | None:
    """One sentence where the description length rises with λ; None where it does not, as it should.

    Args:
        lengths: Dict from λ to its description length in bits. A length of at most `1 + RISE_TOLERANCE` times the least
            at a smaller λ, or one bit more, counts as no rise.
    """
    told, worst, shortest = None, 1.0, (0.0, math.inf)
    for complexity, bits in sorted(lengths.items()):
        at, least = shortest
        rise = bits / max(least, 1e-9)
        if bits > (1 + RISE_TOLERANCE) * least + 1 and rise > worst:
            worst = rise
            told = (
                f"The description length rises from {least:,.0f} bits at λ = {at:.3g} to {bits:,.0f} bits at "
                f"λ = {complexity:.3g}, where it should fall: train for more epochs, or over a smaller range of "
                "complexities."
            )
        shortest = min(shortest, (complexity, bits), key=lambda point: point[1])
    return told
