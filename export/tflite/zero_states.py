"""Products of zeros with kernels, as those of unrolled recurrent layers' first states, which GPUs do not compute."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from cvhn_tf.export.tflite.flatbuffer import operation_of, sizes_of, type_name


def fold_zeros(model) -> bool:
    """Puts a constant in the place of FULLY_CONNECTED on zeros without a bias, as on a recurrent layer's first state.

    Returns whether there was any in the `ModelT`.
    """
    changed = False
    for graph in model.subgraphs:
        for operator in list(graph.operators):
            if operation_of(model, operator) == "FULLY_CONNECTED" and {-1}.issuperset(map(int, operator.inputs[2:])):
                given, output = (graph.tensors[places[0]] for places in (operator.inputs, operator.outputs))
                zeros = _zeros(output)
                if zeros is not None and _is_zero(model, given):
                    model.buffers.append(schema.BufferT(np.frombuffer(zeros.tobytes(), "uint8")))
                    output.buffer = len(model.buffers) - 1
                    graph.operators.remove(operator)
                    changed = True
    return changed


def _is_zero(model, tensor):
    """Whether a tensor is a constant of zeros."""
    data, zeros = model.buffers[tensor.buffer].data, _zeros(tensor)
    return data is not None and zeros is not None and bytes(data) == zeros.tobytes()


def _zeros(tensor):
    """Zeros as a tensor of known sizes holds them; None if it is of other types than float32 and int8."""
    if -1 in sizes_of(tensor) or type_name(tensor) not in ("FLOAT32", "INT8"):
        return None
    if type_name(tensor) == "FLOAT32":
        return np.zeros(sizes_of(tensor), "float32")
    return np.full(sizes_of(tensor), int(tensor.quantization.zeroPoint[0]), "int8")
