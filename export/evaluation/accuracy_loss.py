"""What a file loses against its Keras model on labelled examples: it is not handed over without saying so."""

import dataclasses
from typing import Any

import keras
import tensorflow as tf

from cvhn_tf.checks.arguments import check_share
from cvhn_tf.export.evaluation.evaluate import accuracy, evaluate_tflite, keras_outputs
from cvhn_tf.export.evaluation.labelled_examples import as_examples
from cvhn_tf.export.networks.check_network import check_network
from cvhn_tf.export.tflite.artifact import TFLiteArtifact


def check_accuracy(
    artifact: TFLiteArtifact,
    keras_model: keras.Model,
    data: tuple[Any, Any] | tf.data.Dataset,
    max_accuracy_loss: float = 0.01,
) -> TFLiteArtifact:
    """The file with its accuracy, its latency and its Keras model's accuracy, and a caveat if it has lost too much.

    The outputs of a file may be far from those of its model and the classes right, and the other way round.

    Args:
        artifact: `TFLiteArtifact`.
        keras_model: The model that it was made of, or the one before its weights were rounded.
        data: Pair (x, y) of arrays or `tf.data.Dataset` of batches of such pairs, with class labels.
        max_accuracy_loss: Accuracy that may be lost without a caveat, in [0, 1].

    Returns:
        `TFLiteArtifact`. `annotate` writes the caveat into the file.

    Raises:
        ValueError: If an argument is out of range, or the examples do not fit the model.
    """
    check_share("max_accuracy_loss", max_accuracy_loss)
    check_network("keras_model", keras_model)
    x, y = as_examples(keras_model, data)
    measured = evaluate_tflite(artifact, x, y)
    before = accuracy(keras_outputs(keras_model, x), y)
    return with_accuracies(artifact, measured, before, max_accuracy_loss)


def with_accuracies(artifact, measured, keras_accuracy, max_accuracy_loss) -> TFLiteArtifact:
    """The file with what was measured of it.

    Args:
        artifact: `TFLiteArtifact`.
        measured: `Evaluation` of it.
        keras_accuracy: Accuracy in Keras, or of the float32 file.
        max_accuracy_loss: As in `check_accuracy`.
    """
    caveats = artifact.caveats
    if loses_more(keras_accuracy, measured.accuracy, max_accuracy_loss):
        caveats += (
            f"The file is right on {measured.accuracy:.4f} of {measured.examples:,} labelled examples and its Keras "
            f"model on {keras_accuracy:.4f}, a loss of more than {max_accuracy_loss:g}",
        )
    return dataclasses.replace(
        artifact,
        accuracy=measured.accuracy,
        keras_accuracy=keras_accuracy,
        latency_ms=measured.latency_ms,
        caveats=caveats,
    )


def loses_more(before, after, allowed) -> bool:
    """Whether an accuracy is more than `allowed` below the one before."""
    return before - after > allowed + 1e-9  # 0.98 - 0.001 is not quite 0.979
