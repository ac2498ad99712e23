"""One thing that a search within budgets has tried, and what came of it."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A network, or a file of it, with as much as was measured before it was accepted or refused.

    Args:
        complexity: λ of the network.
        sparsity: Share of its weights that were pruned; None if all networks at this λ were refused.
        structure: As in `prune`; None likewise.
        encoding: `"float32"` or a quantization of `to_tflite`; None if the network was refused before it had any.
        sparse: Whether zeros are stored in a sparse encoding; None if there was no file.
        description_length_bits: KL of the posterior at this λ in bits, before pruning.
        estimated_accuracy: Accuracy of the pruned network in Keras on a part of the data.
        size_bytes: Size of the file in bytes.
        gzip_bytes: Its size after gzip in bytes.
        latency_ms: Median time in ms for one example on one thread of this machine, in `latency_client`.
        accuracy: Accuracy of the file in LiteRT on all the data; None where another metric was asked for.
        calibration_error: Its expected calibration error there.
        accepted: Whether the file keeps all budgets.
        reason: Why it was not accepted.
        unquantized_bytes: Bytes of the tensors that the encoding has passed over.
        arena_bytes: Memory in bytes for the tensors in tflite-micro, where it has a budget.
        multiply_adds: Multiply-adds of the file's network for one example, those by zeros included; None where they
            cannot be told.
        choices: What is chosen at this λ, where the target has choices, as in `Row`.
        latency_client: What took the time, as in `Row`.
        estimated_metric: Value of another metric than accuracy, where one was asked for, of the pruned network in
            Keras.
        metric: Its value of the file in LiteRT.
    """

    complexity: float
    sparsity: float | None = None
    structure: str | None = None
    encoding: str | None = None
    sparse: bool | None = None
    description_length_bits: float | None = None
    estimated_accuracy: float | None = None
    size_bytes: int | None = None
    gzip_bytes: int | None = None
    latency_ms: float | None = None
    accuracy: float | None = None
    calibration_error: float | None = None
    accepted: bool = False
    reason: str | None = None
    unquantized_bytes: int | None = None
    arena_bytes: int | None = None
    multiply_adds: int | None = None
    choices: str = ""
    latency_client: str = ""
    estimated_metric: float | None = None
    metric: float | None = None

    def settings(self) -> str:
        """How to make it, in words."""
        return (
            f"complexity={self.complexity:g}, sparsity={self.sparsity:g}, structure={self.structure}, "
            f"encoding={self.encoding}"
        )
