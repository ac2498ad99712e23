"""No file is handed over that LiteRT does not run, or that does not do what its Keras model does."""

import dataclasses
import importlib.metadata
import time

import keras
import numpy as np

from cvhn_tf.export.clients.client import Client
from cvhn_tf.export.clients.table import CLIENTS
from cvhn_tf.export.tflite.encodings import ENCODINGS
from cvhn_tf.export.verification import micro, web
from cvhn_tf.export.verification.activity import Variation
from cvhn_tf.export.verification.litert import LiteRTModel
from cvhn_tf.export.verification.reference import Reference
from cvhn_tf.export.verification.requantization import unscalable_output

# After so long no further batch is begun.
_MOST_SECONDS = 5.0
# Beside LiteRT: tflite-micro's kernels on this machine are its slow, portable ones, and LiteRT.js gets numbers as text.
_FEW = 8
_LITERT = "ai-edge-litert"
_WITHOUT_MICRO = (
    "The file was not run by tflite-micro, whose package is not installed: pip install 'cvhn-tf[micro]' has it checked"
)


class ConversionError(RuntimeError):
    """A combination of architecture and encoding that gives no working TFLite file."""


class OutputsDifferError(ConversionError):
    """LiteRT runs the file, and its outputs are not those of the Keras model."""


@dataclasses.dataclass(frozen=True)
class Verification:
    """A file that did in LiteRT what its Keras model does.

    Args:
        relative_error: Root mean square of the difference, as a share of the outputs' root mean square; the worst
            output's.
        examples: Number of examples that were compared.
        caveats: Sentences on what the comparison could not see.
        clients: Names and versions of what ran the file.
    """

    relative_error: float
    examples: int
    caveats: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()


def verify(
    content: bytes,
    keras_model: keras.Model,
    quantization: str | None,
    inputs: list[np.ndarray],
    tolerance: float | None = None,
    client: Client = CLIENTS["any"],
    reference: Reference | None = None,
) -> Verification:
    """Runs the file with LiteRT beside the Keras model, and with what it is made for where that is at hand.

    tflite-micro is, for `"micro"`, where its package is installed; LiteRT.js, for `"web"`, where `web.VARIABLE` is set.

    Where the outputs do not vary, or most units with ReLU give zero, other inputs are drawn, of both signs and ever
    larger, until the outputs vary. Not for `"int8"`, whose activations hold what was calibrated and no more.

    Args:
        content: The file, of which `check_scalable` has raised nothing.
        keras_model: Built functional or Sequential Keras model.
        quantization: As in `to_tflite`.
        inputs: Those of `verification_inputs`. They are compared batch by batch, for five seconds at most.
        tolerance: Largest relative error; by default that of the encoding.
        client: `Client` that will run the file.
        reference: `Reference` of the model and the inputs, which several files share.

    Returns:
        `Verification`.

    Raises:
        ConversionError: If one of them refuses the file, or gives other outputs.
    """
    if tolerance is None:
        tolerance = ENCODINGS[quantization].tolerance
    advice = ENCODINGS[quantization].advice + ENCODINGS[quantization].alternatives(client.encodings)
    litert = _open(content, keras_model)
    if reference is None:
        reference = Reference(keras_model, inputs)
    comparison = _compare(litert, reference, tolerance, advice)
    comparisons = [comparison]
    calibrated = ENCODINGS[quantization].calibrated
    if not calibrated and (comparison.constant or reference.is_mostly_dead):
        for further in reference.further():
            comparisons.append(_compare(litert, further, tolerance, advice))
            if not (comparison.constant and comparisons[-1].constant):
                break
    constant = set.intersection(*(set(comparison.constant) for comparison in comparisons))
    caveats: tuple[str, ...] = _caveats(sorted(constant), keras_model)
    clients: tuple[str, ...] = (f"LiteRT {importlib.metadata.version(_LITERT)}",)
    examples = sum(comparison.examples for comparison in comparisons)
    few = Reference(keras_model, [array[:_FEW] for array in inputs])
    if "micro" in client.names:
        if micro.is_available():
            comparisons.append(_compare(_open_micro(content), few, tolerance, advice, "tflite-micro"))
            clients += (micro.version(),)
        else:
            caveats += (_WITHOUT_MICRO,)
    if "web" in client.names and web.is_available():
        comparisons.append(_compare(web.WebModel(content), few, tolerance, advice, "LiteRT.js"))
        clients += (web.version(),)
    return Verification(
        max(comparison.relative_error for comparison in comparisons),
        examples,
        caveats,
        clients,
    )


