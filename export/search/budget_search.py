"""The search for the best file within budgets: lines of ascending sparsity, halved, at ever finer complexities.

At one complexity and structure accuracy, size and time fall as sparsity grows, nearly always. So a line is halved,
as in the search for a word in a dictionary, instead of being tried at every sparsity: for the most accurate file down
to the least sparsity that keeps the budgets; for the smallest, up to the largest sparsity that is accurate enough.
Another metric stands for accuracy where it was asked for, as a score, of which more is better.

Sizes do not always fall: "dynamic_range" stores a tensor that has become small in four bytes a weight again. So without
"weight_only_int8", which does not, lines are walked from their dense end too if the size counts, of which the bounds on
files know.
"""

import itertools

from cvhn_tf.complexity.description import complexity_of_length
from cvhn_tf.export.search.pruned_networks import Point

_COARSE = 5
_BITS_GRID = 16  # intervals, among whose ends the shortest description is looked for
# Densities 1, 2^-½, 2^-1, …, 1/512.
_LEVELS = [1 - 2.0 ** (-i / 2) for i in range(19)]
_FINE_LEVELS = [1 - 2.0 ** (-i / 8) for i in range(73)]


def search(trials, complexity_range, complexities, sparsities, structures, progress):
    """Searches, and leaves what it finds in `trials`.

    Args:
        trials: `Trials`.
        complexity_range: `ComplexityRange` of the model.
        complexities: λs to try, or None for a search over the range.
        sparsities: Sparsities to try, or None for a search over all.
        structures: Structures to try.
        progress: Called as `progress(done, total)` after each line or few; both in lines.
    """
    _Search(trials, complexity_range, complexities, sparsities, structures, progress).run()


