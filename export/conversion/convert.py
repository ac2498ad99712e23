"""From a plain Keras model to TFLite bytes that LiteRT has run."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cvhn_tf.checks.finite_weights import check_finite_weights
from cvhn_tf.export.conversion.frozen_graphs import FrozenGraphs
from cvhn_tf.export.conversion.pad_inputs import pad_inputs
from cvhn_tf.export.conversion.reasons import reason_of
from cvhn_tf.export.conversion.sparse_encoding import unblock_where_smaller
from cvhn_tf.export.conversion.static_shapes import make_shapes_static
from cvhn_tf.export.conversion.stored_integers import keep_grid
from cvhn_tf.export.conversion.unquantized import unquantized
from cvhn_tf.export.conversion.weight_only import is_available, quantize_by_recipe
from cvhn_tf.export.networks.check_network import check_convertible, check_network
from cvhn_tf.export.networks.full_precision import in_float32
from cvhn_tf.export.tflite.artifact import TFLiteArtifact
from cvhn_tf.export.tflite.encodings import ENCODINGS
from cvhn_tf.export.tflite.flatbuffer import has_sparse_weights, keep_keras_names, parse, serialize
from cvhn_tf.export.verification.inputs import verification_inputs
from cvhn_tf.export.verification.quiet import converter_off
from cvhn_tf.export.verification.verify import ConversionError, OutputsDifferError, verify

# The converter stores a tensor in a sparse encoding from this share of zeros on.
_LEAST_SPARSITY = 0.3
_CALIBRATION_EXAMPLES = 200
# Python's own full collections never come while each conversion starts their count anew.


def to_tflite(
    keras_model: keras.Model,
    quantization: str | None = None,
    sparse: bool | str = "auto",
    representative_data: Any = None,
) -> TFLiteArtifact:
    """Converts a Keras model, and runs the file with LiteRT before handing it over.

    A network of mixed precision becomes one of float32 first. Inputs and outputs of the file's signature have the
    names of the Keras model's, and its order. Weights that lie on a grid, as those of `round_weights` do, are stored as
    multiples of its step with `"weight_only_int8"`, `"weight_only_int4"`, `"dynamic_int4"` and, where half of them or
    more repeat others, `"dynamic_range"`. Where an encoding passes tensors over, `unquantized` of the result has them.

    Args:
        keras_model: Built functional or Sequential Keras model.
        quantization: `None` (float32), `"float16"` weights, `"dynamic_range"` (8-bit weights, 8-bit multiplications;
            weights of fewer than 1,024 numbers stay in float32), `"int8"` (weights and activations; inputs and outputs
            of the file stay in float), `"weight_only_int8"` or `"weight_only_int4"` (8-bit or 4-bit weights that are
            expanded in each run and multiplied in float32) or `"dynamic_int4"` (4-bit weights, 8-bit multiplications;
            weights of Dense, Conv2D and Embedding layers only). The last three take the package ai-edge-quantizer, the
            extra `quantization`.
        sparse: Whether to store zeros in TFLite's sparse encoding, in float32 or float16. `"auto"` takes the smaller of
            the files that work: the size is not monotonic in the sparsity.
        representative_data: Array of examples, or a list or dict of arrays for several inputs. Needed for
            `"int8"`; otherwise only the comparison with Keras uses it: up to 1,024 examples, evenly spread, for five
            seconds at most. `"int8"` is calibrated on 200 of them. Without it, 16 random examples in [−1, 1).

    Returns:
        `TFLiteArtifact`.

    Raises:
        ValueError: If an argument is unknown, representative data is missing or has the wrong shape or type, or a
            weight is not finite.
        ModuleNotFoundError: If ai-edge-quantizer is needed and not installed.
        ConversionError: If no file of this kind works in LiteRT.
    """
    return to_tflite_from(FrozenGraphs(), keras_model, quantization, sparse, representative_data)


def to_tflite_from(graphs, keras_model, quantization=None, sparse="auto", representative_data=None) -> TFLiteArtifact:
    """`to_tflite`, with `FrozenGraphs` that the conversions of one network to several encodings share."""
    _check(keras_model, quantization, sparse, representative_data)
    keras_model = in_float32(keras_model)
    inputs = verification_inputs(keras_model, representative_data)
    calibration = None
    if ENCODINGS[quantization].calibrated:
        calibration = [array[:_CALIBRATION_EXAMPLES] for array in inputs]  # which are spread over all of the data
    artifacts, failures = [], {}
    for use_sparse in _layouts(keras_model, quantization, sparse):
        try:
            content, verified = _convert_and_verify(graphs, keras_model, quantization, use_sparse, calibration, inputs)
            artifacts.append(
                TFLiteArtifact(
                    content,
                    quantization,
                    use_sparse,
                    verified.relative_error,
                    verified_examples=verified.examples,
                    caveats=verified.caveats,
                    unquantized=unquantized(content, quantization),
                )
            )
        except ConversionError as failure:
            layout = "sparse" if use_sparse else "dense"
            failures[f"{layout} with quantization={quantization!r}: {failure}"] = failure
    if not artifacts:
        runs = all(isinstance(failure, OutputsDifferError) for failure in failures.values())
        raise (OutputsDifferError if runs else ConversionError)(
            f"Model '{keras_model.name}' cannot become a TFLite file. " + "; ".join(failures)
        )
    return min(artifacts, key=lambda artifact: artifact.size_bytes)


def check_quantization(quantization, name="quantization"):
    """Raises a `ValueError` if there is no such quantization, and a `ModuleNotFoundError` if it takes more packages."""
    if quantization not in tuple(ENCODINGS):
        raise ValueError(
            f"Expected `{name}` from {tuple(ENCODINGS)}, where None is float32. Received: {name}={quantization!r}"
        )
    if ENCODINGS[quantization].recipe is not None and not is_available():
        raise ModuleNotFoundError(
            f"Expected the package ai-edge-quantizer for quantization={quantization!r}; "
            "it comes with cvhn-tf's extra: pip install 'cvhn-tf[quantization]'"
        )


def check_quantizations(quantizations, representative_data):
    """`check_quantization` of each; raises a `ValueError` if one is to be calibrated and there are no data for it."""
    for quantization in quantizations:
        check_quantization(quantization, "quantizations")
    for quantization in quantizations:
        if ENCODINGS[quantization].calibrated and representative_data is None:
            raise ValueError(
                f"Expected `representative_data` for quantization {quantization!r}. Received: representative_data=None"
            )


def available_quantizations(with_data) -> list[str | None]:
    """Those that can be made here: `"int8"` with representative data only, others with the packages they take."""
    return [
        name
        for name, encoding in ENCODINGS.items()
        if (not encoding.calibrated or with_data) and (encoding.recipe is None or is_available())
    ]


def _check(keras_model, quantization, sparse, representative_data):
    check_network("keras_model", keras_model)
    check_convertible("keras_model", keras_model)
    check_finite_weights("keras_model", keras_model)
    check_quantization(quantization)
    if sparse not in (True, False, "auto"):
        raise ValueError(f"Expected `sparse` to be True, False or 'auto'. Received: sparse={sparse!r}")
    if ENCODINGS[quantization].calibrated and representative_data is None:
        raise ValueError(
            "Expected `representative_data`, some examples to calibrate the activations on, for "
            f"quantization={quantization!r}. Received: representative_data=None"
        )


def _layouts(keras_model, quantization, sparse):
    if sparse != "auto":
        return [sparse]
    # LiteRT's delegate refuses sparse 8-bit weights.
    can_be_sparse = ENCODINGS[quantization].integer_bits is None and any(
        float(np.mean(kernel == 0)) >= _LEAST_SPARSITY for kernel in _kernels(keras_model)
    )
    return [False, True] if can_be_sparse else [False]


def _convert_and_verify(graphs, keras_model, quantization, sparse, calibration, inputs):
    """Bytes of the file, and its `Verification`."""
    # The converter's blocks lack what goes beyond a multiple of four, unless it is padded; single weights need none.
    padded = pad_inputs(keras_model) if sparse and ENCODINGS[quantization].integer_bits is None else keras_model
    for model in dict.fromkeys((keras_model, padded)):
        try:
            file = parse(_convert(graphs, model, quantization, sparse, calibration))
            make_shapes_static(file)
            keep_keras_names(file, keras_model)
            content = serialize(file)
            return content, verify(content, keras_model, quantization, inputs)
        except ConversionError:
            if model is padded:
                raise


def _convert(graphs, keras_model, quantization, sparse, calibration):
    encoding = ENCODINGS[quantization]
    if encoding.recipe is not None:
        # Of a sparse file nothing would be quantized; asked for it, the check of the result says so.
        exact = _convert(graphs, keras_model, None, sparse, None)
        return keep_grid(quantize_by_recipe(exact, encoding.recipe, encoding.bits), exact)
    if encoding.calibrated:
        _check_has_no_loop(keras_model)
    content = _converted(graphs, keras_model, quantization, sparse, calibration)
    if sparse:
        if not has_sparse_weights(content):
            raise ConversionError("TensorFlow's converter found no weights to store in a sparse encoding")
        return unblock_where_smaller(content)
    may_have_grid = encoding.integer_bits is not None and not encoding.calibrated
    if may_have_grid and any(map(_may_be_on_grid, _kernels(keras_model))):
        return keep_grid(content, _converted(graphs, keras_model, None, False, None))
    return content


def _kernels(keras_model):
    return (keras.ops.convert_to_numpy(weight) for weight in keras_model.weights if len(weight.shape) > 1)


def _may_be_on_grid(kernel):
    """Whether values repeat, as they do on a grid; it saves a conversion where they do not."""
    kept = kernel[kernel != 0]
    return 2 * len(np.unique(kept)) <= len(kept)


def _converted(graphs, keras_model, quantization, sparse, calibration):
    try:
        return _run_converter(graphs, keras_model, quantization, sparse, calibration)
    except ConversionError:
        raise
    except Exception as error:
        # Recurrent layers convert only with a batch size that is known.
        try:
            return _run_converter(graphs, _with_batch_of_one(keras_model), quantization, sparse, calibration)
        except Exception:
            raise ConversionError(f"TensorFlow's converter failed: {reason_of(error)}") from error


def _check_has_no_loop(keras_model):
    """TensorFlow's calibration of activations inside a loop ends the whole process, so it must not begin."""
    for layer in keras_model._flatten_layers():
        if isinstance(layer, keras.layers.RNN) and not layer.unroll:
            raise ConversionError(
                f"Layer '{layer.name}' ({type(layer).__name__}) is a loop, whose activations cannot be calibrated for "
                "8 bits. Expected `unroll=True` in the layer, or another quantization"
            )


def _run_converter(graphs, keras_model, quantization, sparse, calibration):
    with converter_off():
        converter = graphs.converter(keras_model)
        optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY] if sparse else []
        if quantization is not None:
            optimizations.append(tf.lite.Optimize.DEFAULT)
        converter.optimizations = optimizations
        if ENCODINGS[quantization].bits == 16:
            converter.target_spec.supported_types = [tf.float16]
        elif ENCODINGS[quantization].calibrated:
            converter.representative_dataset = lambda: (
                [array[i : i + 1] for array in calibration] for i in range(len(calibration[0]))
            )
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        return converter.convert()


def _with_batch_of_one(keras_model):
    inputs = [keras.Input(batch_shape=(1, *t.shape[1:]), dtype=t.dtype, name=t.name) for t in keras_model.inputs]
    structure = getattr(keras_model, "_inputs_struct", inputs[0])
    return keras.Model(
        inputs, keras_model(inputs[0] if len(inputs) == 1 else keras.tree.pack_sequence_as(structure, inputs))
    )
