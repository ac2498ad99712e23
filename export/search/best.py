"""The best file within budgets, by a search over complexity, sparsity, structure and encoding. No training."""

import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from cvhn_tf.checks.arguments import check_truth
from cvhn_tf.checks.arrays import as_input_arrays
from cvhn_tf.export.clients.checks import check_client_takes
from cvhn_tf.export.clients.table import as_client
from cvhn_tf.export.comparison.report import report
from cvhn_tf.export.comparison.tables import as_csv
from cvhn_tf.export.conversion.quantizations import available_quantizations, check_quantizations
from cvhn_tf.export.delivery.metadata import check_class_names
from cvhn_tf.export.evaluation.as_metric import as_metric
from cvhn_tf.export.evaluation.keras_metric import output_names
from cvhn_tf.export.evaluation.labelled_examples import as_arrays
from cvhn_tf.export.evaluation.metric import ACCURACY, Metric
from cvhn_tf.export.evaluation.progress_bar import progress_bar
from cvhn_tf.export.networks.check_network import check_convertible
from cvhn_tf.export.pruning.layer_statistics import LayerSparsity, SnrHistogram, StructureProbabilities
from cvhn_tf.export.pruning.prune import as_list, check_model, check_sparsity, check_structure
from cvhn_tf.export.pruning.weight_groups import STRUCTURES
from cvhn_tf.export.search.budget_search import search
from cvhn_tf.export.search.budgets import Budgets
from cvhn_tf.export.search.candidate import Candidate
from cvhn_tf.export.search.nearest import describe_nearest
from cvhn_tf.export.search.pruned_networks import Prunings
from cvhn_tf.export.search.trials import Trials
from cvhn_tf.export.tflite.artifact import TFLiteArtifact
from cvhn_tf.export.verification import micro
from cvhn_tf.hypernetwork import VariationalHypernetwork
from cvhn_tf.structure.costs import multiply_adds_of


@dataclasses.dataclass(frozen=True)
class Best:
    """The best file that a search has found, and all that it tried.

    Args:
        artifact: `TFLiteArtifact`.
        chosen: The `Candidate` that it is.
        trace: List of `Candidate`, in the order in which they were tried.
        histograms: List of `SnrHistogram`, one for each complexity of which a network was made.
        layer_sparsities: List of `LayerSparsity`, one for each network.
        structures: List of `StructureProbabilities`, one for each of these complexities; empty if the target has no
            choices.
        metric: What it was chosen by: accuracy, or another with its `name` and `direction`.
    """

    artifact: TFLiteArtifact
    chosen: Candidate
    trace: list[Candidate] = dataclasses.field(repr=False)
    histograms: list[SnrHistogram] = dataclasses.field(default_factory=list, repr=False)
    layer_sparsities: list[LayerSparsity] = dataclasses.field(default_factory=list, repr=False)
    structures: list[StructureProbabilities] = dataclasses.field(default_factory=list, repr=False)
    metric: Metric = dataclasses.field(default=ACCURACY, repr=False)

    @property
    def rows(self) -> list[Candidate]:
        """The trace, by the name that it has in a comparison."""
        return self.trace

    def report(
        self,
        path: str | os.PathLike[str] | None = None,
        command: str | None = None,
        files: dict[Any, str] | None = None,
    ) -> str:
        """The search as one web page, as in `cvhn_tf.export.report`."""
        return report(self, path, command, files)

    def save(self, path: str | os.PathLike[str]) -> pathlib.Path:
        """Writes the file whole or not at all."""
        return self.artifact.save(path)

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str:
        """The trace as CSV; written to `path` too if it is given."""
        return as_csv(Candidate, self.trace, path, self.metric)


