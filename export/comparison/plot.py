"""The picture of a comparison: accuracy against file size."""

import io
import itertools
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from cvhn_tf.export.tflite.encodings import ENCODINGS

_MARKERS = "os^DvPX*ph"


def plot_front(rows) -> bytes:
    """Draws a PNG: a point for each row, coloured by complexity, and a line through the Pareto front.

    Args:
        rows: List of `Row`, at least one.
    """
    # Figure without pyplot: no global state, and no display is needed.
    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    complexities = [row.complexity for row in rows]
    norm = LogNorm(min(complexities), max(complexities) * (1 + 1e-9))
    markers = dict(zip(ENCODINGS, itertools.cycle(_MARKERS), strict=False))
    points: Any = None
    for quantization in dict.fromkeys(row.quantization for row in rows):
        some = [row for row in rows if row.quantization == quantization]
        points = axes.scatter(
            [row.size_bytes for row in some],
            [100 * row.accuracy for row in some],
            c=[row.complexity for row in some],
            norm=norm,
            cmap="viridis",
            marker=markers[quantization],
            s=28,
            alpha=0.85,
            label=quantization or "float32",
        )
    front = sorted((row.size_bytes, 100 * row.accuracy) for row in rows if row.pareto)
    axes.step(*zip(*front, strict=True), where="post", color="crimson", linewidth=1.2, label="Pareto front", zorder=0)
    axes.set_xscale("log")
    best = max(accuracy for _, accuracy in front)
    # The useful end of the scale: what lost more than 15 points to the best lies below the picture.
    lowest = max(min(100 * row.accuracy for row in rows), best - 15)
    axes.set_ylim(lowest - 0.05 * (best - lowest) - 0.1, best + 0.05 * (best - lowest) + 0.1)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size / 1000:g}"))
    axes.xaxis.set_minor_formatter("")
    axes.set_xlabel("size of the .tflite file, kB")
    axes.set_ylabel("accuracy in LiteRT, %")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.colorbar(points, ax=axes, label="complexity λ")
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()
