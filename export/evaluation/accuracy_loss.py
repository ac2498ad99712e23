"""What a file loses against its Keras model on labelled examples: it is not handed over without saying so."""

import dataclasses
from typing import Any

import keras
import tensorflow as tf

from cvhn_tf.checks.arguments import check_share
from cvhn_tf.export.evaluation.as_metric import as_metric
from cvhn_tf.export.evaluation.evaluate import evaluate_tflite
from cvhn_tf.export.evaluation.keras_metric import output_names
from cvhn_tf.export.evaluation.keras_outputs import all_outputs
from cvhn_tf.export.evaluation.metric import ACCURACY
from cvhn_tf.export.networks.check_network import check_network
from cvhn_tf.export.tflite.artifact import TFLiteArtifact


def check_accuracy(
    artifact: TFLiteArtifact,
    keras_model: keras.Model,
    data: tuple[Any, Any] | tf.data.Dataset,
    max_accuracy_loss: float | None = None,
    metric: Any = "accuracy",
    direction: str = "auto",
    max_metric_loss: float | None = None,
) -> TFLiteArtifact:
    """The file with its accuracy, its latency and its Keras model's accuracy, and a caveat if it has lost too much.

    With another metric its value is what may be lost.

    The outputs of a file may be far from those of its model and the classes right, and the other way round.

    Args:
        artifact: `TFLiteArtifact`.
        keras_model: The model that it was made of, or the one before its weights were rounded.
        data: Pair (x, y) of arrays or `tf.data.Dataset` of batches of such pairs, with class labels;
            with another metric as in `compare`.
        max_accuracy_loss: Accuracy that may be lost without a caveat, in [0, 1]; by default 0.01.
        metric: As in `compare`.
        direction: As in `compare`.
        max_metric_loss: Share of the Keras model's value of another metric by which the file's may be worse without a
            caveat; by default 0.01, a hundredth of it.

    Returns:
        `TFLiteArtifact`. `annotate` writes the caveat into the file.

    Raises:
        ValueError: If an argument is out of range, or the examples do not fit the model or the metric.
    """
    judge = as_metric(metric, direction)
    allowed = allowed_loss(judge, max_accuracy_loss, max_metric_loss, 0.01)
    check_network("keras_model", keras_model)
    judge = judge.for_outputs(output_names(keras_model))
    x, y = judge.examples(keras_model, data)
    measured = evaluate_tflite(artifact, x, y, metric=judge)
    before = judge.value(all_outputs(keras_model, x), y)
    return with_values(artifact, measured, before, allowed, judge)


def allowed_loss(metric, max_accuracy_loss, max_metric_loss, default_accuracy_loss) -> float:
    """What may be lost of a metric: of accuracy in its own units, of another as a share of its value.

    Raises:
        ValueError: If it is out of range, or the one of the other metric is given.
    """
    if metric is ACCURACY:
        if max_metric_loss is not None:
            raise ValueError(
                "Expected `max_accuracy_loss`, in points of it, with metric='accuracy'. "
                f"Received: max_metric_loss={max_metric_loss!r}"
            )
        return check_share(
            "max_accuracy_loss", default_accuracy_loss if max_accuracy_loss is None else max_accuracy_loss
        )
    if max_accuracy_loss is not None:
        raise ValueError(
            f"Expected `max_metric_loss`, a share of its value, with metric={metric.name!r}. "
            f"Received: max_accuracy_loss={max_accuracy_loss!r}"
        )
    return check_share("max_metric_loss", 0.01 if max_metric_loss is None else max_metric_loss)


def with_values(artifact, measured, before, allowed, metric) -> TFLiteArtifact:
    """The file with what was measured of it.

    Args:
        artifact: `TFLiteArtifact`.
        measured: `Evaluation` of it.
        before: Value of the metric in Keras, or of the float32 file.
        allowed: As of `allowed_loss`.
        metric: `Metric`.
    """
    after, caveats = metric.of(measured), artifact.caveats
    if metric.loses_more(before, after, allowed):
        if metric is ACCURACY:
            caveat = (
                f"The file is right on {after:.4f} of {measured.examples:,} labelled examples and its Keras "
                f"model on {before:.4f}, a loss of more than {allowed:g}"
            )
        else:
            caveat = (
                f"On {measured.examples:,} labelled examples {metric.name} of the file is {metric.number(after)} and "
                f"of its Keras model {metric.number(before)}, worse by more than a share of {allowed:g}"
            )
        caveats += (caveat,)
    return dataclasses.replace(
        artifact,
        latency_ms=measured.latency_ms,
        caveats=caveats,
        **{metric.field: after, f"keras_{metric.field}": before},
    )
