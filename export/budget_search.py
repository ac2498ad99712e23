"""The search for the best file within budgets: lines of ascending sparsity, halved, at ever finer complexities.

At one complexity and structure accuracy, size and time fall as sparsity grows, nearly always. So a line is halved,
as in the search for a word in a dictionary, instead of being tried at every sparsity: for the most accurate file down
to the least sparsity that keeps the budgets; for the smallest, up to the largest sparsity that is accurate enough.
"""

import itertools

from cvhn_tf.export.prunings import Point

_COARSE = 5
_BITS_GRID = 16  # intervals; the description length falls with λ, but not everywhere
_GAIN_BY_PRUNING = 0.005  # in accuracy; more was not seen
# Densities 1, 2^-½, 2^-1, …, 1/512.
_LEVELS = [1 - 2.0 ** (-i / 2) for i in range(19)]


def search(trials, complexity_range, complexities, sparsities, structures, progress):
    """Searches, and leaves what it finds in `trials`.

    Args:
        trials: `Trials`.
        complexity_range: `ComplexityRange` of the model.
        complexities: λs to try, or None for a search over the range.
        sparsities: Sparsities to try, or None for a search over all.
        structures: Structures to try.
        progress: Called as `progress(done, total)` after each line; both in lines.
    """
    levels = sorted(sparsities or (_rounded(level) for level in _LEVELS))
    grid = _coarse_complexities(trials, complexity_range) if complexities is None else list(complexities)
    # The middle first: a good file early saves trying worse ones.
    grid = [
        complexity for complexity in grid[len(grid) // 2 :] + grid[: len(grid) // 2][::-1] if trials.fits(complexity)
    ]
    done, total = 0, len(structures) * (len(grid) + (2 if complexities is None else 0)) + 3

    def run(some_complexities, some_structures, some_levels):
        nonlocal done
        for complexity in dict.fromkeys(some_complexities):
            for structure in some_structures:
                if trials.fits(complexity) and _is_promising(trials, Point(complexity, some_levels[0], structures[0])):
                    _search_line(trials, complexity, structure, some_levels)
                done += 1
                progress(min(done, total), total)

    run(grid, structures, levels)
    if trials.nearest is None:
        return
    if complexities is None:
        run(_around(complexity_range, trials.nearest.complexity, 1 / (2 * (_COARSE - 1))), structures, levels)
    fine = levels if sparsities else _around_sparsity(trials.nearest.sparsity)
    near = [trials.nearest.complexity]
    if complexities is None:
        near += _around(complexity_range, trials.nearest.complexity, 1 / (4 * (_COARSE - 1)))
    run(near, [trials.nearest.structure], fine)
    chosen = Point(trials.nearest.complexity, trials.nearest.sparsity, trials.nearest.structure)
    for quantization in trials.quantizations:
        trials.attempt(chosen, quantization)
    progress(total, total)


def _is_promising(trials, densest):
    """Whether a complexity is accurate enough with the most weights that it may keep."""
    goal = trials.budgets.min_accuracy or (trials.best.accuracy if trials.best is not None else 0.0)
    return goal == 0.0 or trials.reaches(densest, goal - _GAIN_BY_PRUNING)


def _search_line(trials, complexity, structure, levels):
    points = [Point(complexity, level, structure) for level in levels]
    find = _find_smallest if trials.budgets.seek_smallest else _find_most_accurate
    find(trials, points)


def _find_most_accurate(trials, points):
    """Halves the line down to the least sparsity of which a file keeps the budgets."""
    if trials.trace and trials.best is None and not _keeps_budgets(trials, points[-1]):
        return  # perhaps nothing does; then it is not worth halving every line
    low, high = 0, len(points)
    while low < high:
        middle = (low + high) // 2
        point = points[middle]
        if trials.best is not None and not trials.reaches(point, trials.best.accuracy):
            high = middle  # sparser ones are less accurate still
        elif _keeps_budgets(trials, point):
            high = middle
        else:
            low = middle + 1


def _keeps_budgets(trials, point):
    return any(trials.attempt(point, quantization).accepted for quantization in trials.by_size(point))


def _find_smallest(trials, points):
    """Halves the line up to the largest sparsity that is accurate enough, and makes its files."""
    low, high, accurate = 0, len(points), []
    while low < high:
        middle = (low + high) // 2
        if not trials.can_be_better(points[middle]):
            low = middle + 1
        elif trials.reaches(points[middle], trials.budgets.min_accuracy):
            low = middle + 1
            accurate.append(points[middle])
        else:
            high = middle
    for point in reversed(accurate):  # sparsest first; in the file some accuracy may be lost
        measured = [trials.attempt(point, quantization).accuracy for quantization in trials.by_size(point)]
        measured = [accuracy for accuracy in measured if accuracy is not None]
        if not measured or max(measured) >= trials.budgets.min_accuracy:
            break


def _coarse_complexities(trials, complexity_range):
    """A grid over the range; and where a budget of bits begins or ends to be kept, the last λ that keeps it."""
    grid = [_near(complexity_range, i / (_COARSE - 1)) for i in range(_COARSE)]
    limit = trials.budgets.max_description_bits
    if limit is None:
        return grid

    def keeps(encoded):
        return trials.prunings.description_length_bits(_near(complexity_range, encoded)) <= limit

    ends = [i / _BITS_GRID for i in range(_BITS_GRID + 1)]
    for kept, broken in (*itertools.pairwise(ends), *itertools.pairwise(ends[::-1])):
        if keeps(kept) and not keeps(broken):
            for _ in range(6):
                middle = (kept + broken) / 2
                kept, broken = (middle, broken) if keeps(middle) else (kept, middle)
            grid.append(_near(complexity_range, kept))
    return sorted(set(grid))


def _around(complexity_range, complexity, step):
    """The λs one step below and above in encoded complexity, if in the range."""
    encoded = float(complexity_range.encode(complexity))
    return [_near(complexity_range, s) for s in (encoded - step, encoded + step) if -1e-6 < s < 1 + 1e-6]


def _near(complexity_range, encoded):
    """λ of an encoded complexity, to four digits, so that what is printed makes the same network again."""
    low, high = complexity_range.low, complexity_range.high
    return min(max(float(f"{low * (high / low) ** encoded:.4g}"), low), high)


def _around_sparsity(sparsity):
    """Sparsities about one, in steps of 2^⅛ in density, from half to twice it."""
    densities = ((1 - sparsity) * 2 ** (i / 8) for i in range(-8, 9))
    return sorted({_rounded(1 - density) for density in densities if density <= 1} | {sparsity})


def _rounded(sparsity):
    return round(sparsity, 5)
