"""The figures of the report, as plotly.js takes them: plain dicts of data and layout."""

import html
import itertools
import math
from typing import Any

from cvhn_tf.export.comparison.pareto import pareto_front
from cvhn_tf.export.evaluation.metric import ACCURACY, Metric
from cvhn_tf.export.pruning.layer_statistics import LayerSparsity

_SYMBOLS = {"float32": "circle", "float16": "square", "dynamic_range": "triangle-up", "int8": "diamond"}
_HEIGHT = 460


def size_accuracy_figure(rows, chosen=None, metric: Metric = ACCURACY) -> dict[str, Any]:
    """Accuracy, or another metric, against file size: a point for each measured row, coloured by λ; the Pareto front.

    Args:
        rows: List of `Row` or `Candidate`.
        chosen: The one of them to be marked, if any.
        metric: What they are compared by. Rows without a finite value of it have no point.
    """
    rows = [row for row in rows if metric.of(row) is not None and math.isfinite(metric.of(row))]
    data = []
    for encoding in dict.fromkeys(row.encoding for row in rows):
        some = [row for row in rows if row.encoding == encoding]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": html.escape(encoding, quote=False),
                "x": [row.size_bytes for row in some],
                "y": [metric.scale * metric.of(row) for row in some],
                "hovertext": [_describe(row, metric) for row in some],
                "hovertemplate": "%{hovertext}<extra></extra>",
                "marker": {
                    "color": [math.log10(row.complexity) for row in some],
                    "coloraxis": "coloraxis",
                    "symbol": _SYMBOLS.get(encoding, "cross"),
                    "size": 9,
                },
            }
        )
    front = sorted((rows[i].size_bytes, metric.scale * metric.of(rows[i])) for i in pareto_front(rows, metric))
    sizes, values = _columns(front)
    data.append(_line("Pareto front", sizes, values, shape="hv", color="crimson", hoverinfo="skip"))
    if chosen in rows:
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "chosen",
                "x": [chosen.size_bytes],
                "y": [metric.scale * metric.of(chosen)],
                "hoverinfo": "skip",
                "marker": {"symbol": "circle-open", "size": 18, "color": "crimson", "line": {"width": 2}},
            }
        )
    limits, is_log = metric.axis([metric.of(row) for row in rows])
    layout = _layout("size of the file, bytes", metric.axis_title)
    layout["xaxis"]["type"] = "log"
    if limits is not None:
        layout["yaxis"]["range"] = list(limits)
    if is_log:
        layout["yaxis"]["type"] = "log"
    layout["coloraxis"] = {"colorscale": "Viridis", "colorbar": {"title": {"text": "log₁₀ λ"}}}
    layout["legend"] = {"orientation": "h", "y": 1.12}
    return {"data": data, "layout": layout}


def snr_figure(histograms) -> dict[str, Any]:
    """How many weights of each kernel have which signal-to-noise ratio, at the complexity chosen in a menu."""
    groups = []
    for histogram in histograms:
        middles = [(low + high) / 2 for low, high in itertools.pairwise(histogram.edges)]
        lines = [_line(path, middles, counts, shape="hvh") for path, counts in histogram.counts.items()]
        groups.append((f"λ = {histogram.complexity:.4g}", lines))
    return _with_menu(groups, _layout("log₁₀ of the signal-to-noise ratio |μ|/σ", "weights"))


def layer_sparsity_figure(layer_sparsities) -> dict[str, Any]:
    """Share of zeros in each kernel against that of all, at the complexity and structure chosen in a menu."""
    titles: dict[tuple[float, str], list[LayerSparsity]] = {}
    for of_network in layer_sparsities:
        titles.setdefault((of_network.complexity, of_network.structure), []).append(of_network)
    groups = []
    for (complexity, structure), some in titles.items():
        some = sorted(some, key=lambda of_network: of_network.sparsity)
        asked = [100 * of_network.sparsity for of_network in some]
        lines = [
            _line(path, asked, [100 * of_network.layers[path] for of_network in some], mode="lines+markers")
            for path in some[0].layers
        ]
        groups.append((f"λ = {complexity:.4g}, {structure}", lines))
    return _with_menu(groups, _layout("sparsity asked for, %", "zeros in the kernel, %"))


