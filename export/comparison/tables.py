"""Rows of one dataclass as a table of text."""

import csv
import dataclasses
import io
import math
import os
from collections.abc import Iterable
from typing import Any

from cvhn_tf.export.evaluation.metric import ACCURACY, Metric
from cvhn_tf.files.atomic import write_atomically


def columns(row_class: type, metric: Metric = ACCURACY) -> dict[str, str]:
    """The columns of a table of a dataclass's rows: dict from their names to those of the fields.

    Another metric than accuracy stands in its place, under a name of its own.
    """
    fields = [field.name for field in dataclasses.fields(row_class)]
    fields = [field for field in fields if field != "metric" and not field.endswith("_metric")]
    found = {}
    for field in fields:
        name = field
        if field.endswith(ACCURACY.field):
            field = field.removesuffix(ACCURACY.field) + metric.field
            name = name.removesuffix(ACCURACY.field) + metric.name
            if name in (*fields, "file") and not name.endswith(ACCURACY.field):
                name += "_metric"
        found[name] = field
    return found


def as_records(rows: Iterable[Any], named: dict[str, str], for_json: bool = False) -> list[dict[str, Any]]:
    """The rows as dicts from the names of the columns to the values; for JSON null for NaN, which it has not."""
    records = [{name: getattr(row, field) for name, field in named.items()} for row in rows]
    if not for_json:
        return records
    return [{name: None if _is_no_number(value) else value for name, value in record.items()} for record in records]


def as_markdown(rows: Iterable[Any], named: dict[str, str]) -> str:
    """The rows as a table in Markdown, of the columns `named` as in `columns`."""
    lines = ["| " + " | ".join(named) + " |", "|" + " --- |" * len(named)]
    lines += ["| " + " | ".join(map(_cell, record.values())) + " |" for record in as_records(rows, named)]
    return "\n".join(lines) + "\n"


def as_csv(
    row_class: type,
    rows: Iterable[Any],
    path: str | os.PathLike[str] | None = None,
    metric: Metric = ACCURACY,
) -> str:
    """The rows as CSV, the dataclass's fields being the columns; written to `path` too if it is given."""
    text = io.StringIO()
    named = columns(row_class, metric)
    writer = csv.DictWriter(text, list(named), lineterminator="\n")
    writer.writeheader()
    writer.writerows(as_records(rows, named))
    return written(text.getvalue(), path)


def written(text: str, path: str | os.PathLike[str] | None) -> str:
    """Returns `text`, after it was written to `path`, whole or not at all, if that is given."""
    if path is not None:
        write_atomically(path, text.encode())
    return text


def choices_as_text(structure) -> str:
    """What is chosen, such as `"block=2 node=0+1"`.

    Args:
        structure: What `model.most_probable_structure` gives.
    """

    def paths(chosen):
        if isinstance(chosen, int):
            return str(chosen)
        return "+".join(str(path) for path, is_there in enumerate(chosen) if is_there) or "none"

    return " ".join(f"{name}={paths(chosen)}" for name, chosen in structure.items())


def _is_no_number(value):
    return isinstance(value, float) and not math.isfinite(value)


def _cell(value):
    if isinstance(value, bool):
        return "✓" if value else ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
