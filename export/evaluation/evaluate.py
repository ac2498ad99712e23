"""What a TFLite file is worth: accuracy, loss or another metric, calibration, and latency, in LiteRT."""

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from cvhn_tf.export.clients.table import as_client
from cvhn_tf.export.evaluation.as_metric import as_metric
from cvhn_tf.export.evaluation.calibration import calibration_error
from cvhn_tf.export.evaluation.keras_metric import KerasMetric
from cvhn_tf.export.evaluation.keras_outputs import BATCH, joined
from cvhn_tf.export.evaluation.labelled_examples import check_lengths
from cvhn_tf.export.evaluation.latency import latency_of
from cvhn_tf.export.tflite.artifact import TFLiteArtifact, content_of
from cvhn_tf.export.verification.litert import open_file
from cvhn_tf.training.data import check_finite, check_labels

# For all but the latency, which is that of one.
_THREADS = os.cpu_count() or 1
# Of a file for a single example, so many are run one by one and at once, to see whether it can be resized.
_PROBES = 8
# Share of the outputs' largest magnitude.
_ALIKE = 1e-4


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Results of a TFLite file on a data set.

    Args:
        accuracy: Share of examples classified right; None where the labels are no classes, or another metric was asked
            for. A single output is the probability of class 1, or its logit where there are numbers that can be no
            probabilities.
        loss: Mean loss; None if no loss was asked for.
        latency_ms: Median time in ms for one example on one thread of this machine, in `latency_client`.
        examples: Number of examples.
        calibration_error: Expected calibration error of the class probabilities, 15 bins; None where the outputs are
            no probabilities, or the labels no classes.
        latency_client: What took that time, with its version: LiteRT, or LiteRT.js in Node.js.
        metric: Value of the metric that was asked for; None for accuracy.
    """

    accuracy: float | None
    loss: float | None
    latency_ms: float
    examples: int
    calibration_error: float | None = None
    latency_client: str = ""
    metric: float | None = None


def evaluate_tflite(
    artifact: TFLiteArtifact | bytes | str | os.PathLike[str],
    x: Any,
    y: Any,
    loss: str | keras.losses.Loss | None = None,
    client: str | Sequence[str] = "cpu",
    metric: Any = "accuracy",
) -> Evaluation:
    """Runs a file over a data set with LiteRT.

    Args:
        artifact: `TFLiteArtifact`, path of a file, or bytes.
        x: Array of examples, or a list of arrays in the order of the Keras model's inputs, or a dict of arrays by their
            names. Integers of the type of an integer-only file's input are taken for what it holds, off its scale.
        y: Labels: classes of shape (examples,) or (examples, 1), or one-hot rows; targets if `loss` is given; with
            another metric what it takes, of several outputs as a list in their order or as a dict by their names.
        loss: `keras.losses.Loss` or its name; None for accuracy alone.
        client: As in `to_tflite`: what will run the file. With `"web"` the latency is that in LiteRT.js in Node.js,
            where CVHN_TF_LITERT_JS names its folder; else that in LiteRT on this processor. All other figures are
            LiteRT's.
        metric: `"accuracy"`, or what Keras takes as a metric or a loss, as in `compare`: its value is the `metric` of
            what is returned then.

    Raises:
        OSError: If there is no such file.
        TypeError: If `artifact` is none of these.
        ValueError: If there is no such client, or it cannot run the file; if LiteRT cannot open it; if there are no
            examples, numbers of examples differ, examples do not fit the file's inputs or are not finite, or labels
            name classes that it does not have; if the metric is none, or does not take these labels.
    """
    runner = as_client(client)
    judge = as_metric(metric, "max")  # of a single file no value is the better one
    content = content_of("artifact", artifact)
    litert = open_file(content, _THREADS)
    judge = judge.for_outputs(litert.output_names)
    asked = judge if isinstance(judge, KerasMetric) else None  # another metric than accuracy
    inputs = litert.take_inputs(x)
    if asked is not None:
        y = asked.labels("y", y, litert.output_names)
        check_lengths("`x` and `y`", inputs, y)
        if loss is not None and isinstance(y, list):
            raise ValueError(f"Expected no `loss` with the metric of several outputs. Received: loss={loss!r}")
    else:
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
    examples = len(inputs[0])
    if asked is None and loss is None and y.size == len(y) and (classes := litert.count_classes()):
        check_labels("y", y, classes)
    if litert.batch_is_fixed and examples > _PROBES and (resizable := _resizable(content, x)):
        litert = resizable
    outputs = joined(litert.run([array[i : i + BATCH] for array in inputs]) for i in range(0, examples, BATCH))
    if asked is not None:
        asked.check_classes("y", outputs, y)
    value = judge.value(outputs[:1] if asked is None else outputs, y)
    latency = latency_of(content, x, runner)
    return Evaluation(
        accuracy=value if asked is None else None,
        loss=None if loss is None else float(np.mean(loss(y, outputs[0]))),
        latency_ms=latency.ms,
        examples=examples,
        calibration_error=None if asked is not None or value is None else calibration_error(outputs[0], y),
        latency_client=latency.client,
        metric=None if asked is None else value,
    )


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
