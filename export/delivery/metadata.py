"""Where a TFLite file comes from, told in the file itself.

A TFLite file may hold named buffers that no operation reads. One of them, `cvhn_tf`, holds JSON: names and shapes of
inputs and outputs, class labels, complexity, sparsity and structure of the network, the encoding, and the version of
the package that made it. LiteRT passes over it.
"""

import dataclasses
import importlib.metadata
import json
import os
from collections.abc import Iterable
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from cvhn_tf.export.delivery import image_metadata
from cvhn_tf.export.delivery.image_metadata import files_behind, with_files
from cvhn_tf.export.tflite.artifact import TFLiteArtifact, content_of
from cvhn_tf.export.tflite.flatbuffer import parse, serialize
from cvhn_tf.export.verification.inputs import FREE_SIZE
from cvhn_tf.export.verification.litert import LiteRTModel
from cvhn_tf.export.verification.verify import ConversionError

_NAME = b"cvhn_tf"


def annotate(
    artifact: TFLiteArtifact,
    complexity: float | None = None,
    sparsity: float | None = None,
    structure: str | None = None,
    labels: Iterable[str] | None = None,
    normalization: tuple[float, float] | None = None,
) -> TFLiteArtifact:
    """The file with its provenance and labels in it. It is run beside the one without before it is handed over.

    With `normalization` MediaPipe's ImageClassifier runs the file as it is. The files in a zip archive behind it, where
    MediaPipe has its own, are kept.

    Args:
        artifact: `TFLiteArtifact`.
        complexity: λ of the network, if it is known.
        sparsity: Share of its weights that were pruned, if it is known.
        structure: What was pruned as one, as in `prune`.
        labels: Names of the classes, in the order of the last axis of the first output.
        normalization: Pair (mean, stddev): an app has to subtract the one from the values of pixels, 0 to 255, and to
            divide them by the other. (0, 255) for a network that takes values from 0 to 1.

    Returns:
        `TFLiteArtifact` with these as its `metadata`. Its `save` writes them to a JSON file beside the TFLite file too.

    Raises:
        ValueError: If the labels are no strings, or not one for each class; if there is a normalization and the network
            is none of one RGB image and of several classes, or it is no pair of a finite and a positive number.
        ConversionError: If LiteRT cannot run the file, or its outputs change.
    """
    if not isinstance(artifact, TFLiteArtifact):
        raise TypeError(f"Expected `artifact` to be a `TFLiteArtifact`. Received: artifact={artifact!r}")
    inputs, outputs = _describe(artifact.content)
    if labels is not None:
        labels = check_class_names(labels, outputs[0]["shape"][-1])
    scaling = None if normalization is None else _check_normalization(normalization, inputs, outputs, labels)
    metadata = {
        "package": "cvhn-tf",
        "version": importlib.metadata.version("cvhn-tf"),
        "complexity": None if complexity is None else float(complexity),
        "sparsity": None if sparsity is None else float(sparsity),
        "structure": structure,
        "encoding": artifact.encoding,
        "clients": list(artifact.clients) or None,
        "verified_by": list(artifact.verified_by) or None,
        "labels": labels,
        "normalization": scaling and dict(zip(("mean", "stddev"), scaling, strict=True)),
        "inputs": inputs,
        "outputs": outputs,
        "caveats": list(artifact.caveats) or None,
    }
    metadata = {key: value for key, value in metadata.items() if value is not None}
    files = files_behind(artifact.content)
    outdated = set()
    if "normalization" in (artifact.metadata or {}):  # what was written for it is told anew, or no more
        outdated.add(image_metadata.NAME)
        files.pop(image_metadata.LABELS, None)
    blocks = {_NAME: json.dumps(metadata, ensure_ascii=False, separators=(",", ":")).encode()}
    if scaling is not None:
        blocks[image_metadata.NAME] = image_metadata.image_metadata(
            mean=scaling[0], stddev=scaling[1], with_labels=labels is not None
        )
        if labels is not None:
            files[image_metadata.LABELS] = "\n".join(labels).encode()
    content = with_files(_with_blocks(artifact.content, blocks, outdated), files)
    if not all(np.array_equal(*pair) for pair in zip(_run(artifact.content), _run(content), strict=True)):
        raise ConversionError("The file gives other outputs once metadata is in it")
    return dataclasses.replace(artifact, content=content, metadata=metadata)


