"""A TFLite file as C++ sources for a firmware with tflite-micro."""

import hashlib
import importlib.metadata
import os
import pathlib
import re

from cvhn_tf.export.tflite.artifact import TFLiteArtifact
from cvhn_tf.export.tflite.flatbuffer import operation_of, parse
from cvhn_tf.export.verification import micro
from cvhn_tf.files.atomic import write_atomically

_BYTES_A_LINE = 16
# Words of the schema's names that MicroMutableOpResolver does not write with one capital.
_WORDS = {"2D": "2D", "3D": "3D", "CUMSUM": "CumSum", "LSTM": "LSTM", "MATMUL": "MatMul", "ND": "Nd", "PADV2": "PadV2"}


def to_c_array(artifact: TFLiteArtifact, path: str | os.PathLike[str]) -> tuple[pathlib.Path, pathlib.Path]:
    """Writes a file as an aligned C++ array, and a header with what a firmware needs to run it by tflite-micro.

    For `model` at the end of `path`, the header declares `model_tflite`, `model_tflite_size`, `model_arena_bytes` (the
    tensors' memory, measured by tflite-micro on this machine; pointers of 32 bits take less) and
    `model_add_operations(resolver)` with `model_operations`, the size of the `MicroMutableOpResolver`.

    Args:
        artifact: `TFLiteArtifact` of `to_tflite(…, client="micro")`.
        path: Path without an ending, or that of one of the two sources.

    Returns:
        Paths of the header (`.h`) and of the source (`.cc`).

    Raises:
        OSError: If the folder cannot be written to.
        ValueError: If the file was not made for tflite-micro, or its name is not one of C.
        ModuleNotFoundError: If tflite-micro, the extra `micro`, is not installed.
    """
    if not isinstance(artifact, TFLiteArtifact) or "micro" not in artifact.clients:
        raise ValueError(
            "Expected `artifact` to be a `TFLiteArtifact` made with client='micro'. Received: "
            + (f"one for {artifact.clients}" if isinstance(artifact, TFLiteArtifact) else f"artifact={artifact!r}")
        )
    path = pathlib.Path(path)
    path = path.with_suffix("") if path.suffix in (".h", ".cc") else path
    if not re.fullmatch(r"[A-Za-z_]\w*", path.name, re.ASCII):
        raise ValueError(f"Expected `path` to end in a name that C allows. Received: path={str(path)!r}")
    micro.check_is_available()
    header, source = (path.with_name(path.name + ending) for ending in (".h", ".cc"))
    # The source first: it is the header that a firmware asks for.
    write_atomically(source, _source(path.name, artifact.content).encode())
    write_atomically(header, _header(path.name, artifact).encode())
    return header, source


def _header(name, artifact):
    model = parse(artifact.content)
    used = dict.fromkeys(operation_of(model, operator) for graph in model.subgraphs for operator in graph.operators)
    added = "\n".join(f"  resolver.Add{_method(operation)}();" for operation in used)
    checksum = hashlib.sha256(artifact.content).hexdigest()
    return f"""\
// A TFLite file of {artifact.size_bytes:,} bytes, {artifact.encoding}, SHA-256 {checksum}.
// Made by cvhn-tf {importlib.metadata.version("cvhn-tf")}; run by {" and ".join(artifact.verified_by)}.
#ifndef {name.upper()}_H_
#define {name.upper()}_H_

#include <cstddef>

extern const unsigned char {name}_tflite[];
extern const std::size_t {name}_tflite_size;

// Memory for tensors as {micro.version()} needs it with pointers of 64 bits.
constexpr std::size_t {name}_arena_bytes = {micro.arena_bytes(artifact.content)};

// The size of a tflite::MicroMutableOpResolver, and what it has to know.
constexpr unsigned int {name}_operations = {len(used)};
template <typename Resolver>
void {name}_add_operations(Resolver& resolver) {{
{added}
}}

#endif  // {name.upper()}_H_
"""


def _source(name, content):
    rows = (content[i : i + _BYTES_A_LINE] for i in range(0, len(content), _BYTES_A_LINE))
    array = "\n".join("  " + " ".join(f"0x{byte:02x}," for byte in row) for row in rows)
    return f"""\
#include "{name}.h"

alignas(16) const unsigned char {name}_tflite[] = {{
{array}
}};
const std::size_t {name}_tflite_size = sizeof({name}_tflite);
"""


def _method(operation):
    """What MicroMutableOpResolver's method for an operation is called after `Add`, such as `Conv2D` for CONV_2D."""
    return "".join(_WORDS.get(word, word.capitalize()) for word in operation.split("_"))
