"""A network in the fewest bytes: one file with its architecture and its entropy-coded weights.

```
offset  bytes  content
0       4      magic "CVHN"
4       1      version of the format, 1
5       4      length a of the architecture
9       4      length w of the weights
13      4      CRC-32 of the bytes 0 to 13 and of all from 17 on
17      4      CRC-32 of the decoded weights, by which a decoder that differs from the encoder is found out
21      a      architecture: Keras's JSON, compressed by zlib
21 + a  w      weights: one range-coded stream
```

Numbers are little-endian.
"""

import copy
import dataclasses
import json
import os
import pathlib
import struct
import zlib
from typing import Any

import keras
import numpy as np

from cvhn_tf.architecture import freeze, make_again, with_frozen
from cvhn_tf.checks.arrays import as_input_arrays
from cvhn_tf.checks.errors import with_cause
from cvhn_tf.export.packing.network_coding import decode_weights, encode_weights
from cvhn_tf.export.pruning.recalibrate import recalibrate
from cvhn_tf.export.rounding.step_grid import round_to_steps
from cvhn_tf.files.atomic import write_atomically
from cvhn_tf.hypernetwork import VariationalHypernetwork

_MAGIC = b"CVHN"
_VERSION = 1
_PREFIX = struct.Struct("<4sBII")
_HEADER = struct.Struct("<4sBIIII")
# Bytes of JSON: ResNet-152's takes less than one million.
_LARGEST_ARCHITECTURE = 2**26


@dataclasses.dataclass(frozen=True)
class PackedModel:
    """A packed network.

    Args:
        content: The file.
        architecture_bytes: Bytes of it that are the compressed architecture.
        weights_kept: Number of weights, biases among them, that are not zero.
    """

    content: bytes = dataclasses.field(repr=False)
    architecture_bytes: int
    weights_kept: int

    @property
    def size_bytes(self) -> int:
        """Size of the file in bytes."""
        return len(self.content)

    @property
    def weights_bytes(self) -> int:
        """Size of the file without the architecture, in bytes: the weights' code and 21 bytes of header."""
        return len(self.content) - self.architecture_bytes

    @property
    def bits_per_kept_weight(self) -> float:
        """Bits of `weights_bytes`, for each weight that is not zero. Which weights these are is among them."""
        return 8 * self.weights_bytes / max(self.weights_kept, 1)

    def save(self, path: str | os.PathLike[str]) -> pathlib.Path:
        """Writes the file whole or not at all.

        Raises:
            OSError: If the folder cannot be written to.
        """
        return write_atomically(path, self.content)


def pack(
    model: VariationalHypernetwork,
    complexity: float,
    sparsity: float | None = None,
    snr_threshold: float | None = None,
    step: float = 2.0,
    rate_weight: float = 0.3,
    scope: str = "global",
    representative_data: Any = None,
) -> PackedModel:
    """The network at a complexity, pruned, rounded and entropy-coded. `unpack` makes a Keras model of it.

    The file is unpacked and compared, weight by weight, before it is handed over.

    Args:
        model: `cvhn_tf.VariationalHypernetwork`.
        complexity: λ of the network.
        sparsity: Share of the weights that becomes zero, as in `prune`.
        snr_threshold: Instead of `sparsity`, as in `prune`.
        step: Quantization step in posterior stddevs. Above 1 the file is smaller, and in time less accurate.
        rate_weight: Weight of the code length against the error of rounding, as in `round_to_steps`. The larger, the
            more weights become zero beyond those that `prune` chose.
        scope: As in `prune`.
        representative_data: Some hundreds of training examples for a network with batch normalization, which gets the
            statistics of the packed network by `recalibrate` then. Without them the file holds those of training, of
            the whole network.

    Raises:
        ValueError: If an argument is out of range, `representative_data` does not fit the inputs, a weight is not
            finite, or the target cannot be made again from its JSON in Keras's safe mode (it holds a lambda, or a class
            that is not registered).
    """
    network, tensors = round_to_steps(
        model, complexity, sparsity, snr_threshold, step=step, rate_weight=rate_weight, scope=scope
    )
    return pack_network(with_statistics(network, tensors, representative_data), tensors)