def check_class_names(labels: Any, classes: int) -> list[str]:
    """Returns the labels as a list, or raises a `ValueError` unless they are strings, one for each class.

    A single output is that of two classes.
    """
    classes = 2 if classes == 1 else classes
    is_list = isinstance(labels, Iterable) and not isinstance(labels, str)
    names = list(labels) if is_list else []
    if len(names) != classes or not all(isinstance(label, str) for label in names):
        raise ValueError(f"Expected `labels` to be {classes} strings. Received: labels={labels!r}")
    return names


def read_metadata(source: TFLiteArtifact | bytes | bytearray | memoryview | str | os.PathLike[str]) -> dict[str, Any]:
    """What `annotate` wrote into a file.

    Args:
        source: Path of a file, its bytes, or a `TFLiteArtifact`.

    Raises:
        OSError: If there is no such file.
        TypeError: If `source` is none of these.
        ValueError: If it is no TFLite file, or holds no such metadata.
    """
    content = content_of("source", source)
    try:
        model = parse(content)
        found = [model.buffers[entry.buffer].data for entry in model.metadata or [] if entry.name == _NAME]
        metadata = json.loads(bytes(found[0])) if found else None
    except Exception as error:  # whatever broken bytes make the reader do
        raise ValueError("Expected a whole TFLite file. Received: one that cannot be read") from error
    if metadata is None:
        raise ValueError("Expected a TFLite file that cvhn-tf annotated. Received: one without its metadata")
    return metadata


def _check_normalization(normalization, inputs, outputs, labels):
    """Mean and stddev as numbers, for a network that MediaPipe's ImageClassifier takes."""
    image, scores = inputs[0], outputs[0]
    fits = (
        (len(inputs), len(outputs)) == (1, 1)
        and (len(image["shape"]), image["shape"][-1], image["dtype"]) == (4, 3, "float32")
        and (len(scores["shape"]), scores["dtype"]) == (2, "float32")
        and scores["shape"][-1] > 1
    )
    if not fits:
        described = (f"{t['name']!r} of shape {t['shape']}, {t['dtype']}" for t in (*inputs, *outputs))
        raise ValueError(
            "Expected a network of one RGB image and scores of several classes, in floats, with `normalization`: "
            f"MediaPipe takes no other. Received: {', '.join(described)}"
        )
    if any("\n" in label for label in labels or ()):
        raise ValueError(f"Expected `labels` of a line each with `normalization`. Received: labels={labels!r}")
    try:
        mean, stddev = (float(part) for part in normalization)
    except (TypeError, ValueError):
        mean, stddev = 0.0, 0.0
    limits = np.finfo("float32")  # in which they are written
    if not (abs(mean) <= float(limits.max) and float(limits.tiny) <= stddev <= float(limits.max)):
        raise ValueError(
            "Expected `normalization` to be a pair of a finite mean and a positive stddev, numbers for all channels: "
            f"MediaPipe scales no channel by itself. Received: normalization={normalization!r}"
        )
    return mean, stddev


def _with_blocks(content, blocks, outdated):
    """The file with named buffers that no operation reads, and without those that are outdated."""
    model = parse(content)
    model.metadata = [entry for entry in model.metadata or [] if entry.name not in {*blocks, *outdated}]
    for name, data in blocks.items():
        model.metadata.append(schema.MetadataT(name, len(model.buffers)))
        model.buffers.append(schema.BufferT(np.frombuffer(data, "uint8")))
    return serialize(model)


def _describe(content):
    """Names, shapes and types of the signature's inputs and outputs, in the order of the file's graph."""
    interpreter = Interpreter(model_content=content)
    runner = interpreter.get_signature_runner()
    described = []
    for of_graph, by_name in (
        (interpreter.get_input_details(), runner.get_input_details()),
        (interpreter.get_output_details(), runner.get_output_details()),
    ):
        names = {detail["index"]: name for name, detail in by_name.items()}
        described.append(
            [
                {
                    "name": names[detail["index"]],
                    "shape": [int(size) for size in detail["shape_signature"]],
                    "dtype": np.dtype(detail["dtype"]).name,
                }
                for detail in of_graph
            ]
        )
    return described


def _run(content):
    litert = LiteRTModel(content)
    rng = np.random.default_rng(0)
    inputs = []
    for detail in litert.input_details:
        batch, *free = detail["shape_signature"]
        shape = [abs(batch), *(FREE_SIZE if size < 0 else size for size in free)]
        values = rng.uniform(size=shape) if detail["dtype"] == np.float32 else np.zeros(shape)
        inputs.append(values.astype(detail["dtype"]))
    return litert.run(inputs)
