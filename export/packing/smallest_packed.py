"""The smallest packed file of an accuracy, by trying complexities, sparsities and steps."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from cvhn_tf.checks.arguments import check_share
from cvhn_tf.checks.arrays import as_input_arrays
from cvhn_tf.export.evaluation.class_accuracy import accuracy
from cvhn_tf.export.evaluation.labelled_examples import as_examples
from cvhn_tf.export.networks.judges import Judges
from cvhn_tf.export.packing.network_coding import encode_weights
from cvhn_tf.export.packing.packed import PackedModel, pack_network, with_statistics
from cvhn_tf.export.pruning.prune import as_list, check_model, check_sparsity
from cvhn_tf.export.rounding.step_grid import check_step, round_to_steps
from cvhn_tf.hypernetwork import VariationalHypernetwork


def smallest_packed(
    model: VariationalHypernetwork,
    data: tuple[Any, Any] | tf.data.Dataset,
    min_accuracy: float,
    complexities: Sequence[float] | None = None,
    sparsities: Sequence[float] = (0.95,),
    steps: Sequence[float] = (2.0, 3.0),
    rate_weights: Sequence[float] = (0.15, 0.3, 0.6),
    progress: Callable[..., object] | None = None,
    representative_data: Any = None,
) -> PackedModel | None:
    """The smallest packed network that is accurate enough. No training.

    Choose on examples that were kept apart for it, and measure the choice on others: the best of many on one test set
    looks better than it is.

    Args:
        model: `cvhn_tf.VariationalHypernetwork`.
        data: Pair of arrays (x, y) or `tf.data.Dataset` of batches of such pairs, with class labels.
        min_accuracy: Least accuracy of the rounded network on them, in [0, 1].
        complexities: λs; by default nine over the model's range, evenly spaced in log λ.
        sparsities: Shares of pruned weights. Rounding by rate prunes more, so few are enough.
        steps: Quantization steps in posterior stddevs.
        rate_weights: Weights of the code length in rounding.
        progress: Called as `progress(complexity, sparsity, step, rate_weight, accuracy, code_bytes)` after each one;
            `code_bytes`, the length of the weights' code, is None for a network that is not accurate enough.
        representative_data: As in `pack`.

    Returns:
        `PackedModel`, or None if none is accurate enough.

    Raises:
        ValueError: If an argument is out of range, before anything is tried.
    """
    check_model(model)
    check_share("min_accuracy", min_accuracy)
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
    x, y = as_examples(judges.at(model.complexity_range.low), data)
    if representative_data is not None:
        as_input_arrays(judges.at(model.complexity_range.low), representative_data)
    for complexity in complexities:
        judge = judges.at(complexity)
        for sparsity in sparsities:
            for step in steps:
                for rate_weight in rate_weights:
                    network, tensors = round_to_steps(model, complexity, sparsity, step=step, rate_weight=rate_weight)
                    network = with_statistics(network, tensors, representative_data)
                    measured = _accuracy(judge, network, tensors, x, y)
                    size = len(encode_weights(network, tensors)[0]) if measured >= min_accuracy else None
                    if progress is not None:
                        progress(complexity, sparsity, step, rate_weight, measured, size)
                    if size is not None and (best is None or size < best[0]):
                        best = size, network, tensors
    return None if best is None else pack_network(*best[1:])


def _accuracy(judge, network, tensors, x, y):
    """Accuracy of the rounded network, measured by one of the same architecture, so that it is compiled once."""
    judge.set_weights(
        [
            weight if tensor is None else tensor.weights()
            for weight, tensor in zip(network.get_weights(), tensors, strict=True)
        ]
    )
    return accuracy(judge.predict(x, batch_size=1000, verbose=0), y)
