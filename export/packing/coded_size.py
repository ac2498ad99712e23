"""The real code length of a network: its bytes once it is coded and decoded again, beside its KL in bits."""

import dataclasses
from typing import Any

import tensorflow as tf

from cvhn_tf.export.evaluation.class_accuracy import accuracy
from cvhn_tf.export.evaluation.labelled_examples import as_examples
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
        accuracy: Accuracy of the decoded network; None without data.
        kl_bits: KL of the posterior in bits, before pruning. A code length under a fixed prior only, and then of
            another code (bits back): see `VariationalHypernetwork.description_length`.
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
        data: Pair of arrays (x, y) or `tf.data.Dataset` of batches of such pairs, with class labels; None for no
            accuracy.
        step: As in `pack`.
        rate_weight: As in `pack`.
        scope: As in `prune`.
        representative_data: As in `pack`.

    Raises:
        ValueError: As in `pack`, or if `data` has no class labels.
    """
    check_model(model)
    examples = None if data is None else as_examples(model.at(complexity), data)
    packed = pack(model, complexity, sparsity, snr_threshold, step, rate_weight, scope, representative_data)
    measured = None
    if examples is not None:
        x, y = examples
        measured = accuracy(unpack(packed).predict(x, batch_size=1000, verbose=0), y)
    return CodedSize(
        complexity=float(complexity),
        sparsity=sparsity,
        step=step,
        rate_weight=rate_weight,
        weights_bytes=packed.weights_bytes,
        architecture_bytes=packed.architecture_bytes,
        weights_kept=packed.weights_kept,
        bits_per_kept_weight=packed.bits_per_kept_weight,
        accuracy=measured,
        kl_bits=model.description_length(complexity),
    )
