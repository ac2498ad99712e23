"""Many complexities, sparsities and quantizations side by side: the table from which users pick their file."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from cvhn_tf.checks.arguments import check_truth
from cvhn_tf.checks.arrays import as_input_arrays
from cvhn_tf.export.clients.checks import check_client_takes
from cvhn_tf.export.clients.table import as_client
from cvhn_tf.export.compaction.compact import compact
from cvhn_tf.export.comparison.comparison import Comparison
from cvhn_tf.export.comparison.pareto import pareto_front
from cvhn_tf.export.comparison.rows import Row, Skipped
from cvhn_tf.export.comparison.tables import choices_as_text
from cvhn_tf.export.comparison.without_zeros import without_zeros
from cvhn_tf.export.conversion.convert import to_tflite_from
from cvhn_tf.export.conversion.frozen_graphs import FrozenGraphs
from cvhn_tf.export.conversion.quantizations import check_quantizations
from cvhn_tf.export.delivery.metadata import annotate, check_class_names
from cvhn_tf.export.evaluation.as_metric import as_metric
from cvhn_tf.export.evaluation.evaluate import evaluate_tflite
from cvhn_tf.export.evaluation.keras_metric import output_names
from cvhn_tf.export.evaluation.keras_outputs import all_outputs
from cvhn_tf.export.evaluation.metric import ACCURACY
from cvhn_tf.export.evaluation.progress_bar import progress_bar
from cvhn_tf.export.networks.check_network import check_convertible
from cvhn_tf.export.pruning.layer_statistics import layer_sparsity, snr_histogram, structure_probabilities
from cvhn_tf.export.pruning.prune import as_list, check_model, check_sparsity, check_structure, prune
from cvhn_tf.export.pruning.recalibrate import recalibrate
from cvhn_tf.export.pruning.repeated_pruning import RepeatedPruning
from cvhn_tf.export.verification.verify import ConversionError
from cvhn_tf.hypernetwork import VariationalHypernetwork
from cvhn_tf.structure.costs import multiply_adds_of

SPARSITIES = (0.0, 0.9, 0.95, 0.98, 0.985, 0.99)
# What is compared by default.
_QUANTIZATIONS: tuple[str | None, ...] = (None, "dynamic_range")


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
    check_client_takes(runner, judge, quantizations)
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
                of_network: dict[str, Any] = {
                    "complexity": complexity,
                    "sparsity": sparsity,
                    "description_length_bits": bits,
                    "parameters_kept": kept,
                    "keras_accuracy": keras_value if metric is ACCURACY else None,
                    "keras_metric": None if metric is ACCURACY else keras_value,
                    "structure": structure,
                    "choices": choices,
                    "multiply_adds": multiply_adds_of(network),
                }
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
                            **of_network,
                            quantization=quantization,
                            sparse=artifact.sparse,
                            size_bytes=artifact.size_bytes,
                            gzip_bytes=artifact.gzip_bytes,
                            unquantized_bytes=artifact.unquantized_bytes,
                            accuracy=measured.accuracy,
                            metric=measured.metric,
                            calibration_error=measured.calibration_error,
                            latency_ms=measured.latency_ms,
                            latency_client=measured.latency_client,
                        )
                        rows.append(result)
                    done = len(artifacts) + len(skipped)
                    advance(done, total, f"{len(artifacts)} of {total} files")
                    if progress is not None:
                        progress(done, total, result)
    front = pareto_front(rows, metric)
    rows = [dataclasses.replace(row, pareto=i in front) for i, row in enumerate(rows)]
    return Comparison(rows, artifacts, skipped, histograms, layer_sparsities, structures, metric)
