"""Running a TFLite file with LiteRT.js in Node.js, where the user has both and says where the package is."""

import base64
import json
import os
import pathlib
import shutil
import subprocess

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from cvhn_tf.export.verification.litert import as_float, as_stored

VARIABLE = "CVHN_TF_LITERT_JS"
"""Environment variable that names the folder node_modules with @litertjs/core in it."""

_SCRIPT = pathlib.Path(__file__).with_name("litert_js.mjs")
# Far beyond what a few examples take.
_LONGEST_S = 600


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
    """A TFLite file for LiteRT.js in WebAssembly. Each `run` is a process of its own.

    Args:
        content: The file's bytes.
    """

    def __init__(self, content):
        interpreter = Interpreter(model_content=content)
        self._content = content
        self._inputs, self._outputs = interpreter.get_input_details(), interpreter.get_output_details()

    def run(self, inputs):
        """Outputs for a batch: list of arrays for a list of arrays, in the file's order.

        Raises:
            RuntimeError: If LiteRT.js cannot run the file, with its reason.
        """
        size = int(self._inputs[0]["shape"][0])  # of the batches that the file takes
        batches = [
            [self._tensor(array[i : i + size], detail) for array, detail in zip(inputs, self._inputs, strict=True)]
            for i in range(0, len(inputs[0]), size)
        ]
        task = json.dumps({"content": base64.b64encode(self._content).decode(), "batches": batches})
        command = ["node", str(_SCRIPT), os.environ[VARIABLE]]
        process = subprocess.run(command, input=task, capture_output=True, text=True, timeout=_LONGEST_S)
        if process.returncode != 0:
            lines = [line.strip() for line in process.stderr.splitlines() if line.strip()]
            raise RuntimeError(f"its process ended with {process.returncode}: {lines[-1] if lines else ''}")
        told = json.loads(process.stdout.splitlines()[-1])
        if "refused" in told:
            raise RuntimeError(told["refused"])
        rows = [
            [self._array(made, detail) for made, detail in zip(batch, self._outputs, strict=True)]
            for batch in told["batches"]
        ]
        return [np.concatenate(outputs) for outputs in zip(*rows, strict=True)]

    def _tensor(self, array, detail):
        stored = as_stored(array, detail)
        return {"dtype": str(stored.dtype), "shape": stored.shape, "values": stored.ravel().tolist()}

    def _array(self, made, detail):
        """What JSON holds as null were no numbers."""
        values = np.array(made["values"], "float64").reshape(made["shape"])
        return as_float(values.astype(detail["dtype"]), detail)


def _package():
    return pathlib.Path(os.environ[VARIABLE]) / "@litertjs" / "core"
