"""The smallest TFLite file that loses no more accuracy than is allowed."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from cvhn_tf.checks.arguments import check_share
from cvhn_tf.checks.finite_weights import check_finite_weights
from cvhn_tf.export.clients.table import as_client
from cvhn_tf.export.conversion.convert import to_tflite_from
from cvhn_tf.export.conversion.frozen_graphs import FrozenGraphs
from cvhn_tf.export.conversion.quantizations import available_quantizations
from cvhn_tf.export.evaluation.accuracy_loss import loses_more, with_accuracies
from cvhn_tf.export.evaluation.evaluate import evaluate_tflite
from cvhn_tf.export.evaluation.labelled_examples import as_examples
from cvhn_tf.export.networks.check_network import check_convertible, check_network
from cvhn_tf.export.networks.full_precision import in_float32
from cvhn_tf.export.tflite.artifact import TFLiteArtifact
from cvhn_tf.export.tflite.encodings import ENCODINGS
from cvhn_tf.export.verification.inputs import verification_inputs
from cvhn_tf.export.verification.litert import LiteRTModel
from cvhn_tf.export.verification.verify import ConversionError, verify

# Without labelled data: share of the outputs' root mean square by which a file may differ from the Keras model.
_LARGEST_ERROR = 0.05


def smallest(
    keras_model: keras.Model,
    representative_data: Any = None,
    data: tuple[Any, Any] | tf.data.Dataset | None = None,
    max_accuracy_loss: float = 0.001,
    rounded: Mapping[int, keras.Model] | None = None,
    client: str | Sequence[str] = "any",
) -> TFLiteArtifact:
    """The smallest working file over all encodings of a client among those as good as the float32 file, or nearly.

    With labelled data, those are the files whose accuracy on it is at most `max_accuracy_loss` below the float32
    file's. Without, those whose outputs differ from the Keras model's by at most 5% (root mean square, as a share of
    the outputs' own), on `representative_data` or, without it, on random inputs; then `max_accuracy_loss` counts for
    nothing. `"int8"` takes part if there is representative data, weight-only encodings and 4 bits if the client
    computes them and ai-edge-quantizer is installed.

    Smallest is not fastest: the file that is returned has its `latency_ms`, and with labelled data its `accuracy`
    beside that of the float32 file.

    Args:
        keras_model: Built functional or Sequential Keras model.
        representative_data: As in `to_tflite`.
        data: Pair of arrays (x, y) or `tf.data.Dataset` of batches of such pairs, with class labels; better not the
            data that the chosen file is judged by later.
        max_accuracy_loss: Accuracy that may be lost, in [0, 1]: 0.001 is a tenth of a percentage point.
        rounded: Dict from 8 and 4 bits to the same network with the weights that `round_weights` made for them.
            Encodings of so many bits are then made of these; float32 and float16 are tried with the 8-bit one too.
        client: As in `to_tflite`: what will run the file.

    Raises:
        ValueError: If an argument is out of range, before anything is converted.
        ConversionError: If there is no such file.
    """
    check_share("max_accuracy_loss", max_accuracy_loss)
    if not set(rounded or ()) <= {8, 4}:
        raise ValueError(f"Expected `rounded` for 8 and 4 bits. Received: rounded for {list(rounded or ())}")
    runner = as_client(client)
    check_network("keras_model", keras_model)
    check_convertible("keras_model", keras_model)
    check_finite_weights("keras_model", keras_model)
    examples = None if data is None else as_examples(keras_model, data)
    keras_model = in_float32(keras_model)
    inputs = verification_inputs(keras_model, representative_data)
    artifacts, failures, graphs = [], [], FrozenGraphs()
    for quantization in available_quantizations(representative_data is not None, runner):
        for model in _models(keras_model, quantization, rounded or {}):
            try:
                artifacts.append(to_tflite_from(graphs, model, quantization, "auto", representative_data, runner))
            except ConversionError as failure:
                failures.append(str(failure))
    if examples is not None and artifacts:
        exact = to_tflite_from(graphs, keras_model, sparse=False, client=runner)
        float_accuracy = evaluate_tflite(exact, *examples).accuracy
    for artifact in sorted(artifacts, key=lambda artifact: artifact.size_bytes):
        if examples is not None:
            measured = evaluate_tflite(artifact, *examples)
            if not loses_more(float_accuracy, measured.accuracy, max_accuracy_loss):
                return with_accuracies(artifact, measured, float_accuracy, max_accuracy_loss)
        elif _error(artifact, keras_model, inputs) <= _LARGEST_ERROR:
            return dataclasses.replace(artifact, latency_ms=LiteRTModel(artifact).latency_ms(inputs))
    raise ConversionError("; ".join(failures) or "No file is as good as the float32 file")


def _models(keras_model, quantization, rounded):
    integer_bits = ENCODINGS[quantization].integer_bits
    if integer_bits is not None:
        return [rounded.get(integer_bits, keras_model)]
    return [keras_model, *(rounded[bits] for bits in rounded if bits == 8)]


def _error(artifact, keras_model, inputs):
    try:
        return verify(artifact.content, keras_model, artifact.quantization, inputs).relative_error
    except ConversionError:  # of a rounded network that is too far away
        return float("inf")
