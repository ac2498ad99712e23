"""Loading a saved hypernetwork, with errors that say what the file is instead."""

import os
import pathlib

import keras

from cvhn_tf.hypernetwork import VariationalHypernetwork


def load_model(path: str | os.PathLike[str], compile: bool = True) -> VariationalHypernetwork:
    """As `keras.saving.load_model`, for `.keras` files of a `VariationalHypernetwork` only.

    Args:
        path: Path of the file.
        compile: Whether to restore the optimizer too, to go on training.

    Raises:
        FileNotFoundError: If there is no file.
        ValueError: If the file holds something else.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"Expected `path` to be a `.keras` file. Received: path={str(path)!r}, no such file")
    try:
        model = keras.saving.load_model(path, compile=compile, safe_mode=True)
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise ValueError(
            "Expected `path` to be a `.keras` file of a `VariationalHypernetwork`. "
            f"Received: path={str(path)!r}, which Keras cannot load: {_first_line(error)}"
        ) from error
    if not isinstance(model, VariationalHypernetwork):
        raise ValueError(
            "Expected `path` to be a `.keras` file of a `VariationalHypernetwork`. "
            f"Received: path={str(path)!r}, which holds a {type(model).__name__}"
        )
    return model


def _first_line(error):
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