class _Search:
    def __init__(self, trials, complexity_range, complexities, sparsities, structures, progress):
        self.trials, self.complexity_range = trials, complexity_range
        self.structures, self.progress = structures, progress
        self.is_free = complexities is None
        self.fine_levels = None if sparsities is None else sorted(sparsities)
        self.levels = self.fine_levels or [_rounded(level) for level in _LEVELS]
        grid = _coarse_complexities(trials, complexity_range) if self.is_free else list(complexities)
        # The middle first: a good file early saves trying worse ones.
        grid = grid[len(grid) // 2 :] + grid[: len(grid) // 2][::-1]
        self.grid = [complexity for complexity in grid if trials.fits(complexity)]
        self.ends = {structure: [] for structure in structures}  # where the lines of each ended
        self.done, self.total = 0, len(structures) * (len(self.grid) + (3 if self.is_free else 1))

    def run(self):
        trials = self.trials
        self.search_lines(self.grid)
        if trials.nearest is None:
            return
        self.search_lines(self.around(trials.nearest.complexity, steps=2))
        if self.sizes_may_rise():
            self.walk_lines(trials.nearest.complexity)
        self.refine_each_structure()
        self.refine_far_away()
        chosen = Point(trials.nearest.complexity, trials.nearest.sparsity, trials.nearest.structure)
        for quantization in trials.quantizations:
            trials.attempt(chosen, quantization)
        if trials.budgets.seek_smallest:  # sparser ones came first, of which a dense file may be as large
            encoding = trials.nearest.encoding
            trials.attempt(chosen._replace(sparsity=self.levels[0]), None if encoding == "float32" else encoding)
        self.progress(self.total, self.total)

    def sizes_may_rise(self):
        """Whether a sparser network may have the larger file, and this matters."""
        counts = self.trials.budgets.seek_smallest or self.trials.budgets.max_bytes is not None
        quantizations = self.trials.quantizations
        return counts and "dynamic_range" in quantizations and "weight_only_int8" not in quantizations

    def search_lines(self, complexities):
        """Searches the line of each structure at complexities, as far as these are accurate enough."""
        for complexity, structure in itertools.product(complexities, self.structures):
            densest = Point(complexity, self.levels[0], self.structures[0])
            if self.trials.fits(complexity) and _is_promising(self.trials, densest):
                points = [Point(complexity, level, structure) for level in self.levels]
                self.ends[structure] += _search_line(self.trials, points)
            self.advance()

    def walk_lines(self, complexity):
        """Walks the line of each structure in fine steps: a range of sparsities whose files keep a budget is short."""
        levels = self.fine_levels or [_rounded(level) for level in _FINE_LEVELS]
        for structure in self.structures if self.trials.fits(complexity) else ():
            self.ends[structure] += _walk(self.trials, [Point(complexity, level, structure) for level in levels])
            self.tell()

    def refine_each_structure(self):
        """Searches about the best point of each structure, of the best one's first: it may pass the others."""
        for structure in sorted(self.structures, key=lambda structure: structure != self.trials.nearest.structure):
            start = self.trials.nearest
            if structure != start.structure:
                start = max(self.ends[structure], key=lambda point: _promise(self.trials, point), default=None)
            if start is not None:
                self.refine(start, self.near(start.complexity))
            self.advance()

    def refine_far_away(self):
        """Searches about the best sparsity at all complexities where it does as well."""
        start = self.trials.nearest
        self.refine(start, [complexity for complexity in self.grid if _is_as_accurate(self.trials, complexity, start)])
        if self.trials.nearest is not start:
            self.refine(self.trials.nearest, self.near(self.trials.nearest.complexity))

    def refine(self, start, complexities):
        """Searches finer lines about the sparsity of a point, or of a candidate."""
        for complexity in complexities:
            levels = self.fine_levels or _around_sparsity(start.sparsity)
            points = [Point(complexity, level, start.structure) for level in levels]
            if self.trials.fits(complexity) and _can_be_better(self.trials, points):
                _search_line(self.trials, points)
            self.tell()

    def near(self, complexity):
        return [complexity, *self.around(complexity, steps=4)]

    def around(self, complexity, steps):
        """The λs below and above, of which there are so many to a step of the coarse grid; only if λ is free."""
        return _around(self.complexity_range, complexity, 1 / (steps * (_COARSE - 1))) if self.is_free else []

    def advance(self):
        self.done += 1
        self.tell()

    def tell(self):
        self.progress(min(self.done, self.total), self.total)


def _promise(trials, point):
    """How promising the end of a line is, beside others of its structure."""
    if trials.budgets.seek_smallest:
        return point.sparsity
    return trials.metric.score_of(trials.prunings.estimate(point))


def _is_as_accurate(trials, complexity, candidate):
    """Whether the network of a candidate's sparsity and structure at another complexity is accurate enough."""
    point = Point(complexity, candidate.sparsity, candidate.structure)
    return trials.fits(complexity) and trials.reaches(point, _goal(trials))


def _can_be_better(trials, points):
    """Whether a line may hold a better file than the best so far."""
    if trials.budgets.seek_smallest:
        return trials.can_be_better(points[-1])
    return trials.best is None or trials.reaches(points[0], _goal(trials))


def _is_promising(trials, densest):
    """Whether a complexity is accurate enough with the most weights that it may keep."""
    goal, metric = _goal(trials), trials.metric
    return goal == metric.least_score or trials.reaches(densest, metric.lowered(goal, metric.gain_by_pruning))


def _goal(trials):
    """Score that a better file must have."""
    if trials.budgets.seek_smallest:
        return trials.budgets.least_score
    return trials.metric.least_score if trials.best is None else trials.metric.score(trials.best)


def _search_line(trials, points):
    """Returns the point where the search ends, behind which a finer one may go on, if there is one, in a list."""
    return (_find_smallest if trials.budgets.seek_smallest else _find_most_accurate)(trials, points)


def _find_most_accurate(trials, points):
    """Halves the line down to the least sparsity of which a file keeps the budgets."""
    if trials.trace and trials.best is None and not _keeps_budgets(trials, points[-1]):
        return []  # perhaps nothing does; then it is not worth halving every line
    low, high = 0, len(points)
    while low < high:
        middle = (low + high) // 2
        point = points[middle]
        if trials.best is not None and not trials.reaches(point, trials.metric.score(trials.best)):
            high = middle  # sparser ones are less accurate still
        elif _keeps_budgets(trials, point):
            high = middle
        else:
            low = middle + 1
    return points[low : low + 1] if low else []  # from 0 on all were too inaccurate, or none too large


def _walk(trials, points):
    """Tries a line from its dense end, as long as its networks are accurate enough. Returns as `_search_line` does."""
    found = []
    for point in points:
        if not trials.reaches(point, _goal(trials)):
            break
        if _keeps_budgets(trials, point):
            found = [point]
            if not trials.budgets.seek_smallest:
                break  # sparser ones are less accurate
    return found


def _keeps_budgets(trials, point):
    return any(trials.attempt(point, quantization).accepted for quantization in trials.by_size(point))


def _find_smallest(trials, points):
    """Halves the line up to the largest sparsity that is accurate enough, and makes its files."""
    low, high, accurate = 0, len(points), []
    while low < high:
        middle = (low + high) // 2
        if not trials.can_be_better(points[middle]):
            low = middle + 1
        elif trials.reaches(points[middle], trials.budgets.least_score):
            low = middle + 1
            accurate.append(points[middle])
        else:
            high = middle
    for point in reversed(accurate):  # sparsest first; in the file some accuracy may be lost
        tried = {q: trials.attempt(point, q) for q in trials.by_size(point)}
        scores = {q: trials.metric.score(each) for q, each in tried.items() if trials.metric.of(each) is not None}
        lossy = [q for q, score in scores.items() if score < trials.budgets.least_score]
        if not scores or len(lossy) < len(scores):
            for quantization in lossy:  # with more weights it may not be, and still be smaller than others
                _find_sparsest(trials, points[: points.index(point)], quantization)
            break
    return points[low - 1 : low] if 0 < low < len(points) else []


def _find_sparsest(trials, points, quantization):
    """Halves the line up to the largest sparsity of which a file of an encoding is accurate enough."""
    low, high = 0, len(points)
    while low < high:
        middle = (low + high) // 2
        tried = trials.attempt(points[middle], quantization)
        if trials.metric.of(tried) is None or trials.metric.score(tried) >= trials.budgets.least_score:
            low = middle + 1  # also where it is too large to be measured
        else:
            high = middle


def _coarse_complexities(trials, complexity_range):
    """A grid over the range; and where a budget of bits begins to be kept, the first λ that keeps it."""
    grid = [_near(complexity_range, i / (_COARSE - 1)) for i in range(_COARSE)]
    limit, length_of = trials.budgets.max_description_bits, trials.prunings.description_length_bits
    if limit is None:
        return grid
    # The shortest may lie within the range: after a short training the length may rise again.
    shortest = min((_near(complexity_range, i / _BITS_GRID) for i in range(_BITS_GRID + 1)), key=length_of)
    if length_of(shortest) <= limit:
        first = complexity_of_length(limit, length_of, grid[0], shortest)
        grid.append(min(float(f"{first * 1.0005:.4g}"), shortest))  # of four digits, and not below it
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
