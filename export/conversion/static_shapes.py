"""Shapes that are known before a run, as constants: accelerators refuse files that compute them in it.

Keras's Flatten and Reshape ask for the number of examples, so that the converter's files hold SHAPE, STRIDED_SLICE and
PACK before RESHAPE. All other sizes are known, and RESHAPE infers one.
"""

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from cvhn_tf.export.tflite.flatbuffer import make_reshape, operation_of, serialize, sizes_of
from cvhn_tf.export.verification.quiet import native_stderr_off


def make_shapes_static(model) -> None:
    """Gives a `ModelT` constants in the place of shapes that are computed, where at most one size is free."""
    reshapes = [
        (graph, operator, sizes_of(graph.tensors[operator.outputs[0]]))
        for graph in model.subgraphs
        for operator in graph.operators
        if operation_of(model, operator) == "RESHAPE" and _has_computed_shape(model, graph, operator)
    ]
    if any(sizes.count(-1) > 1 for _, _, sizes in reshapes):
        measured = _measured_sizes(model)
        reshapes = [
            (graph, operator, measured.get(int(operator.outputs[0]), sizes) if graph is model.subgraphs[0] else sizes)
            for graph, operator, sizes in reshapes
        ]
    # Without sizes, a tensor is a scalar or of a rank that is not known.
    reshapes = [(graph, operator, sizes) for graph, operator, sizes in reshapes if sizes and sizes.count(-1) <= 1]
    for graph, operator, sizes in reshapes:
        make_reshape(model, graph, operator, operator.inputs[0], sizes)


def drop_unread(model) -> None:
    """Removes from a `ModelT` operations that nothing reads, and tensors and values of no operation.

    What nothing reads is one thing more that a client has to know.
    """
    for graph in model.subgraphs:
        _drop_unread(model, graph)
    _drop_unread_buffers(model)
    _drop_unused_operations(model)


def _measured_sizes(model):
    """Sizes of the first graph's tensors by place, −1 where one and two examples give others; none if these fail.

    The converter takes more sizes for free than are: those of a layer that computes them from others that are known.
    """
    graph = model.subgraphs[0]
    if any(sizes_of(graph.tensors[i])[:1] != [-1] or -1 in sizes_of(graph.tensors[i])[1:] for i in graph.inputs):
        return {}
    # On zeros: some sizes are computed no earlier than in a run.
    shapes = [shapes_for(model, examples, run=True) for examples in (1, 2)]
    if None in shapes:
        return {}
    return {
        place: [size if size == other else -1 for size, other in zip(one, two, strict=True)]
        for place, (one, two) in enumerate(zip(*shapes, strict=True))
        if len(one) == len(two)
    }


def shapes_for(model, examples=None, run=False) -> list[list[int]] | None:
    """Shapes of the first graph's tensors for so many examples, None if LiteRT takes no such file.

    Args:
        model: `ModelT`, whose inputs have no other free sizes.
        examples: None for as many as are written in the file, one where their number is free.
        run: Whether to run it, on zeros.
    """
    try:
        with native_stderr_off():
            interpreter = Interpreter(
                model_content=serialize(model),
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
            if examples is not None:
                for detail in interpreter.get_input_details():
                    interpreter.resize_tensor_input(detail["index"], [examples, *detail["shape"][1:]])
            interpreter.allocate_tensors()
            if run:
                for detail in interpreter.get_input_details():  # or indices into tables may be anything
                    interpreter.set_tensor(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
                interpreter.invoke()
    except (RuntimeError, ValueError):  # as the verification will find, which says it
        return None
    count = len(model.subgraphs[0].tensors)
    return [list(map(int, interpreter._get_tensor_details(i, 0)["shape"])) for i in range(count)]


def _has_computed_shape(model, graph, operator):
    return len(operator.inputs) > 1 and model.buffers[graph.tensors[operator.inputs[1]].buffer].data is None


def _drop_unread(model, graph):
    """Removes operations whose results nothing reads, and tensors that are of no operation."""
    while True:
        read = {int(i) for operator in graph.operators for i in operator.inputs} | {int(i) for i in graph.outputs}
        kept = [operator for operator in graph.operators if _is_read(operator, read)]
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


def _is_read(operator, read):
    """Whether what an operation makes is among what is read; one that makes nothing, as of a variable, stays."""
    outputs = {int(i) for i in _list(operator.outputs)}
    return not outputs or not outputs.isdisjoint(read)


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
