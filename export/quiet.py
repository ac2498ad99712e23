"""Keeps native code's notices off the terminal: TensorFlow's converter and LiteRT have no setting for theirs."""

import contextlib
import os


@contextlib.contextmanager
def native_stderr_off():
    """Sends what the process writes to its standard error, native code included, nowhere. Exceptions pass."""
    saved = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
