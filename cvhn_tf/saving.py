"""Loading a saved hypernetwork, with errors that say what the file is instead."""

import os
import pathlib

import keras

from cvhn_tf.checks.errors import with_cause
from cvhn_tf.files.archive import check_archive
from cvhn_tf.hypernetwork import VariationalHypernetwork


def load_model(path: str | os.PathLike[str], compile: bool = True) -> VariationalHypernetwork:
    """As `keras.saving.load_model`, for `.keras` files of a `VariationalHypernetwork` only.

    The archive is looked at first: nothing that leads out of it or expands to much more than it is gets to Keras, nor
    a model of another class. Keras loads it in safe mode, which runs no code from the file.

    Args:
        path: Path of the file.
        compile: Whether to restore the optimizer too, to go on training.

    Raises:
        FileNotFoundError: If there is no file.
        TypeError: If `path` is none.
        ValueError: If the file holds something else, or more than Keras writes.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"Expected `path` to be the path of a file. Received: path={path!r}")
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"Expected `path` to be a `.keras` file. Received: path={str(path)!r}, no such file")
    try:
        check_archive(path, VariationalHypernetwork)
    except ValueError as error:
        raise ValueError(
            "Expected `path` to be a `.keras` file of a `VariationalHypernetwork`. "
            f"Received: path={str(path)!r}, {error}"
        ) from error
    try:
        model = keras.saving.load_model(path, compile=compile, safe_mode=True)
    except Exception as error:  # whatever a class's `from_config` may raise
        raise ValueError(
            "Expected `path` to be a `.keras` file of a `VariationalHypernetwork`. "
            f"Received: path={str(path)!r}, which Keras cannot load: {with_cause(error)}"
            + ("; `compile=False` does without the loss and the optimizer" if compile else "")
        ) from error
    return model
