"""No file is handed over that LiteRT does not run, or that does not do what its Keras model does."""

import keras
import numpy as np

from cvhn_tf.checks.arrays import as_input_arrays
from cvhn_tf.export.verification.litert import LiteRTModel
from cvhn_tf.export.verification.requantization import unscalable_output

# Share of the outputs' root mean square that the error's may reach. Real errors are far below; garbage is far above.
_TOLERANCE = {
    None: 1e-3,
    "float16": 2e-2,
    "dynamic_range": 0.25,
    "int8": 0.35,
    "weight_only_int8": 0.1,
    "weight_only_int4": 0.5,
}
_EXAMPLES = 16
FREE_SIZE = 8
"""What stands in the place of a size of the inputs that is free."""


class ConversionError(RuntimeError):
    """A combination of architecture and encoding that gives no working TFLite file."""


def verification_inputs(keras_model, representative_data=None):
    """List of input arrays to compare on: the user's own examples, or random ones."""
    if representative_data is not None:
        return [array[:_EXAMPLES] for array in as_input_arrays(keras_model, representative_data)]
    rng = np.random.default_rng(0)
    return [_random_input(keras_model, tensor, rng) for tensor in keras_model.inputs]


def verify(content, keras_model, quantization, inputs) -> float:
    """Runs the file with LiteRT beside the Keras model.

    Returns:
        Root mean square of the difference, as a share of the outputs' root mean square; the worst output's.

    Raises:
        ConversionError: If LiteRT refuses the file, or gives other outputs.
    """
    unscalable = unscalable_output(content) if quantization == "int8" else None
    if unscalable is not None:
        raise ConversionError(
            f"LiteRT cannot run the file: the outputs of a layer, '{unscalable}', were all nearly zero on "
            "`representative_data`, so that 8-bit integers have no scale for them. `compact` removes units that "
            "never fire"
        )
    expected = keras.tree.flatten(keras_model(_pack(keras_model, inputs), training=False))
    try:
        litert = LiteRTModel(content)
        litert.order_inputs([tensor.name for tensor in keras_model.inputs])
        outputs = litert.run(inputs)
    except (RuntimeError, ValueError) as error:
        raise ConversionError(f"LiteRT cannot run the file: {error}") from error
    errors = [_relative_error(keras.ops.convert_to_numpy(e), o) for e, o in zip(expected, outputs, strict=True)]
    if not max(errors) <= _TOLERANCE[quantization]:  # also if it is NaN
        raise ConversionError(
            f"The file's outputs differ from the Keras model's: relative error {max(errors):.3g}, "
            f"more than {_TOLERANCE[quantization]:g}"
        )
    return max(errors)


def _pack(keras_model, inputs):
    structure = getattr(keras_model, "_inputs_struct", None)
    return inputs[0] if len(inputs) == 1 else keras.tree.pack_sequence_as(structure, inputs)


def _relative_error(expected, outputs):
    if expected.shape != outputs.shape or not np.isfinite(outputs).all():
        return float("nan")
    scale = np.sqrt(np.mean(np.square(expected, dtype=np.float64)))
    return float(np.sqrt(np.mean(np.square(outputs - expected, dtype=np.float64))) / max(scale, 1e-6))


def _random_input(keras_model, tensor, rng):
    shape = (_EXAMPLES, *(size or FREE_SIZE for size in tensor.shape[1:]))
    if keras.backend.is_float_dtype(tensor.dtype):
        return rng.uniform(size=shape).astype(tensor.dtype)
    sizes = [layer.input_dim for layer in keras_model._flatten_layers() if isinstance(layer, keras.layers.Embedding)]
    return rng.integers(0, min(sizes, default=2), shape).astype(tensor.dtype)
