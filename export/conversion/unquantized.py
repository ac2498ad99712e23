"""Which tensors an encoding has passed over, and why: no converter says it."""

import math

from cvhn_tf.export.tflite.artifact import Unquantized
from cvhn_tf.export.tflite.flatbuffer import operation_of, parse, type_name

_BITS = {"FLOAT32": 32, "FLOAT16": 16, "INT8": 8, "INT4": 4}
_DTYPES = {"FLOAT32": "float32", "FLOAT16": "float16", "INT8": "int8", "INT4": "int4"}
# TensorFlow's converter leaves smaller tensors as they are.
_LEAST_NUMBERS = 1024


def unquantized(content: bytes, quantization: str | None, bits: int) -> tuple[Unquantized, ...]:
    """The tensors that a file holds in more bits than its encoding says, the largest first.

    Vectors of fewer than 1,024 numbers are left out: they are biases, and scales and means of normalization.

    Args:
        content: The file.
        quantization: As in `to_tflite`.
        bits: Bits of a weight in this encoding; 32 for float32, which passes nothing over.
    """
    model = parse(content)
    found = []
    for graph in model.subgraphs:
        readers: dict[int, str] = {}
        for operator in graph.operators:
            for index in operator.inputs:
                readers.setdefault(index, operation_of(model, operator))
        for index, tensor in enumerate(graph.tensors):
            data = model.buffers[tensor.buffer].data
            if data is None or tensor.shape is None or _BITS.get(type_name(tensor), 0) <= bits:
                continue
            numbers = math.prod(int(size) for size in tensor.shape)
            is_vector = numbers == max((int(size) for size in tensor.shape), default=1)
            if is_vector and numbers < _LEAST_NUMBERS:
                continue
            reason = _reason(quantization, bits, readers.get(index, "nothing"), numbers, is_vector)
            found.append(Unquantized(tensor.name.decode(), _DTYPES[type_name(tensor)], len(data), reason))
    return tuple(sorted(found, key=lambda tensor: (-tensor.size_bytes, tensor.name)))


def _reason(quantization, bits, operation, numbers, is_vector):
    if is_vector:
        return f"a vector that {operation} adds or multiplies with, such as a bias"
    if quantization == "dynamic_range" and numbers < _LEAST_NUMBERS:
        return f"fewer than {_LEAST_NUMBERS:,} numbers, which TensorFlow's converter leaves as they are"
    converter = (
        "TensorFlow's converter" if quantization in ("float16", "dynamic_range", "int8") else "ai-edge-quantizer"
    )
    return f"{converter} has no {bits}-bit weights for {operation}"