def description_length_figure(histograms) -> dict[str, Any]:
    """KL of the posterior in bits against λ."""
    points = sorted((histogram.complexity, histogram.description_length_bits) for histogram in histograms)
    layout = _layout("complexity λ", "description length before pruning, bits")
    layout["xaxis"]["type"] = layout["yaxis"]["type"] = "log"
    complexities, bits = _columns(points)
    return {"data": [_line("description length", complexities, bits, mode="lines+markers")], "layout": layout}


def structure_figure(structures) -> dict[str, Any]:
    """Probability of each path of each choice against λ, a heat map."""
    structures = sorted(structures, key=lambda of_complexity: of_complexity.complexity)
    paths = [(name, path) for name, of_one in structures[0].probabilities.items() for path in range(len(of_one))]
    data = {
        "type": "heatmap",
        # Categories, of which even spacing is log λ's where the λs are a grid.
        "x": [f"{of_complexity.complexity:.4g}" for of_complexity in structures],
        "y": [html.escape(f"{name}[{path}]", quote=False) for name, path in paths],
        "z": [[of_complexity.probabilities[name][path] for of_complexity in structures] for name, path in paths],
        "zmin": 0,
        "zmax": 1,
        "colorscale": "Viridis",
        "colorbar": {"title": {"text": "probability"}},
        "hovertemplate": "%{y}, λ = %{x}: %{z:.3f}<extra></extra>",
    }
    layout = _layout("complexity λ", "")
    layout["xaxis"]["type"] = "category"
    layout["yaxis"] |= {"autorange": "reversed", "automargin": True}
    layout["height"] = max(_HEIGHT, 22 * len(paths) + 120)
    return {"data": [data], "layout": layout}


def structure_cost_figure(structures) -> dict[str, Any]:
    """What the most probable structure costs against λ."""
    complexities, costs = _columns(sorted((each.complexity, each.cost) for each in structures))
    layout = _layout("complexity λ", "cost of the most probable structure")
    layout["xaxis"]["type"] = "log"
    layout["yaxis"]["rangemode"] = "tozero"
    return {"data": [_line("cost", complexities, costs, mode="lines+markers")], "layout": layout}


def _describe(row, metric):
    """What a point says when the mouse is over it."""
    layout = ", sparse" if row.sparse else ""
    lines = [
        f"λ = {row.complexity:.4g}",
        f"sparsity {row.sparsity:.5g}, {row.structure}",
        f"encoding {row.encoding}{layout}",
        metric.words(metric.of(row)),
        f"{row.size_bytes:,} bytes, {row.gzip_bytes:,} after gzip",
        f"{row.latency_ms:.4g} ms" + (f" ({row.latency_client})" if row.latency_client else ""),
    ]
    return "<br>".join(html.escape(line, quote=False) for line in lines)


def _line(name, x, y, mode="lines", shape="linear", color=None, **more):
    line = {"shape": shape} | ({} if color is None else {"color": color})
    # plotly.js reads some HTML in names.
    return {
        "type": "scatter",
        "mode": mode,
        "name": html.escape(name, quote=False),
        "x": x,
        "y": y,
        "line": line,
        **more,
    }


def _columns(pairs):
    return [first for first, _ in pairs], [second for _, second in pairs]


def _layout(x_title, y_title):
    return {
        "height": _HEIGHT,
        "margin": {"t": 60, "r": 20},
        "xaxis": {"title": {"text": x_title}},
        "yaxis": {"title": {"text": y_title}},
    }


def _with_menu(groups, layout):
    """All groups of lines in one figure, of which a menu shows one; the middle one at first."""
    if not groups:
        return {"data": [], "layout": layout}
    shown = len(groups) // 2
    data = [line | {"visible": i == shown} for i, (_, lines) in enumerate(groups) for line in lines]
    buttons = [
        {
            "label": html.escape(title, quote=False),
            "method": "restyle",
            "args": ["visible", [j == i for j, (_, lines) in enumerate(groups) for _ in lines]],
        }
        for i, (title, _) in enumerate(groups)
    ]
    layout["updatemenus"] = [{"buttons": buttons, "active": shown, "x": 0, "xanchor": "left", "y": 1.18}]
    layout["showlegend"] = True
    return {"data": data, "layout": layout}
