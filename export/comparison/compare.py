"""Many complexities, sparsities and quantizations side by side: the table from which users pick their file."""

import dataclasses
import json
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from cvhn_tf.checks.arguments import check_truth
from cvhn_tf.checks.arrays import as_input_arrays
from cvhn_tf.complexity.description import describe_rise
from cvhn_tf.export.clients.checks import check_client_takes
from cvhn_tf.export.clients.table import as_client
from cvhn_tf.export.compaction.compact import compact
from cvhn_tf.export.comparison.pareto import pareto_front
from cvhn_tf.export.comparison.plot import plot_front
from cvhn_tf.export.comparison.progress_bar import progress_bar
from cvhn_tf.export.comparison.report import report
from cvhn_tf.export.comparison.rows import Row, Skipped
from cvhn_tf.export.comparison.tables import as_csv, as_markdown, as_records, choices_as_text, columns, written
from cvhn_tf.export.comparison.without_zeros import without_zeros
from cvhn_tf.export.conversion.convert import to_tflite_from
from cvhn_tf.export.conversion.frozen_graphs import FrozenGraphs
from cvhn_tf.export.conversion.quantizations import check_quantizations
from cvhn_tf.export.delivery.metadata import annotate, check_class_names
from cvhn_tf.export.evaluation.as_metric import as_metric
from cvhn_tf.export.evaluation.evaluate import evaluate_tflite
from cvhn_tf.export.evaluation.keras_metric import output_names
from cvhn_tf.export.evaluation.keras_outputs import all_outputs
from cvhn_tf.export.evaluation.metric import ACCURACY, Metric
from cvhn_tf.export.networks.check_network import check_convertible
from cvhn_tf.export.pruning.layer_statistics import (
    LayerSparsity,
    SnrHistogram,
    StructureProbabilities,
    layer_sparsity,
    snr_histogram,
    structure_probabilities,
)
from cvhn_tf.export.pruning.prune import as_list, check_model, check_sparsity, check_structure, prune
from cvhn_tf.export.pruning.recalibrate import recalibrate
from cvhn_tf.export.pruning.repeated_pruning import RepeatedPruning
from cvhn_tf.export.tflite.artifact import TFLiteArtifact
from cvhn_tf.export.verification.verify import ConversionError
from cvhn_tf.files.atomic import write_atomically
from cvhn_tf.hypernetwork import VariationalHypernetwork
from cvhn_tf.structure.costs import multiply_adds_of

SPARSITIES = (0.0, 0.9, 0.95, 0.98, 0.985, 0.99)
# What is compared by default.
_QUANTIZATIONS: tuple[str | None, ...] = (None, "dynamic_range")


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


