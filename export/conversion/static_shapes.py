"""Shapes that are known before a run, as constants: accelerators refuse files that compute them in it.

Keras's Flatten and Reshape ask for the number of examples, so that the converter's files hold SHAPE, STRIDED_SLICE and
PACK before RESHAPE. All other sizes are known, and RESHAPE infers one.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from cvhn_tf.export.tflite.flatbuffer import operation_of, parse, serialize

# What computes shapes, and nothing else once no other operation reads it.
_OF_SHAPES = {"CAST", "CONCATENATION", "GATHER", "MUL", "PACK", "REDUCE_PROD", "SHAPE", "SLICE", "STRIDED_SLICE"}


def with_static_shapes(content: bytes) -> bytes:
    """The file with constants in the place of shapes that are computed, where at most one size is free."""
    model = parse(content)
    changed = False
    for graph in model.subgraphs:
        for operator in graph.operators:
            if operation_of(model, operator) == "RESHAPE" and _fix(model, graph, operator):
                changed = True
    if not changed:
        return content
    for graph in model.subgraphs:
        _drop_unread(model, graph)
    _drop_unread_buffers(model)
    _drop_unused_operations(model)
    return serialize(model)


def _fix(model, graph, operator):
    """Gives a RESHAPE the shape of its output; whether it was computed before and now is not."""
    if len(operator.inputs) < 2 or model.buffers[graph.tensors[operator.inputs[1]].buffer].data is not None:
        return False
    result = graph.tensors[operator.outputs[0]]
    sizes = result.shape if result.shapeSignature is None else result.shapeSignature
    # Without sizes, a tensor is a scalar or of a rank that is not known.
    if sizes is None or len(sizes) == 0 or sum(size < 0 for size in sizes) > 1:
        return False
    values = np.array(sizes, "int32")
    model.buffers.append(schema.BufferT(values.view("uint8")))
    tensor = schema.TensorT()
    tensor.name, tensor.type, tensor.shape = result.name + b"_shape", schema.TensorType.INT32, [len(values)]
    tensor.buffer = len(model.buffers) - 1
    graph.tensors.append(tensor)
    operator.inputs = [operator.inputs[0], len(graph.tensors) - 1]
    operator.builtinOptionsType = schema.BuiltinOptions.ReshapeOptions
    operator.builtinOptions = schema.ReshapeOptionsT(values)
    return True


def _drop_unread(model, graph):
    """Removes operations on shapes whose results nothing reads, and tensors that are of no operation."""
    while True:
        read = {int(i) for operator in graph.operators for i in operator.inputs} | {int(i) for i in graph.outputs}
        kept = [
            operator
            for operator in graph.operators
            if operation_of(model, operator) not in _OF_SHAPES or read.intersection(map(int, operator.outputs))
        ]
        if len(kept) == len(graph.operators):
            break
        graph.operators = kept
    used = {int(i) for i in (*graph.inputs, *graph.outputs)}
    for operator in graph.operators:
        used.update(int(i) for part in (operator.inputs, operator.outputs, operator.intermediates) for i in _list(part))
    kept = [i for i in range(len(graph.tensors)) if i in used]
    places = {-1: -1} | {old: new for new, old in enumerate(kept)}  # −1 stands for an input that is left out
    graph.tensors = [graph.tensors[i] for i in kept]
    graph.inputs, graph.outputs = ([places[int(i)] for i in part] for part in (graph.inputs, graph.outputs))
    for operator in graph.operators:
        operator.inputs = [places[int(i)] for i in operator.inputs]
        operator.outputs = [places[int(i)] for i in operator.outputs]
        if operator.intermediates is not None:
            operator.intermediates = [places[int(i)] for i in operator.intermediates]
    for signature in model.signatureDefs or ():
        if model.subgraphs[signature.subgraphIndex] is graph:
            for entry in (*signature.inputs, *signature.outputs):
                entry.tensorIndex = places[entry.tensorIndex]


def _drop_unread_buffers(model):
    """Empties the buffers of no tensor, in a file whose tensors may share them."""
    used = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors}
    used |= {entry.buffer for entry in model.metadata or ()}
    for i, buffer in enumerate(model.buffers):
        if i not in used:
            buffer.data = None


def _list(indices):
    return () if indices is None else indices


def _drop_unused_operations(model):
    """Removes from the file's list of operations those that no graph has any more."""
    used = sorted({operator.opcodeIndex for graph in model.subgraphs for operator in graph.operators})
    places = {old: new for new, old in enumerate(used)}
    model.operatorCodes = [model.operatorCodes[i] for i in used]
    for graph in model.subgraphs:
        for operator in graph.operators:
            operator.opcodeIndex = places[operator.opcodeIndex]
