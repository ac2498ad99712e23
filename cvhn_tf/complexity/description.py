"""How description lengths depend on λ: the λ of a given length, and what is wrong where lengths rise."""

import math
from collections.abc import Callable, Mapping

# A trained model's description length falls with λ but for noise of the training where it hardly falls at all.
RISE_TOLERANCE = 0.02
_HALVINGS = 24


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
