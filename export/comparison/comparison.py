"""What a comparison has found: rows and their files, as a table, a picture or a web page."""

import dataclasses
import json
import os
from typing import Any

from cvhn_tf.complexity.description import describe_rise
from cvhn_tf.export.comparison.plot import plot_front
from cvhn_tf.export.comparison.report import report
from cvhn_tf.export.comparison.rows import Row, Skipped
from cvhn_tf.export.comparison.tables import as_csv, as_markdown, as_records, columns, written
from cvhn_tf.export.evaluation.metric import ACCURACY, Metric
from cvhn_tf.export.pruning.layer_statistics import LayerSparsity, SnrHistogram, StructureProbabilities
from cvhn_tf.export.tflite.artifact import TFLiteArtifact
from cvhn_tf.files.atomic import write_atomically


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Rows of a comparison, and their files in the same order.

    Args:
        rows: List of `Row`.
        artifacts: List of `TFLiteArtifact`.
        skipped: List of `Skipped`.
        histograms: List of `SnrHistogram`, one for each complexity.
        layer_sparsities: List of `LayerSparsity`, one for each pruned network.
        structures: List of `StructureProbabilities`, one for each complexity; empty if the target has no choices.
        metric: What the rows are compared by: accuracy, or another with its `name` and `direction`.
    """

    rows: list[Row]
    artifacts: list[TFLiteArtifact] = dataclasses.field(repr=False)
    skipped: list[Skipped] = dataclasses.field(default_factory=list)
    histograms: list[SnrHistogram] = dataclasses.field(default_factory=list, repr=False)
    layer_sparsities: list[LayerSparsity] = dataclasses.field(default_factory=list, repr=False)
    structures: list[StructureProbabilities] = dataclasses.field(default_factory=list, repr=False)
    metric: Metric = dataclasses.field(default=ACCURACY, repr=False)

    @property
    def rise(self) -> str | None:
        """One sentence where the description length rises with λ, as after too short a training; else None."""
        return describe_rise({each.complexity: each.description_length_bits for each in self.histograms})

    def __len__(self):
        return len(self.rows)

    def __iter__(self):
        return iter(self.rows)

    def best(
        self,
        max_bytes: int | None = None,
        min_accuracy: float | None = None,
        *,
        min_metric: float | None = None,
        max_metric: float | None = None,
    ) -> Row | None:
        """The most accurate row of at most `max_bytes`, or the smallest of at least `min_accuracy`.

        With another metric the best one in it, or the smallest of at least `min_metric` if large values are good, of at
        most `max_metric` if small ones are.

        Returns:
            A `Row`, or None if there is none.

        Raises:
            ValueError: If a bound is of another metric.
        """
        score = self.metric.score
        least = self.metric.least_allowed(min_accuracy, min_metric, max_metric)
        fitting = [
            row
            for row in self.rows
            if (max_bytes is None or row.size_bytes <= max_bytes) and (least is None or score(row) >= least)
        ]
        if least is not None:
            return min(fitting, key=lambda row: (row.size_bytes, -score(row)), default=None)
        return max(fitting, key=lambda row: (score(row), -row.size_bytes), default=None)

    def artifact_of(self, row: Row) -> TFLiteArtifact:
        """The file of a row.

        Raises:
            ValueError: If it is no row of this comparison, such as the None of a `best` that found nothing.
        """
        if row not in self.rows:
            raise ValueError(
                "Expected `row` to be one of this comparison's rows; `best` returns None where no file fits. "
                f"Received: row={row}"
            )
        return self.artifacts[self.rows.index(row)]

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str:
        """The table as CSV; written to `path` too if it is given."""
        return as_csv(Row, self.rows, path, self.metric)

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """The table as JSON, `{"rows": […], "skipped": […]}`; written to `path` too if it is given."""
        table = {
            "rows": as_records(self.rows, columns(Row, self.metric), for_json=True),
            "skipped": [dataclasses.asdict(skipped) for skipped in self.skipped],
        }
        return written(json.dumps(table, indent=1) + "\n", path)

    def to_markdown(self, path: str | os.PathLike[str] | None = None) -> str:
        """The table as Markdown, rows on the Pareto front marked; written to `path` too if it is given."""
        return written(as_markdown(self.rows, columns(Row, self.metric)), path)

    def report(
        self,
        path: str | os.PathLike[str] | None = None,
        command: str | None = None,
        files: dict[Any, str] | None = None,
    ) -> str:
        """The comparison as one web page, as in `cvhn_tf.export.report`."""
        return report(self, path, command, files)

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Writes a PNG picture of accuracy, or the metric, against file size, a point a row, with the Pareto front."""
        write_atomically(path, plot_front(self.rows, self.metric))
