"""Times that are to be compared: taken in turns, so that a machine that is busy for a while is so for all."""

import statistics


def in_turns(measures, turns) -> dict[str, list[float]]:
    """What each function gives in each turn, by the name of the function.

    Args:
        measures: Dict from names to functions without arguments, called one after another in each turn.
        turns: Number of turns.
    """
    times = {name: [] for name in measures}
    for _ in range(turns):
        for name, measure in measures.items():
            times[name].append(measure())
    return times


def gain(before, after) -> dict[str, float]:
    """How many times as fast the latter is: of the medians of all turns, and the least and the most of a turn."""
    of_turns = [slow / fast for slow, fast in zip(before, after, strict=True)]
    return {
        "times_as_fast": statistics.median(before) / statistics.median(after),
        "least": min(of_turns),
        "most": max(of_turns),
    }
