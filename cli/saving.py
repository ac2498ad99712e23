"""Keras models written whole or not at all."""

import contextlib
import os


def save_atomically(model, path):
    """Saves a Keras model to a temporary file beside `path`, and moves it there once it is complete."""
    with _replacing(path) as temporary:
        model.save(temporary)


@contextlib.contextmanager
def _replacing(path):
    """Gives a temporary path beside `path`, and moves the file there once it is complete."""
    temporary = path.with_name(f".{path.stem}-{os.getpid()}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