def with_statistics(network, tensors, representative_data):
    """What to hand to `pack_network` in a network's place, for batch normalization with statistics of its own.

    Args:
        network: Keras model, as `round_to_steps` returns it; it is changed.
        tensors: The same.
        representative_data: As in `pack`.

    Returns:
        Keras model of the rounded weights, recalibrated; `network` without data.

    Raises:
        ValueError: If `representative_data` does not fit the inputs.
    """
    if representative_data is None:
        return network
    as_input_arrays(network, representative_data)
    network.set_weights(
        [
            weight if tensor is None else tensor.weights(weight.dtype)
            for weight, tensor in zip(network.get_weights(), tensors, strict=True)
        ]
    )
    return recalibrate(network, representative_data)


def pack_network(network, tensors) -> PackedModel:
    """Packs the architecture of a network, and its weights as `round_to_steps` returns them. Neither is changed."""
    weights, checksum = encode_weights(network, tensors)
    architecture = zlib.compress(_to_json(network), 9)
    prefix = _PREFIX.pack(_MAGIC, _VERSION, len(architecture), len(weights))
    tail = struct.pack("<I", checksum) + architecture + weights
    content = prefix + struct.pack("<I", zlib.crc32(tail, zlib.crc32(prefix))) + tail
    unpack(content)  # raises unless the weights come back as they were
    kept = sum(int(np.count_nonzero(tensor.values)) for tensor in tensors if tensor is not None)
    return PackedModel(content, len(architecture), kept)


def unpack(source: PackedModel | bytes | str | os.PathLike[str]) -> keras.Model:
    """The network of a packed file.

    Checks its magic, version, lengths and checksum before it decodes anything. The architecture is made in Keras's safe
    mode, which runs no code from the file.

    Args:
        source: Bytes, `PackedModel`, or path of a file.

    Returns:
        Plain Keras model.

    Raises:
        OSError: If there is no such file.
        TypeError: If `source` is none of these.
        ValueError: If the content is no packed network, or not the whole of one, or has been changed, or needs a class
            that is not registered.
    """
    content = _content_of(source)
    checksum, architecture, weights = _split(content)
    try:
        config = json.loads(_decompress(architecture))
        network = keras.saving.deserialize_keras_object(copy.deepcopy(config), safe_mode=True)
    except Exception as error:  # whatever a class's `from_config` may raise
        raise _refusal(f"an architecture that Keras cannot make: {with_cause(error)}") from error
    if not isinstance(network, keras.Model):
        raise _refusal(f"an architecture that is a {type(network).__name__}")
    try:
        freeze(network, config)
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        raise _refusal("an architecture that freezes what it does not have") from error
    try:
        decoded = decode_weights(network, weights)
    except ValueError as error:
        raise _refusal("weights that cannot be decoded") from error
    if decoded != checksum:
        raise _refusal("weights that decode to other numbers than were packed")
    return network


def _content_of(source):
    if isinstance(source, PackedModel):
        return source.content
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if isinstance(source, str | os.PathLike):
        return pathlib.Path(source).read_bytes()
    raise TypeError(
        f"Expected `source` to be a `PackedModel`, bytes or the path of a file. Received: source={source!r}"
    )


def _decompress(architecture):
    """The JSON of an architecture, which may not expand without bounds."""
    decompressor = zlib.decompressobj()
    text = decompressor.decompress(architecture, _LARGEST_ARCHITECTURE)
    if not decompressor.eof or decompressor.unused_data:
        raise ValueError(f"it is no whole zlib stream of at most {_LARGEST_ARCHITECTURE:,} bytes")
    return text


def _split(content):
    """Checksum of the weights, architecture and weights of a file that is whole and unchanged."""
    if len(content) < _HEADER.size or not content.startswith(_MAGIC):
        raise _refusal(f"{len(content)} bytes that do not begin as one")
    _, version, architecture_bytes, weights_bytes, checksum, weights_checksum = _HEADER.unpack_from(content)
    if version != _VERSION:
        raise _refusal(f"format version {version}, where this version of cvhn-tf reads {_VERSION}")
    expected = _HEADER.size + architecture_bytes + weights_bytes
    if len(content) != expected:
        raise _refusal(f"{len(content):,} bytes, where its header tells {expected:,}")
    if checksum != zlib.crc32(content[_PREFIX.size + 4 :], zlib.crc32(content[: _PREFIX.size])):
        raise _refusal("bytes that do not match their checksum")
    end = _HEADER.size + architecture_bytes
    return weights_checksum, content[_HEADER.size : end], content[end:]


def _refusal(received):
    return ValueError(f"Expected a whole file that `pack` wrote. Received: {received}")


def _to_json(network):
    config, made = make_again(network)
    return json.dumps(with_frozen(config, made, network), separators=(",", ":")).encode()
