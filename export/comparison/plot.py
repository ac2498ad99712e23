"""The picture of a comparison: accuracy, or another metric, against file size."""

import io
import itertools
import math
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from cvhn_tf.export.evaluation.metric import ACCURACY, Metric
from cvhn_tf.export.tflite.encodings import ENCODINGS

_MARKERS = "os^DvPX*ph"


def plot_front(rows, metric: Metric = ACCURACY) -> bytes:
    """Draws a PNG: a point for each row, coloured by complexity, and a line through the Pareto front.

    Args:
        rows: List of `Row`, at least one.
        metric: What they are compared by. Rows without a finite value of it have no point.
    """
    shown = [row for row in rows if math.isfinite(metric.of(row))]
    # Figure without pyplot: no global state, and no display is needed.
    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    complexities = [row.complexity for row in rows]
    norm = LogNorm(min(complexities), max(complexities) * (1 + 1e-9))
    markers = dict(zip(ENCODINGS, itertools.cycle(_MARKERS), strict=False))
    points: Any = None
    for quantization in dict.fromkeys(row.quantization for row in shown):
        some = [row for row in shown if row.quantization == quantization]
        points = axes.scatter(
            [row.size_bytes for row in some],
            [metric.scale * metric.of(row) for row in some],
            c=[row.complexity for row in some],
            norm=norm,
            cmap="viridis",
            marker=markers[quantization],
            s=28,
            alpha=0.85,
            label=quantization or "float32",
        )
    front = sorted((row.size_bytes, metric.scale * metric.of(row)) for row in shown if row.pareto)
    sizes, values = [size for size, _ in front], [value for _, value in front]
    axes.step(sizes, values, where="post", color="crimson", linewidth=1.2, label="Pareto front", zorder=0)
    axes.set_xscale("log")
    limits, is_log = metric.axis([metric.of(row) for row in shown])
    if limits is not None:
        axes.set_ylim(*limits)
    if is_log:
        axes.set_yscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size / 1000:g}"))
    axes.xaxis.set_minor_formatter("")
    axes.set_xlabel("size of the .tflite file, kB")
    axes.set_ylabel(metric.axis_title)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right" if metric.direction == "max" else "upper right")
    if points is not None:
        figure.colorbar(points, ax=axes, label="complexity λ")
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()