def check_scalable(model) -> None:
    """Raises a `ConversionError` if LiteRT could not scale the integers of a layer back; it may end the process.

    Args:
        model: `ModelT`. What stands here runs a file only once that was checked.
    """
    unscalable = unscalable_output(model)
    if unscalable is not None:
        raise ConversionError(
            f"LiteRT cannot run the file: the outputs of a layer, '{unscalable}', were all nearly zero on "
            "`representative_data`, so that 8-bit integers have no scale for them. `compact` removes units that "
            "never fire"
        )


@dataclasses.dataclass(frozen=True)
class _Comparison:
    """`relative_error` and `examples` as in `Verification`; `constant` holds the places of outputs that do not vary."""

    relative_error: float
    examples: int
    constant: tuple[int, ...]


def _open_micro(content):
    try:
        return micro.MicroModel(content)
    except RuntimeError as error:
        raise ConversionError(f"tflite-micro cannot run the file: {error}") from error


def _open(content, keras_model):
    try:
        litert = LiteRTModel(content)
    except (RuntimeError, ValueError) as error:
        raise ConversionError(f"LiteRT cannot run the file: {error}") from error
    litert.order_inputs([tensor.name for tensor in keras_model.inputs])
    return litert


def _compare(litert, reference, tolerance, advice, runner="LiteRT"):
    """Runs both on the inputs of a `Reference`.

    Raises:
        ConversionError: If they differ.
    """
    keras_model, examples = reference.keras_model, 0
    errors = [_Error() for _ in keras_model.outputs]
    variations = [Variation() for _ in keras_model.outputs]
    until = time.monotonic() + _MOST_SECONDS
    while examples < len(reference.inputs[0]) and (examples == 0 or time.monotonic() < until):
        batch = reference.batch(examples)
        if examples > 0 and len(batch[0]) < reference.batch_size and keras_model.inputs[0].shape[0] is not None:
            break  # a model that takes batches of one size only
        expected = reference.outputs(examples)
        examples += len(batch[0])
        try:
            outputs = litert.run(batch)
        except (RuntimeError, ValueError) as error:
            raise ConversionError(f"{runner} cannot run the file: {error}") from error
        for off, variation, ours, theirs in zip(errors, variations, outputs, expected, strict=True):
            off.add(theirs, ours)
            variation.add(theirs)
    worst = float(np.max([error.relative for error in errors]))
    if not worst <= tolerance:  # also if it is NaN
        of_runner = "" if runner == "LiteRT" else f" in {runner}"
        raise OutputsDifferError(
            f"The file's outputs{of_runner} differ from the Keras model's: relative error {worst:.3g}, "
            f"more than {tolerance:g}" + (f". {advice}" if advice and worst > 0 else "")
        )
    return _Comparison(worst, examples, tuple(i for i, v in enumerate(variations) if v.is_constant))


class _Error:
    """The difference of two arrays as a share of the first one's size, summed up batch by batch."""

    def __init__(self):
        self._differences = self._squares = 0.0
        self._numbers = 0

    def add(self, expected, outputs):
        if expected.shape != outputs.shape or not np.isfinite(outputs).all():
            self._differences = float("nan")
            return
        expected = expected.astype("float64")
        self._differences += np.square(outputs - expected).sum()
        self._squares += np.square(expected).sum()
        self._numbers += expected.size

    @property
    def relative(self):
        numbers = max(self._numbers, 1)
        return float(np.sqrt(self._differences / numbers) / max(np.sqrt(self._squares / numbers), 1e-6))


def _caveats(constant, keras_model):
    """A sentence if outputs do not vary."""
    if not constant:
        return ()
    names = ", ".join(f"'{keras_model.outputs[i]._keras_history.operation.name}'" for i in constant)
    return (
        f"The file was checked on inputs for which the network gives (nearly) constant outputs ({names}), so the check "
        "says little about others",
    )
