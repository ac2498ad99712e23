"""What a comparison says of one file."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Row:
    """One file of a comparison.

    Args:
        complexity: λ of the network.
        sparsity: Share of its weights that were pruned.
        quantization: As in `to_tflite`.
        sparse: Whether zeros are stored in a sparse encoding.
        description_length_bits: KL of the posterior at this λ in bits, before pruning.
        parameters_kept: Number of parameters that are not zero.
        size_bytes: Size of the file in bytes.
        gzip_bytes: Its size after gzip in bytes.
        keras_accuracy: Accuracy of the pruned network in Keras; None where another metric was asked for.
        accuracy: Accuracy of the file in LiteRT; None likewise.
        latency_ms: Median time in ms for one example on one thread of this machine, in `latency_client`.
        pareto: Whether no other row is as accurate at a smaller size, or more accurate at the same; with another
            metric, as good in it, or better.
        calibration_error: Expected calibration error of the file in LiteRT, 15 bins; None where its outputs are no
            probabilities.
        structure: What was pruned as one, as in `prune`.
        unquantized_bytes: Bytes of the tensors that the encoding has passed over.
        choices: What is chosen at this λ, such as `"block_1=2 block_2=0"`, where the target has choices.
        multiply_adds: Multiply-adds of the network in the file for one example, those by zeros included; None where
            they cannot be told.
        latency_client: What took that time, with its version: LiteRT, or LiteRT.js in Node.js.
        keras_metric: Value of another metric than accuracy, where one was asked for, of the pruned network in Keras.
            Tables call it after the metric, as `keras_mse`, in the place of accuracy.
        metric: Its value of the file in LiteRT.
    """

    complexity: float
    sparsity: float
    quantization: str | None
    sparse: bool
    description_length_bits: float
    parameters_kept: int
    size_bytes: int
    gzip_bytes: int
    keras_accuracy: float | None
    accuracy: float | None
    latency_ms: float
    pareto: bool = False
    calibration_error: float | None = None
    structure: str = "weight"
    unquantized_bytes: int = 0
    choices: str = ""
    multiply_adds: int | None = None
    latency_client: str = ""
    keras_metric: float | None = None
    metric: float | None = None

    @property
    def encoding(self) -> str:
        """The quantization by its name, `"float32"` where there is none."""
        return self.quantization or "float32"


@dataclasses.dataclass(frozen=True)
class Skipped:
    """A combination that gave no working file, and why."""

    complexity: float
    sparsity: float
    quantization: str | None
    reason: str
