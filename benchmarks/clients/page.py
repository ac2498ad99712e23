"""What was measured, and what `client=` means, as tables of docs/clients.md."""

import pathlib
import re

from benchmarks.clients.cells import Cell
from benchmarks.clients.table import CLIENTS
from cvhn_tf.export.clients.table import CLIENTS as MADE_FOR

PAGE = pathlib.Path("docs/clients.md")


def write_page(summary: dict, cells: list[Cell]) -> None:
    """Writes the tables between their markers."""
    text = PAGE.read_text()
    for name, lines in (("rows", _rows()), ("measured", _measured(summary, cells))):
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        text = re.sub(
            f"{begin}.*{end}", lambda _, b=begin, m=lines, e=end: b + "\n".join(m) + "\n" + e, text, flags=re.S
        )
    PAGE.write_text(text)


def failures(cells: list[Cell]) -> list[str]:
    """A sentence for each client that refuses files that were made for it without a word, or computes them wrongly."""
    takes = {client.name: client for client in CLIENTS}
    kinds = {}
    for cell in cells:
        client = takes[cell.client]
        if cell.made_for in client.takes:
            untold = [network for network in cell.refused.split() if network not in cell.told.split()]
            for what, networks in (("refuses", untold), ("computes wrongly", cell.wrong.split())):
                for network in networks:
                    kinds.setdefault(f"{client.title} {what} {network} made for", []).append(
                        f"`{cell.made_for}` in {cell.encoding}"
                    )
    return [f"{beginning} {', '.join(of_which)}." for beginning, of_which in kinds.items()]


def _rows():
    """The package's own table: what it makes for which client."""
    yield "| `client=` | what it is | encodings | reads sparse weights | examples | oldest TFLite |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for client in MADE_FOR.values():
        encodings = ", ".join(f"`{quantization or 'float32'}`" for quantization in client.encodings)
        batch = "any number" if client.free_batch else "one"
        form = "in float32 and the [form](how-to/speed.md#single-zeros-that-make-it-faster) for it"
        sparse = "yes" if client.sparse is None else form if client.by_channels else "no"
        oldest = ".".join(map(str, client.runtime))
        yield f'| `"{client.name}"` | {client.title} | {encodings} | {sparse} | {batch} | {oldest} |'


def _measured(summary, cells):
    seen = [client for client in CLIENTS if summary["clients"].get(client.name, {}).get("version")]
    yield f"Measured on {summary['date']}, {summary['machine']['system']}, {summary['machine']['processor']}."
    yield ""
    yield "| made for | encoding | " + " | ".join(client.title for client in seen) + " |"
    yield "| --- " * (2 + len(seen)) + "|"
    by_key = {(cell.made_for, cell.encoding, cell.client): cell for cell in cells}
    for made_for, encoding in dict.fromkeys((cell.made_for, cell.encoding) for cell in cells):
        row = []
        for client in seen:
            cell = by_key.get((made_for, encoding, client.name))
            row.append("" if cell is None else f"**{cell}**" if made_for in client.takes else str(cell))
        yield f"| `{made_for}` | {encoding} | " + " | ".join(row) + " |"
    yield ""
    yield "| client | version | has to take what is made for |"
    yield "| --- | --- | --- |"
    for client in CLIENTS:
        known = summary["clients"].get(client.name, {"version": None, "problem": "Not tried."})
        takes = ", ".join(f"`{name}`" for name in client.takes) or "nothing"
        yield f"| {client.title} | {known['version'] or known['problem']} | {takes} |"
    sentences = failures(cells)
    if sentences:
        yield ""
        yield "Against what the table above promises:"
        yield ""
        yield from (f"- {sentence}" for sentence in sentences)
