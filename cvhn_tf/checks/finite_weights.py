"""Weights that are NaN or infinite are found before anything is made of them."""

from collections.abc import Iterable

import keras
import numpy as np


def first_non_finite(variables: Iterable[keras.Variable]) -> str | None:
    """Path of the first of some variables that holds NaN or infinity; None where all are finite.

    Args:
        variables: Iterable of `keras.Variable`.
    """
    for variable in variables:
        if not keras.backend.is_float_dtype(variable.dtype):
            continue
        values = keras.ops.convert_to_numpy(variable)
        if values.dtype == "bfloat16":  # which NumPy's test does not know
            values = values.astype("float32")
        if not np.isfinite(values).all():
            return variable.path
    return None


def check_finite_weights(name: str, model: keras.Model) -> None:
    """Raises a `ValueError` that names the first weight of a model that is not finite.

    Args:
        name: Name of the user's argument.
        model: Built `keras.Model`.
    """
    check_finite_variables(name, model, model.weights)


def check_finite_variables(name: str, model: keras.Model, variables: Iterable[keras.Variable]) -> None:
    """As `check_finite_weights`, for some variables of a model."""
    path = first_non_finite(variables)
    if path is not None:
        raise ValueError(
            f"Expected finite weights in `{name}`. Received: {name}={model.name!r}, with NaN or infinity in {path!r}"
        )
