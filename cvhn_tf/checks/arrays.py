"""Inputs of a network as it takes them, or a clear error."""

from typing import Any

import keras
import numpy as np


def flatten_inputs(inputs: Any, names: Any) -> list[Any]:
    """The list of a model's inputs, from a structure like its own or a dict keyed by the names of the inputs.

    Args:
        inputs: Structure of arrays or tensors.
        names: Names of the model's inputs, in the structure that it has them in.

    Raises:
        ValueError: If a dict lacks an input.
    """
    if not isinstance(inputs, dict):
        return keras.tree.flatten(inputs)
    keys = list(names) if isinstance(names, dict) else keras.tree.flatten(names)
    missing = [key for key in keys if key not in inputs]
    if missing:
        raise ValueError(f"Expected `x` for the inputs {keys}. Received: x for {list(inputs)}, without {missing}")
    if isinstance(names, dict):
        return keras.tree.flatten({key: inputs[key] for key in keys})  # in the order of Keras, which sorts keys
    return [inputs[key] for key in keys]


def check_pair(data: Any) -> tuple[Any, Any]:
    """Examples and labels.

    Raises:
        ValueError: If `data` is no pair.
    """
    try:
        x, y = data
    except (TypeError, ValueError):
        raise ValueError(
            f"Expected `data` to be a pair (x, y) or a tf.data.Dataset. Received: data={type(data)}"
        ) from None
    return x, y


def as_input_arrays(keras_model: keras.Model, data: Any, name: str = "representative_data") -> list[np.ndarray]:
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
        structure = getattr(keras_model, "_inputs_struct", None)
        if isinstance(structure, dict) and set(structure) <= set(data):
            names = keras.tree.flatten({key: key for key in structure})
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
            f"Received: {name} of shapes {[array.shape for array in arrays]}"
        )
    for array in arrays:
        is_bfloat16 = array.dtype.name == "bfloat16"
        if array.dtype.kind not in "buif" and not is_bfloat16:
            raise ValueError(f"Expected `{name}` to be numbers. Received: {name} of dtype {array.dtype}")
        wrong = ~np.isfinite(array.astype("float32") if is_bfloat16 else array)
        if wrong.any():
            raise ValueError(
                f"Expected `{name}` to be finite. Received: {name} with {wrong.sum()} NaN or infinite values"
            )
    return [array.astype(tensor.dtype, copy=False) for array, tensor in zip(arrays, keras_model.inputs, strict=True)]
