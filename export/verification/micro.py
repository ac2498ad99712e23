"""Running a TFLite file with tflite-micro, the interpreter of microcontrollers, whose package is optional."""

import contextlib
import importlib.metadata
import importlib.util
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading

import numpy as np

from cvhn_tf.export.tflite.flatbuffer import parse
from cvhn_tf.export.verification.litert import as_float, as_stored

# An arena is counted in steps of what tflite-micro aligns it to.
_STEP = 16
_LARGEST_ARENA = 2**30
_one_at_a_time = threading.Lock()
# In a process of its own: in an arena that is too small tflite-micro may end it.
_FIRST_THAT_FITS = """
import sys
from tflite_micro import runtime
path, size, step = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
while True:
    print(size, flush=True)
    try:
        runtime.Interpreter.from_file(path, arena_size=size)
        break
    except RuntimeError:
        size += step
"""


def is_available() -> bool:
    """Whether the package tflite-micro is installed."""
    return importlib.util.find_spec("tflite_micro") is not None


def check_is_available() -> None:
    """Raises a `ModuleNotFoundError` unless the package tflite-micro is installed."""
    if not is_available():
        raise ModuleNotFoundError(
            "Expected the package tflite-micro, which measures the memory for tensors; it comes with cvhn-tf's extra: "
            "pip install 'cvhn-tf[micro]'"
        )


def version() -> str:
    """Name and version of the installed package."""
    return f"tflite-micro {importlib.metadata.version('tflite-micro')}"


class MicroModel:
    """A TFLite file opened by tflite-micro.

    Args:
        content: The file's bytes.
        arena_bytes: Memory for tensors; by default enough for all that fit.

    Raises:
        RuntimeError: If tflite-micro cannot run it, with its reason.
    """

    def __init__(self, content, arena_bytes=None):
        from tflite_micro import runtime

        self._count = len(parse(content).subgraphs[0].outputs)
        with _reasons() as reasons:
            try:
                for size in [arena_bytes] if arena_bytes else _sizes(content):
                    with contextlib.suppress(RuntimeError):
                        self._interpreter = runtime.Interpreter.from_bytes(content, arena_size=size)
                        break
                else:
                    raise RuntimeError("tflite-micro cannot allocate its tensors")
            except RuntimeError as error:
                raise RuntimeError(_reason(reasons) or str(error)) from None

    def run(self, inputs):
        """Outputs for a batch, example by example: list of arrays for a list of arrays, in the file's order."""
        with _reasons():
            rows = [self._run_one([array[i : i + 1] for array in inputs]) for i in range(len(inputs[0]))]
        return [np.concatenate(outputs) for outputs in zip(*rows, strict=True)]

    def _run_one(self, inputs):
        for i, array in enumerate(inputs):
            self._interpreter.set_input(as_stored(array, self._interpreter.get_input_details(i)), i)
        self._interpreter.invoke()
        return [
            as_float(np.array(self._interpreter.get_output(i)), self._interpreter.get_output_details(i))
            for i in range(self._count)
        ]


def arena_bytes(content) -> int:
    """Memory in bytes that tflite-micro needs for a file's tensors on this machine, to 16 bytes.

    The least arena in which all tensors find a place. On a microcontroller of 32 bits, whose pointers are half as long,
    it is somewhat less.

    Raises:
        RuntimeError: If tflite-micro cannot run the file.
    """
    model = MicroModel(content)
    with _reasons() as lines:
        model._interpreter.print_allocations()
        lines.seek(0)
        (total,) = map(int, re.findall(rb"Arena allocation total (\d+) bytes", lines.read()))
    with tempfile.TemporaryDirectory(prefix="cvhn_tf-") as folder:
        path = pathlib.Path(folder) / "model.tflite"
        path.write_bytes(content)
        size = -(-total // _STEP) * _STEP
        while True:  # what is needed beside the tensors while they are placed is not in the total
            command: list = [sys.executable, "-c", _FIRST_THAT_FITS, path, str(size), str(_STEP)]
            process = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            size = int(process.stdout.split()[-1])
            if process.returncode == 0:
                return size
            size += _STEP


def _sizes(content):
    """Arenas to try, each larger than the one before."""
    size = 2**16
    while size < min(_LARGEST_ARENA, 2**16 + 256 * len(content)):
        yield size
        size *= 4
    yield size


@contextlib.contextmanager
def _reasons():
    """What tflite-micro writes to the standard error, which has its reasons; gives the open file."""
    with _one_at_a_time, tempfile.TemporaryFile() as lines:
        saved = os.dup(2)
        os.dup2(lines.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def _reason(lines):
    lines.seek(0)
    texts = [line.strip() for line in lines.read().decode(errors="replace").splitlines()]
    # Where memory lacks it says so at each size; the reason that does not change is another one.
    told = [text for text in texts if text and not text.startswith(("I0", "WARNING")) and "memory" not in text]
    return told[-1] if told else ""