def compare(
    model: VariationalHypernetwork,
    data: tuple[Any, Any] | tf.data.Dataset,
    complexities: Sequence[float] | None = None,
    sparsities: Sequence[float] = SPARSITIES,
    quantizations: Sequence[str | None] | None = None,
    scope: str = "global",
    representative_data: Any = None,
    progress: Callable[..., object] | None = None,
    structure: str = "weight",
    labels: Sequence[str] | None = None,
    client: str | Sequence[str] = "any",
    metric: Any = "accuracy",
    direction: str = "auto",
    include_frozen: bool = False,
    verbose: bool = False,
) -> Comparison:
    """Prunes, compacts, converts, runs and measures every combination. No training.

    Each file holds its complexity, sparsity, structure and encoding, as by `annotate`: part of its size.

    Args:
        model: `cvhn_tf.VariationalHypernetwork`.
        data: Pair of arrays (x, y) or `tf.data.Dataset` of batches of such pairs, with class labels; with
            another metric, with the labels that it takes, a list or a dict of arrays for several outputs.
        complexities: λs; by default nine over the model's range, evenly spaced in log λ.
        sparsities: Shares of pruned weights, each in [0, 1).
        quantizations: As in `to_tflite`; by default float32 and `"dynamic_range"`, where the client computes it.
        scope: As in `prune`.
        representative_data: As in `to_tflite`; needed for `"int8"`. Take some hundreds of training examples for a
            network with batch normalization, which `recalibrate` gives the statistics of each pruned network then.
        progress: Called as `progress(done, total, result)` after each combination, with its `Row` or `Skipped`.
        structure: As in `prune`.
        labels: Names of the classes, which each file then holds too.
        client: As in `to_tflite`: what will run the files. For `"web"`, networks that `fast_sparse` takes pass through
            it in float32 where the file is smaller then, since LiteRT.js leaves their zeros out.
        metric: What files are compared by: `"accuracy"`, or for networks that are no classifiers what Keras takes as a
            metric or a loss: its name, such as `"mse"`, an object, or a function of labels and outputs. Of several
            outputs a list of these in their order, None where one does not count, or a dict by their names; then their
            sum counts. Rows have its value as `keras_metric` and `metric`, tables under its name.
        direction: `"min"` if small values of the metric are good, `"max"` if large ones are; `"auto"` takes what Keras
            knows of it.
        include_frozen: As in `prune`.
        verbose: Whether to show a bar on stderr, with the time left.

    Returns:
        `Comparison`. Combinations that LiteRT cannot run are in its `skipped`.

    Raises:
        ValueError: If an argument is out of range, or the metric does not take the labels, before anything is
            converted.
    """
    check_model(model)
    metric = as_metric(metric, direction)
    complexities = model.complexity_range.grid_or(as_list("complexities", complexities))
    runner = as_client(client)
    if quantizations is None:
        quantizations = [quantization for quantization in _QUANTIZATIONS if quantization in runner.encodings]
    sparsities, quantizations = as_list("sparsities", sparsities), as_list("quantizations", quantizations)
    for sparsity in sparsities:
        check_sparsity(sparsity, name="sparsities")
    check_structure(structure)
    check_truth("include_frozen", include_frozen)
    check_quantizations(quantizations, representative_data, runner)
    judge = model.at(min(complexities))  # of which a metric gives a number if it does of any
    check_convertible("model", judge)
    check_client_takes(runner, judge)
    metric = metric.for_outputs(output_names(judge))
    x, y = metric.examples(judge, data)
    if representative_data is not None:
        as_input_arrays(judge, representative_data)
    if labels is not None:
        labels = check_class_names(labels, judge.outputs[0].shape[-1])
    rows, artifacts, skipped, histograms, layer_sparsities, structures = [], [], [], [], [], []
    total = len(complexities) * len(sparsities) * len(quantizations)
    repeated: Any = RepeatedPruning(model)
    with progress_bar("Comparing", verbose) as advance:
        for complexity in complexities:
            bits = model.description_length(complexity)
            choices = choices_as_text(model.most_probable_structure(complexity))
            histograms.append(snr_histogram(repeated, complexity, bits))
            structures += structure_probabilities(model, complexity)
            for sparsity in sparsities:
                repeated.take_back()
                network = prune(
                    repeated, complexity, sparsity, scope=scope, structure=structure, include_frozen=include_frozen
                )
                posterior = repeated.posterior(complexity) if include_frozen else None
                layer_sparsities.append(
                    layer_sparsity(network, complexity, sparsity, structure, histograms[-1].counts, posterior)
                )
                kept = sum(int(np.count_nonzero(weight)) for weight in network.get_weights())
                if representative_data is not None:
                    network = recalibrate(network, representative_data)
                keras_value = metric.value(all_outputs(network, x), y)
                pruned, network = network, compact(network)
                graphs = FrozenGraphs()
                for quantization in quantizations:
                    try:
                        artifact = to_tflite_from(graphs, network, quantization, "auto", representative_data, runner)
                        if quantization is None and runner.reads_by_channels_alone:
                            artifact = without_zeros(artifact, network, pruned, representative_data, runner)
                        artifact = annotate(artifact, complexity, sparsity, structure, labels)
                    except ConversionError as error:
                        result: Any = Skipped(complexity, sparsity, quantization, str(error))
                        skipped.append(result)
                    else:
                        measured = evaluate_tflite(artifact, x, y, client=runner.names, metric=metric)
                        artifacts.append(artifact)
                        result = Row(
                            complexity=complexity,
                            sparsity=sparsity,
                            quantization=quantization,
                            sparse=artifact.sparse,
                            description_length_bits=bits,
                            parameters_kept=kept,
                            size_bytes=artifact.size_bytes,
                            gzip_bytes=artifact.gzip_bytes,
                            keras_accuracy=keras_value if metric is ACCURACY else None,
                            accuracy=measured.accuracy,
                            latency_ms=measured.latency_ms,
                            calibration_error=measured.calibration_error,
                            structure=structure,
                            unquantized_bytes=artifact.unquantized_bytes,
                            choices=choices,
                            multiply_adds=multiply_adds_of(network),
                            latency_client=measured.latency_client,
                            keras_metric=None if metric is ACCURACY else keras_value,
                            metric=measured.metric,
                        )
                        rows.append(result)
                    done = len(artifacts) + len(skipped)
                    advance(done, total, f"{len(artifacts)} of {total} files")
                    if progress is not None:
                        progress(done, total, result)
    front = pareto_front(rows, metric)
    rows = [dataclasses.replace(row, pareto=i in front) for i, row in enumerate(rows)]
    return Comparison(rows, artifacts, skipped, histograms, layer_sparsities, structures, metric)