def best(
    model: VariationalHypernetwork,
    data: tuple[Any, Any] | tf.data.Dataset,
    *,
    max_bytes: float | None = None,
    max_gzip_bytes: float | None = None,
    max_description_bits: float | None = None,
    max_latency_ms: float | None = None,
    max_arena_bytes: float | None = None,
    max_multiply_adds: float | None = None,
    min_accuracy: float | None = None,
    min_metric: float | None = None,
    max_metric: float | None = None,
    complexities: Sequence[float] | None = None,
    sparsities: Sequence[float] | None = None,
    structures: Sequence[str] | None = None,
    quantizations: Sequence[str | None] | None = None,
    representative_data: Any = None,
    labels: Sequence[str] | None = None,
    client: str | Sequence[str] = "any",
    metric: Any = "accuracy",
    direction: str = "auto",
    include_frozen: bool = False,
    verbose: bool = False,
) -> Best:
    """The most accurate file within budgets; with `min_accuracy`, the smallest that keeps it and the other budgets.

    With another `metric` the best one in it; with `min_metric` or `max_metric` the smallest. Of files of one size it is
    the more accurate one.

    The search halves sparsity and goes from coarse to fine in λ, so it does not try everything: a better file may lie
    between what was tried. Networks are judged in Keras on a part of the examples first, and their files by a bound on
    their size; the file that is returned, and all that it was chosen from, were run by LiteRT on all examples. Where
    weights become integers, they are rounded by `round_weights` first. With `max_latency_ms` networks pass through
    `polyphase`; files that leave zeros out are tried too: by `fast_sparse` for `client="web"`, and for `"cpu"` ones
    more of whose layers read sparse weights by themselves than by rule, where that takes less time on this machine.

    **The data select the file, so its accuracy on them is too good.** Give examples that were kept apart for choosing,
    and report the accuracy on others, by `evaluate_tflite(found.artifact, x_other, y_other)`.

    Args:
        model: `cvhn_tf.VariationalHypernetwork` of a classifier, or of any network with another `metric`.
        data: Pair of arrays (x, y) or `tf.data.Dataset` of batches of such pairs, with class labels; with another
            metric as in `compare`.
        max_bytes: Largest size of the file in bytes.
        max_gzip_bytes: Largest size after gzip in bytes.
        max_description_bits: Largest `model.description_length(λ)` in bits, before pruning.
        max_latency_ms: Longest median time in ms for one example on one thread of this machine, with `client="web"` in
            LiteRT.js as in `evaluate_tflite`; not for `client="gpu"` or `"micro"`, of which that says nothing.
        max_arena_bytes: Largest memory in bytes for the tensors in tflite-micro, measured on this machine; with
            `client="micro"` and the extra `micro` only.
        max_multiply_adds: Most multiply-adds of the file's network for one example, those by zeros included.
        min_accuracy: Least accuracy of the file on the data, in [0, 1].
        min_metric: Least value of a `metric` of which large ones are good.
        max_metric: Largest value of a `metric` of which small ones are good.
        complexities: λs to try; by default the search chooses them from the model's range.
        sparsities: Shares of pruned weights to try; by default the search chooses them.
        structures: Those of `prune` to try; by default those that any network has, all but `"pointwise"`.
        quantizations: Those of `to_tflite` to try; by default all that the client computes and for which there are
            the packages, `"int8"` only if there is representative data.
        representative_data: As in `to_tflite`. Take some hundreds of training examples for a network with batch
            normalization, which `recalibrate` gives the statistics of each pruned network then.
        labels: Names of the classes, to be written into the file as by `annotate`, beside complexity, sparsity and
            structure. They count as part of its size.
        client: As in `to_tflite`: what will run the file.
        metric: What files are compared by, as in `compare`. Of another metric than accuracy it is not known how far a
            part of the examples may be off, so that networks are judged on all of them.
        direction: As in `compare`.
        include_frozen: As in `prune`.
        verbose: Whether to show progress on stderr. A search makes ten to some hundred files, each in a second or more,
            most of them where many networks are equally accurate, as those are that have learned nothing. Fewer
            `complexities`, `structures` and `quantizations` make it shorter.

    Returns:
        `Best`, with the file as its `artifact` and what was tried as its `trace`.

    Raises:
        ValueError: If an argument is out of range, no budget is given or the metric does not take the labels, before
            anything is tried; if no file keeps the budgets, with the nearest one that was found.
        ModuleNotFoundError: If a package is needed and not installed.

    Example:

    ```python
    found = export.best(model, (x_validation, y_validation), max_bytes=50_000)
    print(found.chosen.size_bytes, export.evaluate_tflite(found.artifact, x_test, y_test).accuracy)
    found.save("model.tflite")
    ```
    """
    judge = as_metric(metric, direction)
    budgets = Budgets(
        max_bytes,
        max_gzip_bytes,
        max_description_bits,
        max_latency_ms,
        max_arena_bytes,
        max_multiply_adds,
        min_accuracy,
        min_metric,
        max_metric,
        judge,
    )
    runner = as_client(client)
    if max_arena_bytes is not None and "micro" not in runner.names:
        raise ValueError(f"Expected client='micro' with `max_arena_bytes`. Received: client={runner.argument}")
    if max_arena_bytes is not None:
        micro.check_is_available()
    if max_latency_ms is not None and runner.speed is None:
        raise ValueError(
            f"Expected no `max_latency_ms` for client={runner.argument}, of which the time on this machine says "
            f"nothing. Received: max_latency_ms={max_latency_ms!r}"
        )
    check_model(model)
    if complexities is not None:
        complexities = model.complexity_range.grid_or(as_list("complexities", complexities))
    sparsities = as_list("sparsities", sparsities)
    for sparsity in sparsities or ():
        check_sparsity(sparsity, name="sparsities")
    structures = as_list("structures", structures) or _of_any_network()
    for structure in structures:
        check_structure(structure)
    check_truth("include_frozen", include_frozen)
    if quantizations is None:
        quantizations = available_quantizations(representative_data is not None, runner)
    quantizations = as_list("quantizations", quantizations)
    check_quantizations(quantizations, representative_data, runner)
    data = as_arrays(data) if judge is ACCURACY else data
    network = model.at(model.complexity_range.low)
    check_convertible("model", network)
    check_client_takes(runner, network, quantizations)
    if max_multiply_adds is not None and multiply_adds_of(network) is None:
        raise ValueError(
            "Expected a network whose multiply-adds are known, with `max_multiply_adds`: of known sizes, and of dense, "
            f"convolutional and recurrent layers. Received: max_multiply_adds={max_multiply_adds!r}"
        )
    judge = judge.for_outputs(output_names(network))
    budgets = dataclasses.replace(budgets, metric=judge)
    x, y = judge.examples(network, data)
    if representative_data is not None:
        as_input_arrays(network, representative_data)
    if labels is not None:
        check_class_names(labels, network.outputs[0].shape[-1])

    is_sparse = runner.sparse is None or runner.by_channels
    by_channels, for_speed = runner.reads_by_channels_alone, max_latency_ms is not None
    prunings = Prunings(model, x, y, representative_data, for_speed, is_sparse, by_channels, judge, include_frozen)

    def searched(some_budgets):
        trials = Trials(prunings, some_budgets, quantizations, x, y, representative_data, labels, runner)
        with progress_bar("Searching", verbose) as advance:
            search(
                trials,
                model.complexity_range,
                complexities,
                sparsities,
                structures,
                lambda done, total: advance(done, total, _found(trials)),
            )
        return trials

    trials = searched(budgets)
    if trials.best is None:
        others = None
        if budgets.seek_smallest and len(budgets.given()) > 1:
            others = searched(budgets.without_bound())
        raise ValueError(describe_nearest(trials, others))
    made = prunings.histograms, prunings.layer_sparsities, prunings.structures
    return Best(trials.artifact, trials.best, trials.trace, *made, judge)


def _of_any_network():
    return [name for name, kind in STRUCTURES.items() if kind.choose_kernels is None]


def _found(trials):
    """What a search has found so far, in words."""
    found = f"{len(trials.trace)} tried"
    if trials.best is not None:
        found += f", best: {trials.metric.words(trials.metric.of(trials.best))} in {trials.best.size_bytes:,} bytes"
    return found
