"""A comparison or a search as one web page that needs nothing else: figures, a sortable table, links to the files."""

import base64
import hashlib
import html
import importlib.metadata
import json
import os
import urllib.parse
from typing import Any, Protocol

from plotly.offline import get_plotlyjs

from cvhn_tf.complexity.description import describe_rise
from cvhn_tf.export.comparison.report_figures import (
    description_length_figure,
    layer_sparsity_figure,
    size_accuracy_figure,
    snr_figure,
    structure_cost_figure,
    structure_figure,
)
from cvhn_tf.export.comparison.tables import columns
from cvhn_tf.export.evaluation.metric import Metric
from cvhn_tf.export.pruning.layer_statistics import LayerSparsity, SnrHistogram, StructureProbabilities
from cvhn_tf.files.atomic import write_atomically

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #222 }
pre { background: #f4f4f4; padding: .6rem; overflow-x: auto }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: 13px }
th, td { padding: .2rem .5rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap }
td:last-child { text-align: left }
th button { all: unset; cursor: pointer; font-weight: bold }
th[aria-sort=ascending] button::after { content: " ▲" }
th[aria-sort=descending] button::after { content: " ▼" }
tr.marked { background: #fdf0d5 }
"""
_SCRIPT = """
const figures = JSON.parse(document.getElementById("figures").textContent);
for (const [id, figure] of Object.entries(figures)) {
  Plotly.newPlot(id, figure.data, figure.layout, { responsive: true, displaylogo: false });
}
const headers = [...document.querySelectorAll("#rows th")];
const compare = (a, b) => (isNaN(a) || isNaN(b) ? a.localeCompare(b) : a - b);
headers.forEach((header, column) => header.firstChild.addEventListener("click", () => {
  const sign = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  headers.forEach((other) => other.removeAttribute("aria-sort"));
  header.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
  const value = (row) => row.cells[column].dataset.value;
  const body = document.querySelector("#rows tbody");
  body.append(...[...body.rows].sort((a, b) =>  // what has no value comes last
    (value(a) === "") - (value(b) === "") || sign * compare(value(a), value(b))));
}));
"""
_STRUCTURE = """<h2>Structure</h2>
<p>Probability of each path, numbered as the inputs of its choice. A network has the most probable ones.</p>
<div id="structure"></div>
<div id="structure-cost"></div>
"""


class HasRows(Protocol):
    """What a report shows: a `Comparison`, or the `Best` of a search, which both stand above this module."""

    @property
    def rows(self) -> list[Any]: ...

    @property
    def histograms(self) -> list[SnrHistogram]: ...

    @property
    def layer_sparsities(self) -> list[LayerSparsity]: ...

    @property
    def structures(self) -> list[StructureProbabilities]: ...

    @property
    def metric(self) -> Metric: ...


def report(
    result: HasRows,
    path: str | os.PathLike[str] | None = None,
    command: str | None = None,
    files: dict[Any, str] | None = None,
) -> str:
    """Makes a web page of a comparison or of a search within budgets.

    It holds accuracy, or another metric that was asked for, against size with a description of each point under the
    mouse, the signal-to-noise ratios and the sparsity of each layer, description length against λ, the probabilities of
    a target's choices, and all rows in a table that a click on a column sorts. plotly.js is in it (about 5 MB), and a
    policy that forbids the browser to load or run anything else.

    Args:
        result: What `compare` or `best` gave.
        path: File to write the page to as well.
        command: The command or call that made the result, to be shown.
        files: Dict from rows to the paths of their files, relative to the page's folder, to be linked.

    Returns:
        The page, HTML.
    """
    if not hasattr(result, "rows"):
        raise TypeError(f"Expected `result` to be what `compare` or `best` gives. Received: result={result!r}")
    chosen = getattr(result, "chosen", None)
    figures = {
        "size-accuracy": size_accuracy_figure(result.rows, chosen, result.metric),
        "snr": snr_figure(result.histograms),
        "layer-sparsity": layer_sparsity_figure(result.layer_sparsities),
        "description-length": description_length_figure(result.histograms),
    }
    if result.structures:
        figures["structure"] = structure_figure(result.structures)
        figures["structure-cost"] = structure_cost_figure(result.structures)
    rise = describe_rise({each.complexity: each.description_length_bits for each in result.histograms})
    page = _page(result.rows, chosen, figures, command, files or {}, rise, result.metric)
    if path is not None:
        write_atomically(path, page.encode())
    return page


def _page(rows, chosen, figures, command, files, rise, metric):
    plotly = get_plotlyjs()
    # The scripts by their hashes, so that no text of the page can be run as one.
    scripts = f"script-src {_hash(plotly)} {_hash(_SCRIPT)}"
    policy = f"default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; {scripts}"
    marked = "chosen" if chosen is not None else "on the Pareto front"
    warning = "" if rise is None else f"<p id='rise'>{html.escape(rise)}</p>\n"
    structure = _STRUCTURE if "structure" in figures else ""
    made_by = "" if command is None else f"<p>Made by</p>\n<pre id='command'>{html.escape(command)}</pre>"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>cvhn-tf report</title>
<style>{_STYLE}</style>
<script>{plotly}</script>
</head>
<body>
<h1>Size and {html.escape(metric.name)}</h1>
{made_by}
<p>cvhn-tf {html.escape(importlib.metadata.version("cvhn-tf"))}. Point at a mark to see what makes its file. A file
that is picked here is picked on these data: measure its {html.escape(metric.name)} on others.</p>
<div id="size-accuracy"></div>
<h2>Signal-to-noise ratio of each layer</h2>
<p>Weights on the left carry no information and are pruned first.</p>
<div id="snr"></div>
<h2>Sparsity of each layer</h2>
<div id="layer-sparsity"></div>
<h2>Description length</h2>
{warning}<div id="description-length"></div>
{structure}<h2>Files</h2>
<p>A click on a column sorts by it. Coloured: {marked}.</p>
<div class="wide">
{_table(rows, chosen, files, metric)}
</div>
<script type="application/json" id="figures">{_json(figures)}</script>
<script>{_SCRIPT}</script>
</body>
</html>
"""


def _table(rows, chosen, files, metric):
    named = columns(type(rows[0]), metric) if rows else {}
    named |= {"file": "file"} if files else {}
    head = "".join(f"<th><button>{html.escape(name)}</button></th>" for name in named)
    lines = [f'<table id="rows">\n<thead><tr>{head}</tr></thead>\n<tbody>']
    for row in rows:
        marked = row == chosen or getattr(row, "pareto", False)
        cells = "".join(_cell(name, getattr(row, field, None), files.get(row)) for name, field in named.items())
        lines.append(f"<tr class='marked'>{cells}</tr>" if marked else f"<tr>{cells}</tr>")
    return "\n".join([*lines, "</tbody></table>"])


def _cell(name, value, file):
    if name == "file":
        value = "" if file is None else str(file)
        link = urllib.parse.quote(value.replace("\\", "/"))
        shown = f'<a href="{link}">{html.escape(value)}</a>' if value else ""
        return f'<td data-value="{html.escape(value)}">{shown}</td>'
    if name == "quantization":
        value = value or "float32"
    if isinstance(value, bool):
        value, shown = int(value), "✓" if value else ""
    else:
        shown = f"{value:.5g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value or ""
    return f'<td data-value="{html.escape("" if value is None else str(value))}">{html.escape(shown)}</td>'


def _json(figures):
    """JSON that may stand inside a script element: no text in it can end the element."""
    text = json.dumps(figures, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _hash(script):
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
