"""From a plain Keras model to TFLite bytes that LiteRT has run."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from cvhn_tf.checks.finite_weights import check_finite_weights
from cvhn_tf.export.clients.checks import check_client_computes, check_client_reads, check_client_takes
from cvhn_tf.export.clients.table import as_client
from cvhn_tf.export.conversion.converter import Calibration, check_has_no_loop, converted
from cvhn_tf.export.conversion.finish import check_client_has, finished
from cvhn_tf.export.conversion.frozen_graphs import FrozenGraphs
from cvhn_tf.export.conversion.pad_inputs import pad_inputs
from cvhn_tf.export.conversion.quantizations import check_quantization
from cvhn_tf.export.conversion.sparse_encoding import expanded_at_start, unblocked_where_smaller
from cvhn_tf.export.conversion.stored_integers import keep_grid, may_be_on_grid
from cvhn_tf.export.conversion.unquantized import unquantized
from cvhn_tf.export.conversion.weight_only import quantize_by_recipe
from cvhn_tf.export.networks.check_network import check_convertible, check_network
from cvhn_tf.export.networks.for_gpus import for_gpus
from cvhn_tf.export.networks.full_precision import in_float32
from cvhn_tf.export.networks.pointwise_zeros import are_left_out, count_zeros
from cvhn_tf.export.networks.select_features import with_longer_runs
from cvhn_tf.export.tflite.artifact import TFLiteArtifact
from cvhn_tf.export.tflite.encodings import ENCODINGS
from cvhn_tf.export.tflite.flatbuffer import serialize
from cvhn_tf.export.verification import web
from cvhn_tf.export.verification.inputs import verification_inputs
from cvhn_tf.export.verification.reference import Reference
from cvhn_tf.export.verification.verify import ConversionError, OutputsDifferError, verify

# The converter stores a tensor in a sparse encoding from this share of zeros on.
_LEAST_SPARSITY = 0.3
_CALIBRATION_EXAMPLES = 200
# Dense layers with float activations read a scale for each unit from this release on.
_SCALES_OF_UNITS_FROM = (2, 17)
# As of `Client.refuses`: a client that has not these is one for GPUs.
_GROUPS = "CONV_2D/GROUPS"
# Of a file with one scale for each Dense kernel; of a larger one, scales for each unit are tried too.
_SMALL_ERROR = 0.05
_MUCH = 1.5


def to_tflite(
    keras_model: keras.Model,
    quantization: str | None = None,
    sparse: bool | str = "auto",
    representative_data: Any = None,
    client: str | Sequence[str] = "any",
    integer_only: bool = False,
) -> TFLiteArtifact:
    """Converts a Keras model, and runs the file with LiteRT before handing it over.

    The file is made for the `client` that will run it: `"cpu"` (LiteRT from 1.1 on, on a CPU), `"gpu"` (LiteRT's GPU
    accelerator), `"web"` (LiteRT.js), `"tflite"` (TFLite 2.10 to 2.16), `"micro"` (tflite-micro), several of them, or
    `"any"`: what all of them but tflite-micro compute right. Weight-only encodings, 4 bits and TFLite's sparse
    encoding are for some clients only, such as `"cpu"`; another client refuses them by a `ValueError`. For `"web"` and
    `"any"` the file is one for a single example, which LiteRT's interpreter can resize. One for `"micro"` is run by
    tflite-micro too, where its package is installed; one for `"web"` by LiteRT.js in Node.js, where the environment
    variable CVHN_TF_LITERT_JS names a folder node_modules that has @litertjs/core.

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
            the files that work: the size is not monotonic in the sparsity. Only `"cpu"` and `"tflite"` read it.
        representative_data: Array of examples, or a list or dict of arrays for several inputs. Needed for
            `"int8"`; otherwise only the comparison with Keras uses it: up to 1,024 examples, evenly spread, for five
            seconds at most. `"int8"` is calibrated on 200 of them. Without it, 16 random examples in [−1, 1).
        client: What will run the file, as above.
        integer_only: Whether inputs and outputs of a file in `"int8"` are integers too, on scales that the file tells,
            as firmware and integer-only accelerators want them.

    Returns:
        `TFLiteArtifact`.

    Raises:
        ValueError: If an argument is unknown, the client does not compute what is asked for, representative data is
            missing or has the wrong shape or type, or a weight is not finite.
        ModuleNotFoundError: If ai-edge-quantizer is needed and not installed.
        ConversionError: If no file of this kind works in LiteRT.
    """
    return to_tflite_from(FrozenGraphs(), keras_model, quantization, sparse, representative_data, client, integer_only)


def to_tflite_from(
    graphs,
    keras_model,
    quantization=None,
    sparse="auto",
    representative_data=None,
    client="any",
    integer_only=False,
) -> TFLiteArtifact:
    """`to_tflite`, with `FrozenGraphs` that the conversions of one network to several encodings share."""
    client = as_client(client)
    _check(keras_model, quantization, sparse, representative_data, client, integer_only)
    graphs.once(_check_finite, keras_model)
    names = [tensor.name for tensor in keras_model.inputs]
    keras_model = graphs.once(in_float32, keras_model)
    if _GROUPS in client.refuses:
        keras_model = graphs.once(for_gpus, keras_model)
    if "GATHER" in client.sliced:
        keras_model = graphs.once(with_longer_runs, keras_model, ENCODINGS[quantization].weight_bytes)
    for tensor, name in zip(keras_model.inputs, names, strict=True):
        tensor.name = name  # which Keras has numbered anew where the network was made again
    inputs = graphs.once(verification_inputs, keras_model, representative_data)
    calibration = None
    if ENCODINGS[quantization].calibrated:
        examples = [array[:_CALIBRATION_EXAMPLES] for array in inputs]  # which are spread over all of the data
        calibration = Calibration(examples, integer_only)
    artifacts, failures = [], {}
    for use_sparse in _layouts(keras_model, quantization, sparse, client):
        try:
            content, verified, passed_over = _convert_and_verify(
                graphs, keras_model, quantization, use_sparse, calibration, inputs, client
            )
            artifacts.append(
                TFLiteArtifact(
                    content,
                    quantization,
                    use_sparse,
                    verified.relative_error,
                    verified_examples=verified.examples,
                    caveats=verified.caveats,
                    unquantized=passed_over,
                    clients=client.names,
                    verified_by=verified.clients,
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


def _check(keras_model, quantization, sparse, representative_data, client, integer_only):
    check_network("keras_model", keras_model)
    check_convertible("keras_model", keras_model)
    check_quantization(quantization)
    if sparse not in (True, False, "auto"):
        raise ValueError(f"Expected `sparse` to be True, False or 'auto'. Received: sparse={sparse!r}")
    if integer_only not in (True, False):
        raise ValueError(f"Expected `integer_only` to be True or False. Received: integer_only={integer_only!r}")
    if integer_only and not ENCODINGS[quantization].calibrated:
        raise ValueError(
            f"Expected quantization='int8' with `integer_only`. Received: quantization={quantization!r}, "
            f"integer_only={integer_only!r}"
        )
    check_client_computes(client, quantization)
    check_client_reads(client, quantization, sparse, sparse is True and _may_be_by_channels(keras_model, quantization))
    check_client_takes(client, keras_model, [quantization])
    if "web" in client.names:
        web.is_available()  # which looks at where LiteRT.js is said to be
    if ENCODINGS[quantization].calibrated and representative_data is None:
        raise ValueError(
            "Expected `representative_data`, some examples to calibrate the activations on, for "
            f"quantization={quantization!r}. Received: representative_data=None"
        )


def _check_finite(keras_model):
    check_finite_weights("keras_model", keras_model)


def _layouts(keras_model, quantization, sparse, client):
    if sparse != "auto":
        return [sparse]
    if client.sparse is not None:
        may_be_sparse = client.by_channels and _may_be_by_channels(keras_model, quantization)
        return [False, True] if may_be_sparse else [False]
    # LiteRT's delegate refuses sparse 8-bit weights.
    can_be_sparse = ENCODINGS[quantization].integer_bits is None and any(
        float(np.mean(kernel == 0)) >= _LEAST_SPARSITY for kernel in _kernels(keras_model)
    )
    return [False, True] if can_be_sparse else [False]


def _may_be_by_channels(keras_model, quantization):
    """Whether so many weights of 1×1 convolutions are zero that XNNPACK may leave them out; see `fast_sparse`."""
    if quantization is not None:
        return False
    kernels = [
        keras.ops.convert_to_numpy(layer.kernel)
        for layer in keras_model._flatten_layers()
        if isinstance(layer, keras.layers.Conv2D) and set(layer.kernel_size) == {1}
    ]
    return are_left_out(*count_zeros(kernels))


def _convert_and_verify(graphs, keras_model, quantization, sparse, calibration, inputs, client):
    """Bytes of the file, its `Verification`, and the tensors that the encoding has passed over."""
    # Blocks of a kernel that is not padded may be refused; single weights need no padding.
    padded = pad_inputs(keras_model) if sparse and ENCODINGS[quantization].integer_bits is None else keras_model
    for model in dict.fromkeys((keras_model, padded)):

        def made(scale_of_kernel, anywhere=False, model=model):
            file = _convert(graphs, model, quantization, sparse, calibration, scale_of_kernel)
            if sparse and client.sparse is not None:
                file = expanded_at_start(file)
            finished_model = finished(file, keras_model, client)
            lacking = () if anywhere else check_client_has(client, finished_model, quantization)
            passed_over = unquantized(finished_model, quantization)
            content = serialize(finished_model)
            reference = graphs.once(Reference, keras_model, inputs)
            verified = verify(content, keras_model, quantization, inputs, client=client, reference=reference)
            return content, dataclasses.replace(verified, caveats=verified.caveats + lacking), passed_over

        try:
            return _with_fewest_scales(made, keras_model, quantization, client)
        except ConversionError:
            if model is padded:
                raise


def _with_fewest_scales(made, keras_model, quantization, client):
    """The smaller file, with one scale for each Dense kernel, where it is as good as that with one for each unit.

    Args:
        made: Gives bytes, `Verification` and more of the file with one scale for each Dense kernel, if told so.
        keras_model: Its model.
        quantization: As in `to_tflite`.
        client: `Client`.
    """
    encoding = ENCODINGS[quantization]
    if encoding.integer_bits is None or encoding.recipe is not None:
        return made(scale_of_kernel=False)
    if not encoding.calibrated:
        if client.runtime < _SCALES_OF_UNITS_FROM:
            return _told_of_scales(made, client)
        if any(map(may_be_on_grid, _kernels(keras_model))):  # of which each unit has a step of its own
            return made(scale_of_kernel=False)
    try:
        of_kernels = made(scale_of_kernel=True)
    except OutputsDifferError:
        return made(scale_of_kernel=False)
    if of_kernels[1].relative_error <= _SMALL_ERROR:
        return of_kernels
    try:
        of_units = made(scale_of_kernel=False)
    except ConversionError:
        return of_kernels
    return min(of_kernels, of_units, key=lambda file: file[1].relative_error)


def _told_of_scales(made, client):
    """The file with one scale for each Dense kernel, which says so if a scale for each unit would be much better."""
    content, verified, passed_over = made(scale_of_kernel=True)
    if verified.relative_error > _SMALL_ERROR:
        try:
            _, of_units, _ = made(scale_of_kernel=False, anywhere=True)
        except ConversionError:
            return content, verified, passed_over
        if verified.relative_error > _MUCH * of_units.relative_error:
            caveat = (
                f"Units of Dense layers differ much in scale, and files for client={client.argument} have one for each "
                f"layer: with client='cpu' the relative error would be {of_units.relative_error:.2g} in the place of "
                f"{verified.relative_error:.2g}"
            )
            verified = dataclasses.replace(verified, caveats=(*verified.caveats, caveat))
    return content, verified, passed_over


def _convert(graphs, keras_model, quantization, sparse, calibration, scale_of_kernel=False):
    encoding = ENCODINGS[quantization]
    if encoding.recipe is not None:
        # Of a sparse file nothing would be quantized; asked for it, the check of the result says so.
        exact = _convert(graphs, keras_model, None, sparse, None)
        return keep_grid(quantize_by_recipe(exact, encoding.recipe, encoding.bits), exact)
    if encoding.calibrated:
        check_has_no_loop(keras_model)
    content = converted(graphs, keras_model, quantization, sparse, calibration, scale_of_kernel)
    if sparse:
        return unblocked_where_smaller(content, list(_kernels(keras_model)))
    may_have_grid = encoding.integer_bits is not None and not encoding.calibrated
    if may_have_grid and any(map(may_be_on_grid, _kernels(keras_model))):
        return keep_grid(content, converted(graphs, keras_model, None, False, None))
    return content


def _kernels(keras_model):
    return (keras.ops.convert_to_numpy(weight) for weight in keras_model.weights if len(weight.shape) > 1)
