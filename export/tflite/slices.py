"""Slices that keep all axes in the place of others, GATHER, splits and UNPACK, where programs for GPUs fail on these.

LiteRT.js refuses GATHER on WebGPU: features that `compact` selects become a slice for each run of them, and a
concatenation of these. A split of which nothing reads some part, or two parts of which are joined, as by a + b,
LiteRT's accelerator for GPUs computes wrongly without a word, and so does LiteRT.js on WebGPU. Both refuse slices that
drop an axis, as of the last step: a reshape drops it.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from cvhn_tf.export.tflite.flatbuffer import (
    add_constant,
    add_operation,
    add_tensor,
    add_tensor_like,
    integers_of,
    make_reshape,
    operation_of,
    position_of,
    raise_version,
    sizes_of,
)

# Of STRIDED_SLICE and CONCATENATION: those that have integers.
_VERSION = 2


def slice_in_place(model, operations) -> bool:
    """Gives a `ModelT` slices in the place of some operations. Returns whether there were any.

    Args:
        model: `ModelT`.
        operations: Of GATHER, those by constant, ascending places along an axis that is not the first; of SPLIT,
            SPLIT_V and UNPACK, those of which some part is not read; of the first two also those of which one operation
            reads two parts; of STRIDED_SLICE, those that drop an axis which is not the first.
    """
    changed = False
    for graph in model.subgraphs:
        for operator in list(graph.operators):
            operation = operation_of(model, operator)
            if operation not in operations or operation not in _REPLACEMENTS:
                continue
            made = _REPLACEMENTS[operation](model, graph, operator)
            if made is not None:
                position = position_of(graph, operator)
                graph.operators[position : position + 1] = made
                changed = True
    return changed


def _selected(model, graph, operator):
    values, places = (graph.tensors[index] for index in operator.inputs)
    indices, axis = integers_of(model, places), operator.builtinOptions.axis % max(len(sizes_of(values)), 1)
    if indices is None or indices.ndim != 1 or model.buffers[values.buffer].data is not None or axis == 0:
        return None
    if indices[0] < 0 or np.any(np.diff(indices) <= 0):
        return None
    runs = np.split(indices, np.flatnonzero(np.diff(indices) > 1) + 1)
    bounds = [(int(run[0]), int(run[-1]) + 1) for run in runs]
    (output,) = operator.outputs
    if len(bounds) == 1:
        return [_slice(model, graph, operator.inputs[0], axis, *bounds[0], output)]
    parts = [_part(graph, output, axis, stop - start) for start, stop in bounds]
    joined = add_operation(model, schema.BuiltinOperator.CONCATENATION, parts, [output])
    joined.builtinOptionsType = schema.BuiltinOptions.ConcatenationOptions
    joined.builtinOptions = schema.ConcatenationOptionsT(axis)
    raise_version(model, joined, _VERSION)
    pairs = zip(bounds, parts, strict=True)
    return [*(_slice(model, graph, operator.inputs[0], axis, *bound, part) for bound, part in pairs), joined]


def _split(model, graph, operator):
    if operation_of(model, operator) == "SPLIT":
        along, source = operator.inputs
    else:
        source, _, along = operator.inputs
    axis = int(integers_of(model, graph.tensors[along])) % len(sizes_of(graph.tensors[source]))
    read = _read(graph)
    if axis == 0 or (read.issuperset(map(int, operator.outputs)) and not _are_joined(graph, operator)):
        return None
    ends = np.cumsum([sizes_of(graph.tensors[output])[axis] for output in operator.outputs])
    return [
        _slice(model, graph, source, axis, int(start), int(stop), output)
        for start, stop, output in zip([0, *ends[:-1]], ends, operator.outputs, strict=True)
        if int(output) in read
    ]


def _are_joined(graph, operator):
    """Whether another operator reads two of an operator's outputs, as in a + b."""
    outputs = set(map(int, operator.outputs))
    return any(len(outputs.intersection(map(int, other.inputs))) > 1 for other in graph.operators)


