"""Running a TFLite file with LiteRT, with inputs and outputs in the order of the Keras model."""

import re
import time

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from cvhn_tf.export.tflite.artifact import TFLiteArtifact
from cvhn_tf.export.verification.quiet import native_stderr_off


class LiteRTModel:
    """A TFLite file opened by the LiteRT interpreter.

    Args:
        content: The file's bytes, or a `TFLiteArtifact`.
        threads: Number of CPU threads.
    """

    def __init__(self, content, threads=1):
        content = content.content if isinstance(content, TFLiteArtifact) else content
        self._interpreter = Interpreter(model_content=content, num_threads=threads)
        self._inputs = self._interpreter.get_input_details()
        # What stands in the place of sizes that are free, 1, may be too little for the layers.
        self._is_allocated = all(-1 not in detail["shape_signature"][1:] for detail in self._inputs)
        if self._is_allocated:
            self._allocate()
        self._outputs = self._interpreter.get_output_details()
        signature = next(iter(self._interpreter.get_signature_list().values()), None)
        if signature:
            runner = self._interpreter.get_signature_runner()
            inputs, outputs = runner.get_input_details(), runner.get_output_details()
            self._inputs_by_name = {name: inputs[name] for name in signature["inputs"]}
            if all(re.fullmatch(r"output_\d+", name) for name in signature["outputs"]):
                # A file of the converter's own, whose outputs are numbered in Keras's order and stored in another.
                self._outputs = [outputs[name] for name in sorted(signature["outputs"], key=_number)]
        else:
            self._inputs_by_name = {detail["name"]: detail for detail in self._inputs}
        self.batch_is_fixed = any(-1 not in d["shape_signature"][:1] for d in self._inputs)

    @property
    def input_details(self):
        """LiteRT's description of each input, in the order in which `run` takes them."""
        return self._inputs

    def take_inputs(self, x):
        """The inputs as a list of arrays, from one array, a list in the file's order, or a dict by its names.

        From then on `run` takes them in the order of this list.

        Raises:
            ValueError: If a dict has other names.
        """
        if isinstance(x, dict):
            if set(x) != set(self._inputs_by_name):
                raise ValueError(
                    f"Expected `x` for the inputs {sorted(self._inputs_by_name)}. Received: x for {list(x)}"
                )
            self.order_inputs(list(x))
            x = list(x.values())
        return [np.asarray(array) for array in (x if isinstance(x, list | tuple) else [x])]

    def order_inputs(self, names):
        """Fixes the order in which `run` takes the inputs, by the names of the Keras model's inputs."""
        by_name = self._inputs_by_name
        if len(names) > 1 and set(names) <= set(by_name):
            self._inputs = [by_name[name] for name in names]

    def check_inputs(self, arrays):
        """Raises a `ValueError` unless arrays are of the shapes of the inputs, and of numbers."""
        expected = [tuple(detail["shape_signature"][1:]) for detail in self._inputs]
        fits = len(arrays) == len(expected) and all(
            array.ndim == 1 + len(shape)
            and all(size in (-1, given) for size, given in zip(shape, array.shape[1:], strict=True))
            for array, shape in zip(arrays, expected, strict=True)
        )
        if not fits or any(array.dtype.kind in "OUSc" for array in arrays):
            shapes = [("examples", *(int(size) for size in shape)) for shape in expected]
            raise ValueError(
                f"Expected `x` of numbers, of shapes {shapes}. "
                f"Received: x of shapes {[array.shape for array in arrays]}, dtypes {[str(a.dtype) for a in arrays]}"
            )

    def count_classes(self) -> int | None:
        """Number of classes of a classifier, whose only output is of shape (examples, classes); else None."""
        shapes = [detail["shape_signature"] for detail in self._outputs]
        if len(shapes) != 1 or len(shapes[0]) != 2 or shapes[0][1] < 1:
            return None
        return max(int(shapes[0][1]), 2)

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs, in the order in which `run` gives them."""
        names = {detail["index"]: detail["name"] for detail in self._outputs}
        if self._interpreter.get_signature_list():
            by_name = self._interpreter.get_signature_runner().get_output_details()
            names |= {detail["index"]: name for name, detail in by_name.items()}
        return [names[detail["index"]] for detail in self._outputs]

    def run(self, inputs):
        """Outputs for a batch: list of arrays for a list of arrays."""
        batch = len(inputs[0])
        if self.batch_is_fixed and batch != self._inputs[0]["shape"][0]:
            return self._run_in_batches(inputs, batch, self._inputs[0]["shape"][0])
        self._resize(inputs)
        return self._invoke(inputs)

    def _resize(self, inputs):
        shapes = {detail["index"]: tuple(detail["shape"]) for detail in self._interpreter.get_input_details()}
        pairs = list(zip(self._inputs, inputs, strict=True))
        if not self._is_allocated or any(shapes[detail["index"]] != array.shape for detail, array in pairs):
            for detail, array in pairs:
                self._interpreter.resize_tensor_input(detail["index"], array.shape)
            self._allocate()

    def _invoke(self, inputs):
        for detail, array in zip(self._inputs, inputs, strict=True):
            self._interpreter.set_tensor(detail["index"], as_stored(array, detail))
        self._interpreter.invoke()
        return [as_float(self._interpreter.get_tensor(detail["index"]), detail) for detail in self._outputs]

    def _allocate(self):
        with native_stderr_off():  # the first one of a process tells which delegate it uses
            self._interpreter.allocate_tensors()
        self._is_allocated = True

    def _run_in_batches(self, inputs, examples, size):
        """As `run`, for a file that takes batches of one size only: the last one is filled up."""
        parts = []
        rows = np.arange(-(-examples // size) * size) % examples
        for start in range(0, examples, size):
            given = [array[rows[start : start + size]] for array in inputs]
            if start == 0:
                self._resize(given)
            parts.append(self._invoke(given))
        return [np.concatenate(outputs)[:examples] for outputs in zip(*parts, strict=True)]

    def latency_ms(self, inputs, repeats=50):
        """Median wall-clock time in ms of one example, batch of one, after a warm-up."""
        one = [array[:1] for array in inputs]
        for _ in range(3):
            self.run(one)
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            self._interpreter.invoke()
            times.append(time.perf_counter() - start)
        return 1e3 * float(np.median(times))


def as_stored(array, detail):
    """Values as a tensor of a file holds them: of its type, and on its scale where it is of integers with one.

    What is of that type already is taken for what the tensor holds.

    Args:
        array: Array.
        detail: An interpreter's description of the tensor.
    """
    scales, zeros = (detail["quantization_parameters"][key] for key in ("scales", "zero_points"))
    if len(scales) and np.asarray(array).dtype != detail["dtype"]:
        limits = np.iinfo(detail["dtype"])
        array = np.clip(np.rint(np.asarray(array) / scales[0]) + zeros[0], limits.min, limits.max)
    return np.ascontiguousarray(array, detail["dtype"])


def as_float(array, detail):
    """The values of a tensor of a file, off its scale where it is of integers with one; arguments as in `as_stored`."""
    scales, zeros = (detail["quantization_parameters"][key] for key in ("scales", "zero_points"))
    return ((array.astype("float32") - zeros[0]) * scales[0]).astype("float32") if len(scales) else array


def open_file(content, threads=1) -> LiteRTModel:
    """A TFLite file from anywhere, opened.

    Args:
        content: As in `LiteRTModel`.
        threads: As in `LiteRTModel`.

    Raises:
        ValueError: If LiteRT cannot open it.
    """
    try:
        return LiteRTModel(content, threads)
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"Expected a TFLite file that LiteRT can open. Received: {len(content):,} bytes ({error})"
        ) from error


def _number(name):
    return int(name.removeprefix("output_"))
