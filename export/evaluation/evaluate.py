"""What a TFLite file is worth: accuracy or loss, calibration, and latency, in LiteRT."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from cvhn_tf.export.clients.table import as_client
from cvhn_tf.export.evaluation.calibration import calibration_error
from cvhn_tf.export.evaluation.latency import latency_of
from cvhn_tf.export.tflite.artifact import TFLiteArtifact, content_of
from cvhn_tf.export.verification.litert import open_file
from cvhn_tf.training.data import check_finite, check_labels

# For all but the latency, which is that of one.
_THREADS = os.cpu_count() or 1
# What is run at a time.
_BATCH = 1000
# Of a file for a single example, so many are run one by one and at once, to see whether it can be resized.
_PROBES = 8
# Share of the outputs' largest magnitude.
_ALIKE = 1e-4


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Results of a TFLite file on a data set.

    Args:
        accuracy: Share of examples classified right; None where the labels are no classes. A single output is the
            probability of class 1, or its logit where there are numbers that can be no probabilities.
        loss: Mean loss; None if no loss was asked for.
        latency_ms: Median time in ms for one example on one thread of this machine, in `latency_client`.
        examples: Number of examples.
        calibration_error: Expected calibration error of the class probabilities, 15 bins; None where the outputs are
            no probabilities, or the labels no classes.
        latency_client: What took that time, with its version: LiteRT, or LiteRT.js in Node.js.
    """

    accuracy: float | None
    loss: float | None
    latency_ms: float
    examples: int
    calibration_error: float | None = None
    latency_client: str = ""


def evaluate_tflite(
    artifact: TFLiteArtifact | bytes | str | os.PathLike[str],
    x: Any,
    y: Any,
    loss: str | keras.losses.Loss | None = None,
    client: str | Sequence[str] = "cpu",
) -> Evaluation:
    """Runs a file over a data set with LiteRT.

    Args:
        artifact: `TFLiteArtifact`, path of a file, or bytes.
        x: Array of examples, or a list of arrays in the order of the Keras model's inputs, or a dict of arrays by their
            names.
        y: Labels: classes of shape (examples,) or (examples, 1), or one-hot rows; targets if `loss` is given.
        loss: `keras.losses.Loss` or its name; None for accuracy alone.
        client: As in `to_tflite`: what will run the file. With `"web"` the latency is that in LiteRT.js in Node.js,
            where CVHN_TF_LITERT_JS names its folder; else that in LiteRT on this processor. All other figures are
            LiteRT's.

    Raises:
        OSError: If there is no such file.
        TypeError: If `artifact` is none of these.
        ValueError: If there is no such client, or it cannot run the file; if LiteRT cannot open it; if there are no
            examples, numbers of examples differ, examples do not fit the file's inputs or are not finite, or labels
            name classes that it does not have.
    """
    runner = as_client(client)
    content = content_of("artifact", artifact)
    litert = open_file(content, _THREADS)
    inputs = litert.take_inputs(x)
    y = np.asarray(y)
    if len(y) == 0 or any(len(array) != len(y) for array in inputs):
        raise ValueError(
            "Expected `x` and `y` of the same number of examples, at least one. "
            f"Received: {[len(array) for array in inputs]} and {len(y)} examples"
        )
    check_finite("x", inputs)
    check_finite("y", y)
    loss = None if loss is None else keras.losses.get(loss)
    litert.check_inputs(inputs)
    if loss is None and (classes := litert.count_classes()) and y.size == len(y):
        check_labels("y", y, classes)
    if litert.batch_is_fixed and len(y) > _PROBES and (resizable := _resizable(content, x)):
        litert = resizable
    batches = [litert.run([a[i : i + _BATCH] for a in inputs])[0] for i in range(0, len(y), _BATCH)]
    outputs = np.concatenate(batches)
    loss = None if loss is None else float(np.mean(loss(y, outputs)))
    right = accuracy(outputs, y)
    calibration = None if right is None else calibration_error(outputs, y)
    latency = latency_of(content, x, runner)
    return Evaluation(right, loss, latency.ms, len(y), calibration, latency.client)


def _resizable(content, x):
    """The file opened for any number of examples at a time, if it is for a single one and gives the same for many."""
    one, many = open_file(content), open_file(content, _THREADS)
    inputs = one.take_inputs(x)
    many.take_inputs(x)
    if any(detail["shape"][0] != 1 for detail in one.input_details):
        return None
    probes = [array[np.linspace(0, len(array) - 1, _PROBES).astype(int)] for array in inputs]
    many.batch_is_fixed = False
    try:
        outputs = many.run(probes)
    except (RuntimeError, ValueError):  # sizes that stand in the file, as those of a recurrent layer's state
        return None
    is_alike = all(
        made.shape == expected.shape and np.allclose(made, expected, rtol=0, atol=_ALIKE * np.abs(expected).max())
        for made, expected in zip(outputs, one.run(probes), strict=True)
    )
    return many if is_alike else None


def keras_outputs(keras_model, x) -> np.ndarray:
    """Outputs of a Keras model for all of `x`, an array or a structure of them.

    Not by `predict`, which traces a graph for each new model, and from the fifth on warns that it does.
    """
    examples = len(keras.tree.flatten(x)[0])
    batches = [
        keras_model(keras.tree.map_structure(lambda array, i=i: array[i : i + _BATCH], x), training=False)
        for i in range(0, examples, _BATCH)
    ]
    return np.concatenate([keras.ops.convert_to_numpy(batch) for batch in batches])


def accuracy(outputs, y) -> float | None:
    """Share of rows of `outputs` whose class is that of `y`; None where these are no class scores.

    One output column is taken for the probability of class 1, or for its logit if there are numbers that can be no
    probabilities.
    """
    if outputs.ndim != 2 or (outputs.shape[1] == 1 and not np.isin(y, (0, 1)).all()):
        return None
    if y.ndim == 2 and y.shape[1] == outputs.shape[1] > 1:
        y = y.argmax(1)
    if y.size != len(outputs) or not np.array_equal(y, np.round(y)):
        return None
    least = 0.5 if outputs.min() >= 0 and outputs.max() <= 1 else 0.0
    classes = outputs.argmax(1) if outputs.shape[1] > 1 else outputs[:, 0] > least
    return float(np.mean(classes == y.ravel()))