def _unpacked(model, graph, operator):
    (source,) = operator.inputs
    axis = operator.builtinOptions.axis % len(sizes_of(graph.tensors[source]))
    read = _read(graph)
    if axis == 0 or read.issuperset(map(int, operator.outputs)):
        return None
    steps = []
    for place, output in enumerate(operator.outputs):
        if int(output) in read:
            cut, reshape = _kept_axes(model, graph, output, [axis])
            steps += [_slice(model, graph, source, axis, place, place + 1, cut), reshape]
    return steps


def _with_all_axes(model, graph, operator):
    options, (source, *bounds) = operator.builtinOptions, operator.inputs
    sizes = sizes_of(graph.tensors[source])
    begin, end, _ = (integers_of(model, graph.tensors[place]) for place in bounds)
    axes = [axis for axis in range(len(sizes)) if options.shrinkAxisMask >> axis & 1]
    if not axes or axes[0] == 0 or options.ellipsisMask or options.newAxisMask or begin is None or end is None:
        return None
    (output,) = operator.outputs
    if any(sizes[axis] == -1 for axis in axes) or sizes_of(graph.tensors[output]).count(-1) > 1:
        return None
    begin, end = begin.copy(), end.copy()
    for axis in axes:  # of which an operation that drops it reads the beginning alone
        begin[axis] %= sizes[axis]
        end[axis] = begin[axis] + 1
    cut, reshape = _kept_axes(model, graph, output, axes)
    operator.inputs = [source, *(add_constant(model, graph, b"", values) for values in (begin, end)), bounds[2]]
    operator.outputs = [cut]
    options.beginMask &= ~options.shrinkAxisMask
    options.endMask &= ~options.shrinkAxisMask
    options.shrinkAxisMask = 0
    return [operator, reshape]


_REPLACEMENTS = {
    "GATHER": _selected,
    "SPLIT": _split,
    "SPLIT_V": _split,
    "UNPACK": _unpacked,
    "STRIDED_SLICE": _with_all_axes,
}


def _kept_axes(model, graph, output, axes):
    """Place of a new tensor like another one with axes of size one besides, and the operator that drops these."""
    sizes = sizes_of(graph.tensors[output])
    kept = list(sizes)
    for axis in axes:
        kept.insert(axis, 1)
    cut = add_tensor_like(graph, graph.tensors[output], kept)
    reshape = add_operation(model, schema.BuiltinOperator.RESHAPE, [], [output])
    make_reshape(model, graph, reshape, cut, sizes)
    return cut, reshape


def _read(graph):
    """Places of the tensors of a graph that something reads."""
    return {int(i) for operator in graph.operators for i in operator.inputs} | {int(i) for i in graph.outputs}


def _slice(model, graph, source, axis, start, stop, output):
    """What cuts an axis; of all others it takes all."""
    rank = len(sizes_of(graph.tensors[source]))
    begin, end, stride = np.zeros(rank, "int32"), np.zeros(rank, "int32"), np.ones(rank, "int32")
    begin[axis], end[axis] = start, stop
    bounds = [add_constant(model, graph, b"", values) for values in (begin, end, stride)]
    operator = add_operation(model, schema.BuiltinOperator.STRIDED_SLICE, [source, *bounds], [output])
    others = (1 << rank) - 1 - (1 << axis)
    operator.builtinOptionsType = schema.BuiltinOptions.StridedSliceOptions
    operator.builtinOptions = schema.StridedSliceOptionsT(beginMask=others, endMask=others)
    raise_version(model, operator, _VERSION)
    return operator


def _part(graph, whole, axis, length):
    """Place of a new tensor, as another one but for its length along an axis."""
    like = graph.tensors[whole]
    shape, sizes = (list(map(int, one)) for one in (like.shape, sizes_of(like)))
    shape[axis] = sizes[axis] = length
    place = add_tensor(graph, b"", like.type, shape, sizes)
    graph.tensors[place].quantization = like.quantization
    return place
