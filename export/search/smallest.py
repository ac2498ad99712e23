"""The smallest TFLite file that loses no more accuracy than is allowed."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from cvhn_tf.checks.finite_weights import check_finite_weights
from cvhn_tf.export.clients.table import as_client
from cvhn_tf.export.conversion.convert import to_tflite_from
from cvhn_tf.export.conversion.frozen_graphs import FrozenGraphs
from cvhn_tf.export.conversion.quantizations import available_quantizations
from cvhn_tf.export.evaluation.accuracy_loss import allowed_loss, with_values
from cvhn_tf.export.evaluation.as_metric import as_metric
from cvhn_tf.export.evaluation.evaluate import evaluate_tflite
from cvhn_tf.export.evaluation.keras_metric import output_names
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
    max_accuracy_loss: float | None = None,
    rounded: Mapping[int, keras.Model] | None = None,
    client: str | Sequence[str] = "any",
    metric: Any = "accuracy",
    direction: str = "auto",
    max_metric_loss: float | None = None,
) -> TFLiteArtifact:
    """The smallest working file over all encodings of a client among those as good as the float32 file, or nearly.

    With labelled data, those are the files whose accuracy on it is at most `max_accuracy_loss` below the float32
    file's, or whose value of another `metric` is worse by at most the share `max_metric_loss`. Without, those whose
    outputs differ from the Keras model's by at most 5% (root mean square, as a share of the outputs' own), on
    `representative_data` or, without it, on random inputs; then what may be lost counts for nothing. `"int8"` takes
    part if there is representative data, weight-only encodings and 4 bits if the client computes them and
    ai-edge-quantizer is installed.

    Smallest is not fastest: the file that is returned has its `latency_ms`, and with labelled data its `accuracy`
    beside that of the float32 file.

    Args:
        keras_model: Built functional or Sequential Keras model.
        representative_data: As in `to_tflite`.
        data: Pair of arrays (x, y) or `tf.data.Dataset` of batches of such pairs, with class labels, or what another
            metric takes, as in `compare`; better not the data that the chosen file is judged by later.
        max_accuracy_loss: Accuracy that may be lost, in [0, 1]; by default 0.001, a tenth of a percentage point.
        rounded: Dict from 8 and 4 bits to the same network with the weights that `round_weights` made for them.
            Encodings of so many bits are then made of these; float32 and float16 are tried with the 8-bit one too.
        client: As in `to_tflite`: what will run the file.
        metric: What files are compared by, as in `compare`.
        direction: As in `compare`.
        max_metric_loss: Share of the float32 file's value of another metric than accuracy by which a file may be worse,
            in [0, 1]; by default 0.01, a hundredth of it.

    Raises:
        ValueError: If an argument is out of range, or the metric does not take the labels, before anything is
            converted.
        ConversionError: If there is no such file.
    """
    judge = as_metric(metric, direction)
    allowed = allowed_loss(judge, max_accuracy_loss, max_metric_loss, 0.001)
    if not set(rounded or ()) <= {8, 4}:
        raise ValueError(f"Expected `rounded` for 8 and 4 bits. Received: rounded for {list(rounded or ())}")
    runner = as_client(client)
    check_network("keras_model", keras_model)
    check_convertible("keras_model", keras_model)
    check_finite_weights("keras_model", keras_model)
    judge = judge.for_outputs(output_names(keras_model))
    examples = None if data is None else judge.examples(keras_model, data)
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
        float_value = judge.of(evaluate_tflite(exact, *examples, metric=judge))
    for artifact in sorted(artifacts, key=lambda artifact: artifact.size_bytes):
        if examples is not None:
            measured = evaluate_tflite(artifact, *examples, metric=judge)
            if not judge.loses_more(float_value, judge.of(measured), allowed):
                return with_values(artifact, measured, float_value, allowed, judge)
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
