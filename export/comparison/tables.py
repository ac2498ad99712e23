"""Rows of one dataclass as a table of text."""

import csv
import dataclasses
import io
import os
from collections.abc import Iterable
from typing import Any

from cvhn_tf.files.atomic import write_atomically


def as_csv(row_class: type, rows: Iterable[Any], path: str | os.PathLike[str] | None = None) -> str:
    """The rows as CSV, the dataclass's fields being the columns; written to `path` too if it is given."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in dataclasses.fields(row_class)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(dataclasses.asdict(row) for row in rows)
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
