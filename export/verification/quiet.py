"""Keeps notices off the terminal that TensorFlow's converter and LiteRT have no setting for.

The standard error and a logger's level are the whole process's. Where several threads export at once, the first one
turns them off and the last one puts them back: each on its own would put back what another had turned off.
"""

import contextlib
import logging
import os
import threading
import warnings

import keras


class _Shared:
    """A change of the process that threads want at the same time: made for the first, taken back after the last.

    Args:
        change: Function that gives a context manager which makes the change.
    """

    def __init__(self, change):
        self._change = change
        self._lock = threading.Lock()
        self._users = 0

    @contextlib.contextmanager
    def __call__(self):
        with self._lock:
            if self._users == 0:
                self._made = self._change()
                self._made.__enter__()
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    self._made.__exit__(None, None, None)


@contextlib.contextmanager
def _stderr_off():
    saved = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


@contextlib.contextmanager
def _tensorflow_logs_errors_only():
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextlib.contextmanager
def _no_warning_of_statistics():
    """Keeps back a warning of the converter's on files of 8 bits, whose inputs it measures itself."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Statistics for quantized inputs were expected")
        yield


_share_stderr_off = _Shared(_stderr_off)
_share_errors_only = _Shared(_tensorflow_logs_errors_only)
_share_no_warning = _Shared(_no_warning_of_statistics)


def native_stderr_off():
    """Sends what the process writes to its standard error, native code included, nowhere. Exceptions pass."""
    return _share_stderr_off()


@contextlib.contextmanager
def converter_off():
    """Keeps the converter's chatter off the terminal: logs, a warning, prints, and what C++ writes to stderr."""
    prints = keras.config.is_interactive_logging_enabled()  # of this thread, unlike `sys.stdout`
    keras.config.disable_interactive_logging()
    try:
        with _share_errors_only(), _share_no_warning(), native_stderr_off():
            yield
    finally:
        if prints:
            keras.config.enable_interactive_logging()
