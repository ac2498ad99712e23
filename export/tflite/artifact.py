"""A TFLite file in memory, and how it gets to disk."""

import dataclasses
import gzip
import hashlib
import json
import os
import pathlib

from cvhn_tf.files.atomic import write_atomically


@dataclasses.dataclass(frozen=True)
class Unquantized:
    """A tensor that a file holds in more bits than its encoding is called after.

    Args:
        name: Name of the tensor in the file.
        dtype: Type in which it is there, such as `"float32"`.
        size_bytes: What it takes.
        reason: Why, in words.
    """

    name: str
    dtype: str
    size_bytes: int
    reason: str


@dataclasses.dataclass(frozen=True)
class TFLiteArtifact:
    """A TFLite file that LiteRT has run and that agreed with its Keras model.

    Args:
        content: The file.
        quantization: As in `to_tflite`.
        sparse: Whether zeros are stored in a sparse encoding.
        relative_error: Root mean square difference from the Keras model's outputs on the verification inputs, as
            a share of their root mean square.
        metadata: What `annotate` wrote into the file; None for a file without.
        verified_examples: Number of the verification inputs.
        caveats: Sentences on what the comparison with Keras could not see, such as outputs that were constant on all
            verification inputs.
        accuracy: Accuracy in LiteRT on labelled examples, where there were some, as in `smallest`.
        keras_accuracy: That of the Keras model on the same examples.
        latency_ms: Median time in ms for one example on one thread of the machine that made the file, where it was
            measured.
        unquantized: The `Unquantized` tensors of more than 1,024 numbers or of several dimensions. Biases are in float
            in all encodings but `"int8"`.
        clients: Names of the clients that it was made for, as in `to_tflite`.
        verified_by: Names and versions of the interpreters that ran it. That it is right in the others of `clients` is
            by rule, from what was seen in them.
        metric: Value of another metric than accuracy, where one was asked for, of the file in LiteRT.
        keras_metric: That of the Keras model, or of the float32 file, on the same examples.
    """

    content: bytes = dataclasses.field(repr=False)
    quantization: str | None
    sparse: bool
    relative_error: float
    metadata: dict | None = dataclasses.field(default=None, repr=False)
    verified_examples: int = 0
    caveats: tuple[str, ...] = ()
    accuracy: float | None = None
    keras_accuracy: float | None = None
    latency_ms: float | None = None
    unquantized: tuple[Unquantized, ...] = dataclasses.field(default=(), repr=False)
    clients: tuple[str, ...] = ()
    verified_by: tuple[str, ...] = ()
    metric: float | None = None
    keras_metric: float | None = None

    @property
    def encoding(self) -> str:
        """Quantization and layout in words: `"float32"`, `"float16, sparse"`, `"dynamic_range"`."""
        return (self.quantization or "float32") + (", sparse" if self.sparse else "")

    @property
    def size_bytes(self) -> int:
        """Size of the file in bytes."""
        return len(self.content)

    @property
    def gzip_bytes(self) -> int:
        """Size after gzip in bytes: what a download or an app package holds."""
        return len(gzip.compress(self.content, compresslevel=9, mtime=0))

    @property
    def unquantized_bytes(self) -> int:
        """Bytes of the tensors that the encoding has passed over."""
        return sum(tensor.size_bytes for tensor in self.unquantized)

    def save(self, path: str | os.PathLike[str]) -> pathlib.Path:
        """Writes the file whole or not at all; with metadata, a `.json` file beside it as well.

        The JSON file holds the metadata, the tensors that the encoding has passed over if there are any, and size and
        SHA-256 of the TFLite file that it belongs to.

        Returns:
            Path of the TFLite file.

        Raises:
            OSError: If the folder cannot be written to.
            ValueError: If there is metadata and the path itself ends in .json.
        """
        path = pathlib.Path(path)
        if self.metadata is not None:
            if path.suffix == ".json":
                raise ValueError(f"Expected a path beside which a .json file can lie. Received: path={str(path)!r}")
            checksum = hashlib.sha256(self.content).hexdigest()
            passed_over = [dataclasses.asdict(tensor) for tensor in self.unquantized]
            described = {
                **self.metadata,
                **({"unquantized": passed_over} if passed_over else {}),
                "size_bytes": self.size_bytes,
                "sha256": checksum,
            }
            text = json.dumps(described, indent=1, ensure_ascii=False) + "\n"
            write_atomically(path.with_suffix(".json"), text.encode())
        return write_atomically(path, self.content)


def content_of(name, source) -> bytes:
    """The bytes of a `TFLiteArtifact`, of bytes, or of the file at a path.

    Args:
        name: Name of the user's argument.
        source: What was given.

    Raises:
        OSError: If there is no such file.
        TypeError: If it is none of these.
        ValueError: If the bytes do not begin as those of a TFLite file.
    """
    if isinstance(source, TFLiteArtifact):
        content = source.content
    elif isinstance(source, bytes | bytearray | memoryview):
        content = bytes(source)
    elif isinstance(source, str | os.PathLike):
        content = pathlib.Path(source).read_bytes()
    else:
        raise TypeError(
            f"Expected `{name}` to be a `TFLiteArtifact`, bytes or the path of a file. Received: {name}={source!r}"
        )
    if content[4:8] != b"TFL3":
        raise ValueError(f"Expected a TFLite file. Received: {len(content)} bytes that are none")
    return content
