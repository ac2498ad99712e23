"""Which tensors an encoding has passed over, and why: no converter says it."""

import math

from ai_edge_litert import schema_py_generated as schema

from cvhn_tf.export.tflite.artifact import Unquantized
from cvhn_tf.export.tflite.encodings import ENCODINGS
from cvhn_tf.export.tflite.flatbuffer import operation_of, sizes_of, type_name

_BITS = {"FLOAT32": 32, "FLOAT16": 16, "INT8": 8, "INT4": 4}
_DTYPES = {"FLOAT32": "float32", "FLOAT16": "float16", "INT8": "int8", "INT4": "int4"}
# Vectors of fewer numbers are biases, and scales and means of normalization.
_LEAST_VECTOR = 1024


def unquantized(model: schema.ModelT, quantization: str | None) -> tuple[Unquantized, ...]:
    """The tensors that a file holds in more bits than its encoding says, the largest first.

    Vectors of fewer than 1,024 numbers are left out. float32 passes nothing over.

    Args:
        model: The file.
        quantization: As in `to_tflite`.
    """
    encoding = ENCODINGS[quantization]
    found = []
    for graph in model.subgraphs:
        readers: dict[int, str] = {}
        for operator in graph.operators:
            for index in operator.inputs:
                readers.setdefault(index, _described(model, graph, operator))
        for index, tensor in enumerate(graph.tensors):
            data = model.buffers[tensor.buffer].data
            if data is None or tensor.shape is None or _BITS.get(type_name(tensor), 0) <= encoding.bits:
                continue
            numbers = math.prod(int(size) for size in tensor.shape)
            is_vector = numbers == max((int(size) for size in tensor.shape), default=1)
            if is_vector and numbers < _LEAST_VECTOR:
                continue
            reason = _reason(encoding, readers.get(index, "nothing"), numbers, is_vector)
            found.append(Unquantized(tensor.name.decode(), _DTYPES[type_name(tensor)], len(data), reason))
    return tuple(sorted(found, key=lambda tensor: (-tensor.size_bytes, tensor.name)))


def _described(model, graph, operator):
    """Name of an operation; of a look-up in a table, what keeps it from being one that ai-edge-quantizer knows."""
    operation = operation_of(model, operator)
    if operation != "GATHER":
        return operation
    places = graph.tensors[operator.inputs[1]]
    if type_name(places) != "INT32":
        return f"{operation} by {type_name(places).lower()}; for an Embedding give the model an input of dtype int32"
    if sizes_of(places).count(-1) > 1:
        return f"{operation} in several free sizes; for an Embedding give the model's input a length"
    return operation


def _reason(encoding, operation, numbers, is_vector):
    if is_vector:
        return f"a vector that {operation} adds or multiplies with, such as a bias"
    if numbers < encoding.least_numbers:
        return f"fewer than {encoding.least_numbers:,} numbers, which TensorFlow's converter leaves as they are"
    if operation == "TRANSPOSE_CONV" and encoding.recipe is None:
        return "TFLite 2.14 has no 8-bit weights for TRANSPOSE_CONV of floats"
    converter = "TensorFlow's converter" if encoding.recipe is None else "ai-edge-quantizer"
    return f"{converter} has no {encoding.bits}-bit weights for {operation}"
