"""The smallest packed file of an accuracy or another metric, by trying complexities, sparsities and steps."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from cvhn_tf.checks.arguments import check_share, check_truth
from cvhn_tf.checks.arrays import as_input_arrays
from cvhn_tf.export.evaluation.as_metric import as_metric
from cvhn_tf.export.evaluation.keras_metric import output_names
from cvhn_tf.export.evaluation.keras_outputs import BATCH, as_taken
from cvhn_tf.export.evaluation.progress_bar import progress_bar
from cvhn_tf.export.networks.judges import Judges
from cvhn_tf.export.packing.network_coding import encode_weights
from cvhn_tf.export.packing.packed import PackedModel, pack_network, with_statistics
from cvhn_tf.export.pruning.prune import as_list, check_model, check_sparsity
from cvhn_tf.export.rounding.step_grid import check_step, round_to_steps
from cvhn_tf.hypernetwork import VariationalHypernetwork


def smallest_packed(
    model: VariationalHypernetwork,
    data: tuple[Any, Any] | tf.data.Dataset,
    min_accuracy: float | None = None,
    complexities: Sequence[float] | None = None,
    sparsities: Sequence[float] = (0.95,),
    steps: Sequence[float] = (2.0, 3.0),
    rate_weights: Sequence[float] = (0.15, 0.3, 0.6),
    progress: Callable[..., object] | None = None,
    representative_data: Any = None,
    *,
    min_metric: float | None = None,
    max_metric: float | None = None,
    metric: Any = "accuracy",
    direction: str = "auto",
    verbose: bool = False,
) -> PackedModel | None:
    """The smallest packed network that is accurate enough, or good enough in another metric. No training.

    Choose on examples that were kept apart for it, and measure the choice on others: the best of many on one test set
    looks better than it is.

    Args:
        model: `cvhn_tf.VariationalHypernetwork`.
        data: Pair of arrays (x, y) or `tf.data.Dataset` of batches of such pairs, with class labels; with another
            metric as in `compare`.
        min_accuracy: Least accuracy of the rounded network on them, in [0, 1].
        complexities: λs; by default nine over the model's range, evenly spaced in log λ.
        sparsities: Shares of pruned weights. Rounding by rate prunes more, so few are enough.
        steps: Quantization steps in posterior stddevs.
        rate_weights: Weights of the code length in rounding.
        progress: Called as `progress(complexity, sparsity, step, rate_weight, accuracy, code_bytes)` after each one,
            with the value of another metric in the place of the accuracy; `code_bytes`, the length of the weights'
            code, is None for a network that is not good enough.
        representative_data: As in `pack`.
        min_metric: Least value of a `metric` of which large ones are good, in the place of `min_accuracy`.
        max_metric: Largest value of a `metric` of which small ones are good, such as a loss.
        metric: What networks are judged by, as in `compare`.
        direction: As in `compare`.
        verbose: Whether to show a bar on stderr, with the time left.

    Returns:
        `PackedModel`, or None if none is good enough.

    Raises:
        ValueError: If an argument is out of range, the bound is none of the metric, or the metric does not take the
            labels, before anything is tried.
    """
    check_model(model)
    judge = as_metric(metric, direction)
    if min_accuracy is not None:
        check_share("min_accuracy", min_accuracy)
    least_score = judge.least_allowed(min_accuracy, min_metric, max_metric)
    if least_score is None:
        raise ValueError(f"Expected `{judge.bound}`, which says what is good enough. Received: {judge.bound}=None")
    complexities = model.complexity_range.grid_or(as_list("complexities", complexities))
    # An empty list is refused by `as_list`, which takes None for a search's own choice.
    sparsities, steps, rate_weights = (
        as_list(name, () if values is None else values)
        for name, values in (("sparsities", sparsities), ("steps", steps), ("rate_weights", rate_weights))
    )
    for sparsity in sparsities:
        check_sparsity(sparsity, name="sparsities")
    for step in steps:
        for rate_weight in rate_weights:
            check_step(step, rate_weight)
    judges, best = Judges(model), None
    network = judges.at(model.complexity_range.low)
    judge = judge.for_outputs(output_names(network))
    x, y = judge.examples(network, data)
    if representative_data is not None:
        as_input_arrays(network, representative_data)
    settings = list(itertools.product(complexities, sparsities, steps, rate_weights))
    with progress_bar("Packing", check_truth("verbose", verbose)) as advance:
        for done, (complexity, sparsity, step, rate_weight) in enumerate(settings, 1):
            network, tensors = round_to_steps(model, complexity, sparsity, step=step, rate_weight=rate_weight)
            network = with_statistics(network, tensors, representative_data)
            measured = judge.value(_outputs(judges.at(complexity), network, tensors, x), y)
            is_good = measured is not None and judge.score_of(measured) >= least_score
            size = len(encode_weights(network, tensors)[0]) if is_good else None
            if size is not None and (best is None or size < best[0]):
                best = size, network, tensors
            advance(done, len(settings), "none good enough yet" if best is None else f"{best[0]:,} bytes of weights")
            if progress is not None:
                progress(complexity, sparsity, step, rate_weight, measured, size)
    return None if best is None else pack_network(*best[1:])


def _outputs(judging, network, tensors, x):
    """Outputs of the rounded network, computed by one of the same architecture, so that it is compiled once."""
    judging.set_weights(
        [
            weight if tensor is None else tensor.weights()
            for weight, tensor in zip(network.get_weights(), tensors, strict=True)
        ]
    )
    return keras.tree.flatten(judging.predict(as_taken(judging, x), batch_size=BATCH, verbose=0))
