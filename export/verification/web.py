"""Running a TFLite file with LiteRT.js in Node.js, where the user has both and says where the package is."""

import atexit
import base64
import contextlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import threading

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from cvhn_tf.export.verification.litert import as_float, as_stored

VARIABLE = "CVHN_TF_LITERT_JS"
"""Environment variable that names the folder node_modules with @litertjs/core in it."""

_SCRIPT = pathlib.Path(__file__).with_name("litert_js.mjs")
# Far beyond what a few examples take.
_LONGEST_S = 600
_ANSWER = "answer: "


def is_available() -> bool:
    """Whether the variable names a folder.

    Raises:
        ValueError: If @litertjs/core is not in that folder, or Node.js is not installed.
    """
    if not os.environ.get(VARIABLE):
        return False
    if not (_package() / "package.json").is_file():
        raise ValueError(
            f"Expected {VARIABLE} to name a folder node_modules with the package @litertjs/core. "
            f"Received: {VARIABLE}={os.environ[VARIABLE]!r}"
        )
    if shutil.which("node") is None:
        raise ValueError(f"Expected Node.js to be installed, as {VARIABLE} is set. Received: no program `node`")
    return True


def version() -> str:
    """Name and version of the package."""
    return f"LiteRT.js {json.loads((_package() / 'package.json').read_text())['version']}"


class WebModel:
    """A TFLite file for LiteRT.js in WebAssembly, on one thread of a process that all such files share.

    Args:
        content: The file's bytes.
    """

    def __init__(self, content):
        interpreter = Interpreter(model_content=content)
        self._content = content
        self._inputs, self._outputs = interpreter.get_input_details(), interpreter.get_output_details()

    @property
    def input_details(self):
        """LiteRT's description of each input, in the order in which `run` takes them."""
        return self._inputs

    def run(self, inputs):
        """Outputs for a batch: list of arrays for a list of arrays, in the file's order.

        Raises:
            RuntimeError: If LiteRT.js cannot run the file, with its reason.
        """
        size = int(self._inputs[0]["shape"][0])  # of the batches that the file takes
        batches = [self._tensors(inputs, i, size) for i in range(0, len(inputs[0]), size)]
        rows = [
            [self._array(made, detail) for made, detail in zip(batch, self._outputs, strict=True)]
            for batch in self._told(batches)["batches"]
        ]
        return [np.concatenate(outputs) for outputs in zip(*rows, strict=True)]

    def latency_ms(self, inputs, repeats=50):
        """Median wall-clock time in ms of one example, after a warm-up.

        Args:
            inputs: List of arrays, in the file's order.
            repeats: Number of runs.

        Raises:
            RuntimeError: As of `run`.
        """
        return statistics.median(self.times_ms(inputs, repeats)["times"])

    def times_ms(self, inputs, repeats) -> dict[str, list[float]]:
        """Each time in ms, with arguments and errors of `latency_ms`.

        Returns:
            Dict of `times`, on the clock, and `processor_times`, in which others that run on the machine do not count.
        """
        told = self._told([self._tensors(inputs, 0, 1)], repeats)
        return {name: told[name] for name in ("times", "processor_times")}

    def _told(self, batches, repeats=0):
        content = base64.b64encode(self._content).decode()
        return _PROCESS.told({"content": content, "batches": batches, "repeats": repeats})

    def _tensors(self, inputs, start, size):
        arrays = zip(inputs, self._inputs, strict=True)
        return [self._tensor(array[start : start + size], detail) for array, detail in arrays]

    def _tensor(self, array, detail):
        stored = as_stored(array, detail)
        return {"dtype": str(stored.dtype), "shape": stored.shape, "values": stored.ravel().tolist()}

    def _array(self, made, detail):
        """What JSON holds as null were no numbers."""
        values = np.array(made["values"], "float64").reshape(made["shape"])
        return as_float(values.astype(detail["dtype"]), detail)


class _Process:
    """Node.js with LiteRT.js, begun with the first task, and anew where the last one has ended it."""

    def __init__(self):
        self._lock = threading.Lock()
        self._process = self._packages = None

    def told(self, task):
        """What LiteRT.js makes of a task, a dict; see litert_js.mjs.

        Raises:
            RuntimeError: If it cannot run the file, with its reason.
        """
        with self._lock:
            process = self._running()
            watch = threading.Timer(_LONGEST_S, process.kill)
            watch.start()
            try:
                told = self._answer(process, task)
            finally:
                watch.cancel()
        if "refused" in told:
            raise RuntimeError(told["refused"])
        return told

    def _answer(self, process, task):
        with contextlib.suppress(BrokenPipeError):  # of a process that has ended, and says why
            process.stdin.write(json.dumps(task) + "\n")
            process.stdin.flush()
        last = ""
        for line in process.stdout:
            if line.startswith(_ANSWER):
                return json.loads(line.removeprefix(_ANSWER))
            last = line.strip() or last
        raise RuntimeError(f"its process ended with {process.wait()}: {last}")

    def _running(self):
        packages = os.environ[VARIABLE]
        if self._process is None or self._process.poll() is not None or packages != self._packages:
            self.end()
            self._packages = packages
            self._process = subprocess.Popen(
                ["node", str(_SCRIPT), packages],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        return self._process

    def end(self):
        """Ends the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            with contextlib.suppress(BrokenPipeError):
                self._process.communicate()
            self._process = None


_PROCESS = _Process()
atexit.register(_PROCESS.end)


def _package():
    return pathlib.Path(os.environ[VARIABLE]) / "@litertjs" / "core"
