"""What came out, one cell for each client and kind of files: those of one encoding, made for one `client=`."""

import csv
import dataclasses
import math
import pathlib
from collections.abc import Iterable


@dataclasses.dataclass
class Cell:
    """How a client ran files of one kind.

    Args:
        made_for: Names of the clients that they were made for, as `to_tflite` takes them.
        encoding: That of the files.
        client: Name of the client that ran them.
        files: How many there are, one for each network whose inputs it takes.
        right: How many are right.
        difference: Largest difference from Keras of those, as a share of the largest output.
        wrong: Networks whose outputs are wrong, separated by blanks.
        wrong_by: Largest difference of those, NaN if one has no numbers.
        refused: Networks whose files the client refused, separated by blanks.
        said: What it said to the first of them.
        told: Those of them whose files say in their caveats what GPUs refuse, where the client is one of these.
        partly: How many files the GPU left to the processor in part.
    """

    made_for: str
    encoding: str
    client: str
    files: int = 0
    right: int = 0
    difference: float = 0.0
    wrong: str = ""
    wrong_by: float = 0.0
    refused: str = ""
    said: str = ""
    told: str = ""
    partly: int = 0

    def add(self, network: str, outcome: dict, tolerance: float, told: bool = False) -> None:
        """Counts the outcome of one file in, which may have told of a refusal."""
        if outcome.get("left_out"):
            return
        self.files += 1
        self.partly += outcome.get("partly", False)
        if "refused" in outcome:
            self.refused = f"{self.refused} {network}".strip()
            self.said = self.said or outcome["refused"]
            self.told = f"{self.told} {network}".strip() if told else self.told
            return
        difference = math.nan if outcome["difference"] is None else outcome["difference"]
        if difference <= tolerance:
            self.right += 1
            self.difference = max(self.difference, difference)
        else:
            self.wrong = f"{self.wrong} {network}".strip()
            self.wrong_by = math.nan if math.isnan(difference) else max(self.wrong_by, difference)

    def __str__(self) -> str:
        parts = [f"{self.difference:.0e}".replace("e-0", "e-")] if self.right else []
        for word, networks in (("NO", self.refused), (f"WRONG {self.wrong_by:.2g}", self.wrong)):
            count = len(networks.split())
            if count:
                parts.append(word if count == self.files else f"{word} ({count} of {self.files})")
        return (", ".join(parts) or "–") + ("†" if self.partly else "") + ("‡" if self.told else "")


def cells_of(client: str, cases: dict, outcomes: dict, is_gpu: bool = False) -> list[Cell]:
    """The cells of one client, by what came out of each file."""
    cells, made_for = {}, list(dict.fromkeys(made["client"] for made in cases["made"]))
    for made in sorted(cases["made"], key=lambda made: made_for.index(made["client"])):
        key = made["client"], made["encoding"]
        file = cases["files"][made["file"]]
        cell = cells.setdefault(key, Cell(*key, client))
        told = is_gpu and bool(file.get("caveats"))
        cell.add(file["network"], outcomes[made["file"]], file["tolerance"], told)
    return list(cells.values())


def write(cells: Iterable[Cell], path: pathlib.Path) -> None:
    """Writes cells as CSV."""
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in dataclasses.fields(Cell)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(dataclasses.asdict, cells))


def read(path: pathlib.Path) -> list[Cell]:
    """Reads what `write` wrote."""
    types = {field.name: field.type for field in dataclasses.fields(Cell)}
    with open(path, newline="") as file:
        return [Cell(**{name: types[name](value) for name, value in row.items()}) for row in csv.DictReader(file)]
