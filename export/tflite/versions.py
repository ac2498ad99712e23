"""Versions of the operations in a file, and the oldest runtime that has them.

A runtime refuses operations of versions that it does not know. Where the version is too low, an old runtime takes
weights for what they are not: ai-edge-quantizer leaves versions as they were before weights became integers.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from cvhn_tf.export.tflite.flatbuffer import operation_of, raise_version, type_name

_ENTRY = b"min_runtime_version"
# The converter's own entry is padded to so many bytes.
_ENTRY_BYTES = 16

# Operation -> type of the weights -> version for one scale, and for a scale of each channel. Activations are floats.
# Reference: tflite/tools/versioning/op_version.cc of LiteRT. Of 4 bits it names none beside float activations: these
# are the versions of the releases that first computed them.
_OF_WEIGHTS = {
    "BATCH_MATMUL": {"INT8": (4, 4)},
    "CONV_2D": {"INT8": (2, 5), "INT4": (8, 8)},
    "DEPTHWISE_CONV_2D": {"INT8": (4, 6), "INT4": (7, 7)},
    "DEQUANTIZE": {"INT8": (2, 5), "INT4": (6, 6)},
    "EMBEDDING_LOOKUP": {"INT8": (1, 4), "INT4": (4, 4)},
    "FULLY_CONNECTED": {"INT8": (3, 12), "INT4": (12, 12)},
}
# Operation -> version -> the release of TFLite that brought it; those after 2.10.
# Reference: tflite/tools/versioning/runtime_version.cc of LiteRT.
_RELEASES = {
    "ABS": {5: (2, 12)},
    "ADD": {5: (2, 13)},
    "BITCAST": {1: (2, 13)},
    "BITWISE_XOR": {1: (2, 13)},
    "BATCH_TO_SPACE_ND": {4: (2, 12)},
    "CAST": {5: (2, 12), 6: (2, 15), 7: (2, 17)},
    "CONCATENATION": {4: (2, 14)},
    "CONV_2D": {7: (2, 11), 8: (2, 15)},
    "DEPTHWISE_CONV_2D": {7: (2, 11)},
    "DEQUANTIZE": {6: (2, 18)},
    "DILATE": {1: (2, 15)},
    "DYNAMIC_UPDATE_SLICE": {2: (2, 17), 3: (2, 19), 4: (2, 20)},
    "EMBEDDING_LOOKUP": {4: (2, 18)},
    "EQUAL": {4: (2, 13)},
    "EXP": {2: (2, 12)},
    "FILL": {4: (2, 12)},
    "FLOOR_DIV": {3: (2, 13)},
    "FLOOR_MOD": {2: (2, 13)},
    "FULLY_CONNECTED": {10: (2, 11), 11: (2, 15), 12: (2, 17), 13: (2, 18)},
    "GATHER": {6: (2, 13), 7: (2, 15)},
    "GATHER_ND": {4: (2, 13), 5: (2, 16)},
    "GREATER_EQUAL": {3: (2, 13)},
    "LESS": {3: (2, 13)},
    "LOG": {2: (2, 15)},
    "MIRROR_PAD": {3: (2, 12)},
    "MUL": {6: (2, 11), 7: (2, 13)},
    "PACK": {4: (2, 13)},
    "RANGE": {2: (2, 14)},
    "REDUCE_WINDOW": {1: (2, 15)},
    "RIGHT_SHIFT": {1: (2, 13)},
    "RSQRT": {3: (2, 15)},
    "SELECT": {3: (2, 12), 4: (2, 12)},
    "SELECT_V2": {2: (2, 12)},
    "SIGN": {1: (2, 11), 2: (2, 12)},
    "SLICE": {6: (2, 14)},
    "SPACE_TO_BATCH_ND": {4: (2, 12)},
    "STRIDED_SLICE": {7: (2, 14), 8: (2, 14)},
    "TOPK_V2": {3: (2, 13)},
    "TRANSPOSE": {6: (2, 12), 7: (2, 15)},
    "TRANSPOSE_CONV": {4: (2, 13), 5: (2, 15)},
    "UNIDIRECTIONAL_SEQUENCE_LSTM": {4: (2, 12)},
    "UNSORTED_SEGMENT_MIN": {1: (2, 11)},
}
_STABLEHLO_FROM = (2, 17)  # all of its operations
_FOUR_BITS_FROM = (2, 17)
# LiteRT 1.1 and TFLite 2.14 divide no signed integers of 8 bits, whose version is that of floats, and have no square
# roots of them, whose version the reference does not name.
_NEWER_OF_INTEGERS = ("DIV", "SQRT")
_NEWER_OF_INTEGERS_FROM = (2, 19)


def make_versions_true(model) -> None:
    """Raises the versions of operations in a `ModelT` to what their weights ask for, and writes the oldest runtime."""
    for graph in model.subgraphs:
        for operator in graph.operators:
            raise_version(model, operator, _version_by_weights(model, graph, operator))
    release = least_runtime(model)
    if release != _written(model):
        _write(model, release)


def least_runtime(model) -> tuple[int, int]:
    """The oldest release of TFLite that runs a `ModelT`, from 2.10 on."""
    oldest = (2, 10)
    for graph in model.subgraphs:
        for operator in graph.operators:
            version = model.operatorCodes[operator.opcodeIndex].version
            name = operation_of(model, operator)
            oldest = max(oldest, _RELEASES.get(name, {}).get(version, (2, 10)))
            if name.startswith("STABLEHLO"):
                oldest = max(oldest, _STABLEHLO_FROM)
            if name in _NEWER_OF_INTEGERS and type_name(graph.tensors[operator.outputs[0]]) == "INT8":
                oldest = max(oldest, _NEWER_OF_INTEGERS_FROM)
        if any(type_name(tensor) == "INT4" for tensor in graph.tensors):
            oldest = max(oldest, _FOUR_BITS_FROM)
    return oldest


def _version_by_weights(model, graph, operator):
    versions = _OF_WEIGHTS.get(operation_of(model, operator))
    if versions is None or type_name(graph.tensors[operator.outputs[0]]) != "FLOAT32":
        return 1
    for i in operator.inputs:
        tensor = graph.tensors[i]
        if i >= 0 and type_name(tensor) in versions and model.buffers[tensor.buffer].data is not None:
            scales = tensor.quantization.scale if tensor.quantization is not None else None
            return versions[type_name(tensor)][scales is not None and len(scales) > 1]
    return 1


def _written(model):
    """The release in the file's own entry; 2.10 for older ones and for none."""
    for entry in model.metadata or ():
        if entry.name == _ENTRY:
            text = bytes(model.buffers[entry.buffer].data).rstrip(b"\0").decode()
            major, minor = (int(part) for part in text.split(".")[:2])
            return max((major, minor), (2, 10))
    return (2, 10)


def _write(model, release):
    text = ".".join(map(str, (*release, 0))).encode().ljust(_ENTRY_BYTES, b"\0")
    for entry in model.metadata or ():
        if entry.name == _ENTRY:
            model.buffers[entry.buffer].data = np.frombuffer(text, "uint8")
            return
    model.buffers.append(schema.BufferT(np.frombuffer(text, "uint8")))
    entry = schema.MetadataT(_ENTRY, len(model.buffers) - 1)
    model.metadata = [*(model.metadata or ()), entry]
