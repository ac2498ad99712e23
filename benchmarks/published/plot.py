"""The picture of `paper.py`: accuracy against the share of weights pruned, here and as the authors published it."""

import io

from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D


def plot_accuracies(here, authors) -> bytes:
    """Draws a PNG: a panel for each complexity, full lines for this run and dashed ones for the authors.

    Args:
        here: Dict from complexity to a dict from method to a dict from sparsity to accuracy, at least one complexity.
        authors: The same for the authors' figures, where they have some.
    """
    # Figure without pyplot: no global state, and no display is needed.
    figure = Figure(figsize=(4 * len(here) + 2.2, 4.2), dpi=120, layout="constrained")
    panels = figure.subplots(1, len(here), sharey=True, squeeze=False)[0]
    methods = list(dict.fromkeys(method for curves in here.values() for method in curves))
    colours = dict(zip(methods, colormaps["tab20"].colors, strict=False))
    for axes, (complexity, curves) in zip(panels, here.items(), strict=True):
        for method, curve in curves.items():
            axes.plot(*_points(curve), color=colours[method], marker="o", markersize=4)
        for method, curve in authors.get(complexity, {}).items():
            if method in colours:
                axes.plot(*_points(curve), color=colours[method], marker="x", linestyle="--", linewidth=1, alpha=0.8)
        axes.set_title(f"λ = {complexity:g}")
        axes.set_xlabel("weights pruned, %")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("test accuracy, %")
    lines = [Line2D([], [], color=colours[method], label=method) for method in methods]
    lines += [
        Line2D([], [], color="grey", marker="o", markersize=4, label="this run"),
        Line2D([], [], color="grey", marker="x", linestyle="--", linewidth=1, label="authors"),
    ]
    figure.legend(handles=lines, loc="outside right center")
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()


def _points(curve):
    return [100 * sparsity for sparsity in curve], [100 * accuracy for accuracy in curve.values()]
