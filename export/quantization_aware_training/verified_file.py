"""The file of quantization-aware training, compared with the network that was trained."""

import dataclasses

import numpy as np

from cvhn_tf.export.conversion.finish import check_client_has, finished
from cvhn_tf.export.conversion.unquantized import unquantized
from cvhn_tf.export.evaluation.accuracy_loss import check_accuracy
from cvhn_tf.export.evaluation.class_accuracy import accuracy
from cvhn_tf.export.evaluation.keras_outputs import keras_outputs
from cvhn_tf.export.evaluation.metric import ACCURACY
from cvhn_tf.export.tflite.artifact import TFLiteArtifact
from cvhn_tf.export.tflite.encodings import ENCODINGS
from cvhn_tf.export.tflite.flatbuffer import serialize
from cvhn_tf.export.verification.inputs import verification_inputs
from cvhn_tf.export.verification.verify import ConversionError, OutputsDifferError, verify

# Examples on which the file is as accurate as the trained network, or says that it is not.
_MOST_CHECKED = 10_000
# Accuracy that a file may lose, and the error of one that is as accurate as the network; that of garbage is larger.
_LARGEST_LOSS = 0.01
_FARTHEST = 1.0
_ADVICE = "Train the network before, give more epochs or a smaller `learning_rate`"


def verified_file(content, trained, x, y, client):
    """The file, after it was compared with the trained network in its outputs and, of classes, in its accuracy.

    A file of outputs far from the network's is handed over if it is as accurate, and says so.

    Args:
        content: The bytes of the converter's file.
        trained: The Keras model that it was made from.
        x, y: Arrays of the training.
        client: `Client` that will run the file.

    Returns:
        `TFLiteArtifact`.

    Raises:
        ConversionError: If it does not do in LiteRT what the Keras model does.
    """
    advice = _ADVICE + ENCODINGS["int8"].alternatives(client.encodings)
    model = finished(content, trained, client)
    lacking = check_client_has(client, model, "int8")
    passed_over = unquantized(model, "int8")
    content = serialize(model)
    inputs = verification_inputs(trained, x)
    chosen = np.linspace(0, len(x) - 1, min(len(x), _MOST_CHECKED)).round().astype(int)
    x, y = x[chosen], y[chosen]
    is_classifier = _are_classes(y) and accuracy(keras_outputs(trained, x), y) is not None
    try:
        verified = verify(content, trained, "int8", inputs, _FARTHEST if is_classifier else None, client)
    except OutputsDifferError as error:
        raise ConversionError(f"{str(error).partition('. ')[0]}. {advice}") from error
    artifact = TFLiteArtifact(
        content,
        "int8",
        False,
        verified.relative_error,
        verified_examples=verified.examples,
        caveats=verified.caveats + lacking,
        unquantized=passed_over,
        clients=client.names,
        verified_by=verified.clients,
    )
    if not is_classifier:
        return artifact
    artifact = check_accuracy(artifact, trained, (x, y), _LARGEST_LOSS)
    if verified.relative_error <= ENCODINGS["int8"].tolerance:
        return artifact
    difference = f"The file's outputs differ from the Keras model's: relative error {verified.relative_error:.3g}"
    if ACCURACY.loses_more(artifact.keras_accuracy, artifact.accuracy, _LARGEST_LOSS):
        raise ConversionError(
            f"{difference}, more than {ENCODINGS['int8'].tolerance:g}, and its accuracy is {artifact.accuracy:.4f}, "
            f"the model's {artifact.keras_accuracy:.4f}. {advice}"
        )
    return dataclasses.replace(artifact, caveats=(*artifact.caveats, f"{difference}, though it is as accurate"))


def _are_classes(y):
    """Whether targets are labels, or one-hot rows of them."""
    if y.ndim == 2 and y.shape[1] > 1:
        return bool(np.isin(y, (0, 1)).all() and (y.sum(axis=1) == 1).all())
    return bool(np.array_equal(y, np.round(y)))
