"""No file is handed over that LiteRT does not run, or that does not do what its Keras model does."""

import keras
import numpy as np

from cvhn_tf.export.litert import LiteRTModel

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


class ConversionError(RuntimeError):
    """A combination of architecture and encoding that gives no working TFLite file."""


def verification_inputs(keras_model, representative_data=None):
    """List of input arrays to compare on: the user's own examples, or random ones."""
    if representative_data is not None:
        return [array[:_EXAMPLES] for array in as_input_arrays(keras_model, representative_data)]
    rng = np.random.default_rng(0)
    return [_random_input(keras_model, tensor, rng) for tensor in keras_model.inputs]


def as_input_arrays(keras_model, data, name="representative_data"):
    """`data` (an array, or a list or dict of arrays) as a list in the order of the model's inputs.

    Args:
        keras_model: Functional or Sequential Keras model.
        data: What was given.
        name: Name of the user's argument.

    Raises:
        ValueError: If the shapes do not fit the model's inputs, or the values are no finite numbers.
    """
    if isinstance(data, dict):
        names = [tensor.name for tensor in keras_model.inputs]
        if not set(names) <= set(data):
            raise ValueError(f"Expected `{name}` for the inputs {names}. Received: data for {list(data)}")
        data = [data[name] for name in names]
    arrays = [np.asarray(array) for array in (data if isinstance(data, list | tuple) else [data])]
    expected = [tuple(tensor.shape[1:]) for tensor in keras_model.inputs]
    fits = len(arrays) == len(expected) and all(
        a.ndim == 1 + len(e) and len(a) > 0 and all(n in (None, m) for n, m in zip(e, a.shape[1:], strict=True))
        for a, e in zip(arrays, expected, strict=True)
    )
    if not fits:
        raise ValueError(
            f"Expected `{name}` of shapes {[('examples', *shape) for shape in expected]}, at least one example. "
            f"Received: shapes {[array.shape for array in arrays]}"
        )
    for array in arrays:
        is_number = array.dtype.kind in "buif" or array.dtype.name == "bfloat16"
        if not is_number or not np.isfinite(array if array.dtype.kind in "buif" else array.astype("float32")).all():
            raise ValueError(
                f"Expected `{name}` to be finite numbers. Received: dtype {array.dtype}, or NaN or infinity in it"
            )
    return [array.astype(tensor.dtype) for array, tensor in zip(arrays, keras_model.inputs, strict=True)]


def verify(content, keras_model, quantization, inputs) -> float:
    """Runs the file with LiteRT beside the Keras model.

    Returns:
        Root mean square of the difference, as a share of the outputs' root mean square; the worst output's.

    Raises:
        ConversionError: If LiteRT refuses the file, or gives other outputs.
    """
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
    shape = (_EXAMPLES, *(size or 8 for size in tensor.shape[1:]))
    if keras.backend.is_float_dtype(tensor.dtype):
        return rng.uniform(size=shape).astype(tensor.dtype)
    sizes = [layer.input_dim for layer in keras_model._flatten_layers() if isinstance(layer, keras.layers.Embedding)]
    return rng.integers(0, min(sizes, default=2), shape).astype(tensor.dtype)
