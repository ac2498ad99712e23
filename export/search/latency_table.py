"""How long the parts of a target take on a device, one by one, so that a structure's latency is their sum."""

import importlib.metadata
import json
import os
import pathlib
import platform
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from cvhn_tf.checks.arguments import is_finite_number
from cvhn_tf.export.conversion.convert import to_tflite
from cvhn_tf.export.tflite.artifact import TFLiteArtifact
from cvhn_tf.export.verification.litert import open_file
from cvhn_tf.files.atomic import write_atomically
from cvhn_tf.structure.choices import is_choice
from cvhn_tf.structure.usage import Usage

_VERSION = 1


class LatencyTable(Mapping[str, float]):
    """Milliseconds by the names of layers, as `structure_cost` of `cvhn_tf.VariationalHypernetwork` takes them.

    Layers that follow each other, with nothing beside them, are one part: a convolution, its normalization and its
    activation are one operation in a file. The first of them has the time of all.

    Args:
        rows: List of dicts with `layers` (their names), `input_shapes` (sizes for one example), and `ms`.
        encoding: Of the files that were measured, `"float32"` or as in `to_tflite`.
        device: What measured them, in words.
    """

    def __init__(self, rows: list[dict[str, Any]], encoding: str, device: str) -> None:
        self.rows, self.encoding, self.device = rows, encoding, device
        self._ms: dict[str, float] = {}
        for row in rows:
            first, *others = row["layers"]
            self._ms[first] = float(row["ms"])
            for name in others:
                self._ms.setdefault(name, 0.0)

    def __getitem__(self, layer: str) -> float:
        return self._ms[layer]

    def __iter__(self) -> Iterator[str]:
        return iter(self._ms)

    def __len__(self) -> int:
        return len(self._ms)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the table as JSON, whole or not at all."""
        table = {"version": _VERSION, "encoding": self.encoding, "device": self.device, "rows": self.rows}
        write_atomically(pathlib.Path(path), (json.dumps(table, indent=1) + "\n").encode())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "LatencyTable":
        """Reads a table that `save` wrote, on this machine or on another.

        Raises:
            OSError: If there is no such file.
            ValueError: If it holds something else.
        """
        try:
            table = json.loads(pathlib.Path(path).read_text())
            rows, encoding, device = table["rows"], table["encoding"], table["device"]
            is_right = table["version"] == _VERSION and all(map(_is_row, rows))
        except (ValueError, TypeError, KeyError):
            is_right = False
        if not is_right:
            raise ValueError(f"Expected `path` to be a table of latencies, as JSON. Received: path={os.fspath(path)!r}")
        return cls(rows, encoding, device)


def measure_latencies(
    target: keras.Model,
    quantization: str | None = None,
    *,
    measure: Callable[[TFLiteArtifact], float] | None = None,
    device: str | None = None,
) -> LatencyTable:
    """Converts each part of a target by itself, and measures how long it takes for one example.

    Args:
        target: Built functional or Sequential model, with `Choice` or `OptionalPaths` layers.
        quantization: As in `to_tflite`, but for `"int8"`, which takes examples of each part's own inputs.
        measure: Runs a `TFLiteArtifact` elsewhere, such as on a phone, and returns milliseconds. By default LiteRT runs
            it on one thread of this machine, and the median of fifty runs counts.
        device: What measures, in words, where `measure` is given.

    Raises:
        ValueError: If an argument is out of range, or a part has inputs of free size.

    Reference: [Wu et al., 2018](https://arxiv.org/abs/1812.03443): latency as a sum over a table of the device.
    """
    if not isinstance(target, keras.Model) or not target.built:
        raise ValueError(f"Expected `target` to be a built Keras model. Received: target={target!r}")
    if quantization == "int8":
        raise ValueError("Expected `quantization` that needs no examples. Received: quantization='int8'")
    parts = _parts(Usage(target))
    for calls, layers in parts:
        free = [tensor.shape for tensor in calls[0].inputs if None in tensor.shape[1:]]
        if free:
            raise ValueError(
                f"Expected inputs of known size for layer '{layers[0].name}', to measure how long it takes. "
                f"Received: shape {tuple(free[0])}"
            )
    measured: dict = {}
    rows = []
    for calls, layers in parts:
        # Equal parts at several places, such as the blocks of a stage, are measured once.
        key = json.dumps([_told(layer) for layer in layers] + [tensor.shape for tensor in calls[0].inputs])
        if key not in measured:
            artifact = to_tflite(_network(calls, layers), quantization, client="cpu")
            measured[key] = (measure or _on_this_machine)(artifact)
        rows.append(
            {
                "layers": [layer.name for layer in layers],
                "input_shapes": [list(tensor.shape[1:]) for tensor in calls[0].inputs],
                "ms": float(measured[key]),
            }
        )
    if device is None:
        device = f"{platform.machine()}, one thread, ai-edge-litert {importlib.metadata.version('ai-edge-litert')}"
    return LatencyTable(rows, quantization or "float32", device)


def _parts(usage):
    """The calls and layers of each part: a chain of layers, each of which alone reads the one before."""
    readers: list[list[int]] = [[] for _ in usage.calls]
    for place, call in enumerate(usage.calls):
        for read in call.reads:
            readers[read].append(place)
    parts: dict[int, list] = {}
    heads = list(range(len(usage.calls)))
    for place, call in enumerate(usage.calls):
        layer = usage.layers[call.layer]
        if not isinstance(layer, keras.Operation) or is_choice(layer) or isinstance(layer, keras.layers.InputLayer):
            continue
        before = call.reads[0] if len(call.reads) == 1 else None
        if before is not None and readers[before] == [place] and heads[before] in parts:
            heads[place] = heads[before]
        parts.setdefault(heads[place], []).append(call)
    # Where layers are called twice, the first call tells.
    return [(calls, [usage.layers[call.layer] for call in calls]) for calls in parts.values()]


def _network(calls, layers):
    inputs = [keras.Input(tensor.shape[1:], dtype=tensor.dtype) for tensor in calls[0].inputs]
    x = inputs = inputs if len(inputs) > 1 else inputs[0]
    for layer in layers:
        x = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer), safe_mode=True)(x)
    return keras.Model(inputs, x)


def _told(layer):
    """The config of a layer without its name."""
    config = {key: value for key, value in layer.get_config().items() if key != "name"}
    return [type(layer).__name__, keras.saving.serialize_keras_object(config)]


def _on_this_machine(artifact):
    litert = open_file(artifact.content)
    shapes = [detail["shape"] for detail in litert.input_details]
    return litert.latency_ms([np.random.default_rng(0).normal(size=shape).astype("float32") for shape in shapes])


def _is_row(row):
    names = row["layers"]
    is_named = isinstance(names, list) and bool(names) and all(isinstance(name, str) for name in names)
    return is_named and is_finite_number(row["ms"]) and row["ms"] >= 0
