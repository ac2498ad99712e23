"""From a plain Keras model to TFLite bytes that LiteRT has run."""

import contextlib
import logging
import os
from typing import Any

import keras
import tensorflow as tf

from cvhn_tf.export.artifact import TFLiteArtifact
from cvhn_tf.export.quiet import native_stderr_off
from cvhn_tf.export.verify import ConversionError, as_input_arrays, verification_inputs, verify

QUANTIZATIONS = (None, "float16", "dynamic_range", "int8")
# The converter stores a tensor in a sparse encoding from this share of zeros on.
_LEAST_SPARSITY = 0.3
_CALIBRATION_EXAMPLES = 200


def to_tflite(
    keras_model: keras.Model,
    quantization: str | None = None,
    sparse: bool | str = "auto",
    representative_data: Any = None,
) -> TFLiteArtifact:
    """Converts a Keras model, and runs the file with LiteRT before handing it over.

    Args:
        keras_model: Built functional or Sequential Keras model.
        quantization: `None` (float32), `"float16"` weights, `"dynamic_range"` (8-bit weights), or `"int8"` (weights
            and activations; inputs and outputs of the file stay in float).
        sparse: Whether to store zeros in TFLite's sparse encoding. `"auto"` takes the smaller of the files that
            work: the size is not monotonic in the sparsity.
        representative_data: Array of examples, or a list or dict of arrays for several inputs. Needed for
            `"int8"`; otherwise only the comparison with Keras uses it, and random inputs without it.

    Returns:
        `TFLiteArtifact`.

    Raises:
        ValueError: If an argument is unknown, or representative data is missing or has the wrong shape.
        ConversionError: If no file of this kind works in LiteRT.
    """
    _check(quantization, sparse, representative_data)
    inputs = verification_inputs(keras_model, representative_data)
    calibration = None
    if quantization == "int8":
        calibration = [a[:_CALIBRATION_EXAMPLES] for a in as_input_arrays(keras_model, representative_data)]
    artifacts, failures = [], []
    for use_sparse in _layouts(keras_model, quantization, sparse):
        try:
            content = _convert(keras_model, quantization, use_sparse, calibration)
            error = verify(content, keras_model, quantization, inputs)
            artifacts.append(TFLiteArtifact(content, quantization, use_sparse, error))
        except ConversionError as failure:
            layout = "sparse" if use_sparse else "dense"
            failures.append(f"{layout} with quantization={quantization!r}: {failure}")
    if not artifacts:
        raise ConversionError(f"Model '{keras_model.name}' cannot become a TFLite file. " + "; ".join(failures))
    return min(artifacts, key=lambda artifact: artifact.size_bytes)


def smallest(keras_model: keras.Model, representative_data: Any = None) -> TFLiteArtifact:
    """The smallest working file over all quantizations; `"int8"` takes part if there is representative data.

    Raises:
        ConversionError: If none works.
    """
    artifacts, failures = [], []
    for quantization in QUANTIZATIONS[: 4 if representative_data is not None else 3]:
        try:
            artifacts.append(to_tflite(keras_model, quantization, representative_data=representative_data))
        except ConversionError as failure:
            failures.append(str(failure))
    if not artifacts:
        raise ConversionError("; ".join(failures))
    return min(artifacts, key=lambda artifact: artifact.size_bytes)


def check_quantization(quantization):
    """Raises a `ValueError` if there is no such quantization."""
    if quantization not in QUANTIZATIONS:
        raise ValueError(
            f"Expected `quantization` to be one of {QUANTIZATIONS}. Received: quantization={quantization!r}"
        )


def _check(quantization, sparse, representative_data):
    check_quantization(quantization)
    if sparse not in (True, False, "auto"):
        raise ValueError(f"Expected `sparse` to be True, False or 'auto'. Received: sparse={sparse!r}")
    if quantization == "int8" and representative_data is None:
        raise ValueError(
            "Expected `representative_data`, some examples to calibrate the activations on, for "
            "quantization='int8'. Received: representative_data=None"
        )


def _layouts(keras_model, quantization, sparse):
    if sparse != "auto":
        return [sparse]
    # LiteRT's delegate refuses sparse 8-bit weights.
    can_be_sparse = quantization in (None, "float16") and any(
        float(keras.ops.mean(keras.ops.cast(weight == 0, "float32"))) >= _LEAST_SPARSITY
        for weight in keras_model.weights
        if len(weight.shape) > 1
    )
    return [False, True] if can_be_sparse else [False]


def _convert(keras_model, quantization, sparse, calibration):
    try:
        return _run_converter(keras_model, quantization, sparse, calibration)
    except Exception as error:
        # Recurrent layers convert only with a batch size that is known.
        try:
            return _run_converter(_with_batch_of_one(keras_model), quantization, sparse, calibration)
        except Exception:
            message = str(error).strip().splitlines() or [type(error).__name__]
            raise ConversionError(f"TensorFlow's converter failed: {message[0]}") from error


def _run_converter(keras_model, quantization, sparse, calibration):
    with _quiet():
        converter = tf.lite.TFLiteConverter.from_keras_model(keras_model)
        optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY] if sparse else []
        if quantization is not None:
            optimizations.append(tf.lite.Optimize.DEFAULT)
        converter.optimizations = optimizations
        if quantization == "float16":
            converter.target_spec.supported_types = [tf.float16]
        elif quantization == "int8":
            names = [tensor.name for tensor in keras_model.inputs]
            converter.representative_dataset = lambda: (
                dict(zip(names, (array[i : i + 1] for array in calibration), strict=True))
                if len(names) > 1
                else [calibration[0][i : i + 1]]
                for i in range(len(calibration[0]))
            )
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        return converter.convert()


def _with_batch_of_one(keras_model):
    inputs = [keras.Input(batch_shape=(1, *t.shape[1:]), dtype=t.dtype, name=t.name) for t in keras_model.inputs]
    structure = getattr(keras_model, "_inputs_struct", inputs[0])
    return keras.Model(
        inputs, keras_model(inputs[0] if len(inputs) == 1 else keras.tree.pack_sequence_as(structure, inputs))
    )


@contextlib.contextmanager
def _quiet():
    """Keeps the converter's chatter off the terminal: Python logs, prints, and what its C++ part writes to stderr."""
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with native_stderr_off(), open(os.devnull, "w") as nothing, contextlib.redirect_stdout(nothing):
            yield
    finally:
        logger.setLevel(level)
