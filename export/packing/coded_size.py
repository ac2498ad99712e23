"""The real code length of a network: its bytes once it is coded and decoded again, beside its KL in bits."""

import dataclasses
from typing import Any

import tensorflow as tf

from cvhn_tf.export.evaluation.as_metric import as_metric
from cvhn_tf.export.evaluation.keras_metric import output_names
from cvhn_tf.export.evaluation.keras_outputs import all_outputs
from cvhn_tf.export.packing.packed import pack, unpack
from cvhn_tf.export.pruning.prune import check_model
from cvhn_tf.hypernetwork import VariationalHypernetwork


@dataclasses.dataclass(frozen=True)
class CodedSize:
    """What a network measures once its weights are coded.

    Args:
        complexity: λ of the network.
        sparsity: Share of the weights that `prune` set to zero; None if it went by a threshold.
        step: Quantization step in posterior stddevs.
        rate_weight: Weight of the code length in rounding.
        weights_bytes: Bytes of the weights' code and of the file's header.
        architecture_bytes: Bytes of the compressed architecture, which come on top.
        weights_kept: Number of weights, biases among them, that are not zero.
        bits_per_kept_weight: `8 * weights_bytes / weights_kept`.
        accuracy: Accuracy of the decoded network; None without data, or with another metric.
        kl_bits: KL of the posterior in bits, before pruning. A code length under a fixed prior only, and then of
            another code (bits back): see `VariationalHypernetwork.description_length`.
        metric: Value of another metric than accuracy; None without one.
    """

    complexity: float
    sparsity: float | None
    step: float
    rate_weight: float
    weights_bytes: int
    architecture_bytes: int
    weights_kept: int
    bits_per_kept_weight: float
    accuracy: float | None
    kl_bits: float
    metric: float | None = None


def entropy_coded_size(
    model: VariationalHypernetwork,
    complexity: float,
    sparsity: float | None = None,
    snr_threshold: float | None = None,
    data: tuple[Any, Any] | tf.data.Dataset | None = None,
    step: float = 2.0,
    rate_weight: float = 0.3,
    scope: str = "global",
    representative_data: Any = None,
    *,
    metric: Any = "accuracy",
    direction: str = "auto",
) -> CodedSize:
    """Codes the network at a complexity, decodes it, and measures both.

    This is a description length that can be held in the hand. The KL under `AutomaticRelevance` is none: its prior is
    fitted to each weight, and nobody has told the receiver of it. Here everything that the receiver needs is counted:
    which weights are kept, their signs and magnitudes at the step, biases, normalization weights and the steps.

    Args:
        model: `cvhn_tf.VariationalHypernetwork`.
        complexity: λ of the network.
        sparsity: As in `prune`.
        snr_threshold: As in `prune`.
        data: Pair of arrays (x, y) or `tf.data.Dataset` of batches of such pairs, with class labels, or with another
            metric as in `compare`; None for no accuracy.
        step: As in `pack`.
        rate_weight: As in `pack`.
        scope: As in `prune`.
        representative_data: As in `pack`.
        metric: What the decoded network is judged by, as in `compare`.
        direction: As in `compare`.

    Raises:
        ValueError: As in `pack`, or if the metric does not take the labels of `data`.
    """
    check_model(model)
    judge = as_metric(metric, direction)
    if data is not None:
        network = model.at(complexity)
        judge = judge.for_outputs(output_names(network))
        x, y = judge.examples(network, data)
    packed = pack(model, complexity, sparsity, snr_threshold, step, rate_weight, scope, representative_data)
    measured = {} if data is None else {judge.field: judge.value(all_outputs(unpack(packed), x), y)}
    return CodedSize(
        complexity=float(complexity),
        sparsity=sparsity,
        step=step,
        rate_weight=rate_weight,
        weights_bytes=packed.weights_bytes,
        architecture_bytes=packed.architecture_bytes,
        weights_kept=packed.weights_kept,
        bits_per_kept_weight=packed.bits_per_kept_weight,
        accuracy=measured.get("accuracy"),
        kl_bits=model.description_length(complexity),
        metric=measured.get("metric"),
    )
