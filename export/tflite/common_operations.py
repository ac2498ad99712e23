"""Operations that some programs refuse or compute wrongly, as others that give the same and that all of them have.

Programs for GPUs have no EXPAND_DIMS, take no tensors of five axes, as those of UpSampling2D are, and no dilated
convolutions as a converter writes them, between SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND. tflite-micro computes these
in part from memory that was never written. Neither do GPUs multiply a constant with a kernel, as unrolled recurrent
layers do with their first state. Where they join REDUCE_MAX or REDUCE_MIN with what comes before it, as a sum, they
begin with the first number of one summand: here it is MAX_POOL_2D.
"""

import itertools

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from cvhn_tf.export.tflite.flatbuffer import (
    MOST_AXES,
    add_constant,
    add_operation,
    add_tensor_like,
    integers_of,
    make_reshape,
    operation_of,
    position_of,
    raise_version,
    sizes_of,
    type_name,
)

_DILATED = {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 2}  # and the version from which it has dilation
_POOLED = {"REDUCE_MAX": ("FLOAT32", "INT8"), "REDUCE_MIN": ("FLOAT32",)}  # and the types that are
_SQUEEZED = {"EXPAND_DIMS", "SQUEEZE", "RESHAPE"}


def use_common_operations(model) -> bool:
    """Changes the graphs of a `ModelT` in place. Returns whether there was anything to change.

    What is then unread, `drop_unread` removes.
    """
    changed = False
    for graph in model.subgraphs:
        # Dilation first: between its operations stand reshapes that are of no use then.
        for change in (_dilate, _reshape_axes, _tile_four_axes, _pool_maxima, _reshape_once):
            changed |= change(model, graph)
    return changed


def _reshape_axes(model, graph):
    """RESHAPE in the place of EXPAND_DIMS and SQUEEZE, where one size is free at most."""
    changed = False
    for operator in graph.operators:
        sizes = sizes_of(graph.tensors[operator.outputs[0]])
        known = len(sizes) > 0 and sizes.count(-1) <= 1
        if operation_of(model, operator) in ("EXPAND_DIMS", "SQUEEZE") and known:
            _become_reshape(model, graph, operator, operator.inputs[0], sizes)
            changed = True
    return changed


def _become_reshape(model, graph, operator, source, sizes):
    """Makes an operator a RESHAPE, whatever it was."""
    made = add_operation(model, schema.BuiltinOperator.RESHAPE, [], operator.outputs)
    operator.opcodeIndex = made.opcodeIndex
    make_reshape(model, graph, operator, source, sizes)


def _tile_four_axes(model, graph):
    """Joins axes that TILE leaves as they are, where it has more than four."""
    changed = False
    for operator in list(graph.operators):
        if operation_of(model, operator) != "TILE":
            continue
        source, output = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
        sizes, multiples = sizes_of(source), integers_of(model, graph.tensors[operator.inputs[1]])
        if len(sizes) <= MOST_AXES or multiples is None or -1 in sizes[1:] or multiples[0] != 1:
            continue
        groups = [[sizes[0]]]  # the examples by themselves
        repeats = [1]
        for is_left, axes in itertools.groupby(range(1, len(sizes)), key=lambda axis: multiples[axis] == 1):
            for one in [list(axes)] if is_left else [[axis] for axis in axes]:
                groups.append([sizes[axis] for axis in one])
                repeats.append(int(multiples[one[0]]))
        if len(groups) > MOST_AXES:
            continue
        joined = [sizes[0], *(int(np.prod(group)) for group in groups[1:])]
        tiled = [size if size == -1 else size * times for size, times in zip(joined, repeats, strict=True)]
        before, after = (add_tensor_like(graph, source, joined), add_tensor_like(graph, output, tiled))
        first = add_operation(model, schema.BuiltinOperator.RESHAPE, [], [before])
        last = add_operation(model, schema.BuiltinOperator.RESHAPE, [], operator.outputs)
        make_reshape(model, graph, first, operator.inputs[0], joined)
        make_reshape(model, graph, last, after, [sizes[0], *map(int, sizes[1:] * multiples[1:])])
        counts = add_constant(model, graph, b"", np.array(repeats, "int32"))
        operator.inputs, operator.outputs = [before, counts], [after]
        place = position_of(graph, operator)
        graph.operators[place : place + 1] = [first, operator, last]
        changed = True
    return changed


def _pool_maxima(model, graph):
    """MAX_POOL_2D in the place of REDUCE_MAX and REDUCE_MIN over axes of known sizes that follow each other.

    What comes before them is one axis of a picture, they are the other one, and what comes behind them are channels.
    """
    changed = False
    for operator in list(graph.operators):
        kinds = _POOLED.get(operation_of(model, operator), ())
        source, output = (graph.tensors[places[0]] for places in (operator.inputs, operator.outputs))
        sizes = sizes_of(source)
        if type_name(source) not in kinds or len(sizes) < 2 or -1 in sizes[1:]:
            continue
        axes = integers_of(model, graph.tensors[operator.inputs[1]])
        if axes is None or axes.size == 0:
            continue
        axes = sorted(int(axis) % len(sizes) for axis in np.atleast_1d(axes))
        first, end = axes[0], axes[-1] + 1
        if first == 0 or axes != list(range(first, end)) or sizes_of(output).count(-1) > 1:
            continue
        rows, width, channels = (int(np.prod(part)) for part in (sizes[1:first], sizes[first:end], sizes[end:]))
        made = []
        place = _reshaped(model, graph, int(operator.inputs[0]), made, [sizes[0], rows, width, channels])
        pooled = add_tensor_like(graph, output, [sizes[0], rows, 1, channels])
        pool = add_operation(model, schema.BuiltinOperator.MAX_POOL_2D, [place], [pooled])
        pool.builtinOptionsType = schema.BuiltinOptions.Pool2DOptions
        pool.builtinOptions = schema.Pool2DOptionsT(schema.Padding.VALID, 1, 1, width, 1)
        if type_name(source) == "INT8":
            raise_version(model, pool, 2)
        back = add_operation(model, schema.BuiltinOperator.RESHAPE, [], operator.outputs)
        make_reshape(model, graph, back, pooled, sizes_of(output))
        position = position_of(graph, operator)
        graph.operators[position : position + 1] = [*made, pool, back]
        if operation_of(model, operator) == "REDUCE_MIN":
            _negate(model, graph, pool)
        changed = True
    return changed


def _negate(model, graph, operator):
    """Puts NEG before an operator of floats and behind it."""
    for places, is_behind in ((operator.inputs, False), (operator.outputs, True)):
        other = add_tensor_like(graph, graph.tensors[places[0]], sizes_of(graph.tensors[places[0]]))
        ends = [other, places[0]] if is_behind else [places[0], other]
        negation = add_operation(model, schema.BuiltinOperator.NEG, ends[:1], ends[1:])
        places[0] = other
        graph.operators.insert(position_of(graph, operator) + is_behind, negation)


def _reshape_once(model, graph):
    """Lets a RESHAPE of what another RESHAPE gives read what that one reads."""
    changed = False
    sources = {}
    for operator in graph.operators:
        if operation_of(model, operator) == "RESHAPE":
            source = int(operator.inputs[0])
            if source in sources and integers_of(model, graph.tensors[operator.inputs[1]]) is not None:
                operator.inputs[0] = source = sources[source]
                changed = True
            sources[int(operator.outputs[0])] = source
    return changed


def _dilate(model, graph):
    """A convolution with dilation in the place of SPACE_TO_BATCH_ND, a convolution and BATCH_TO_SPACE_ND."""
    changed = False
    for operator in list(graph.operators):
        if operation_of(model, operator) == "SPACE_TO_BATCH_ND":
            changed |= _dilated(model, graph, operator)
    return changed


def _dilated(model, graph, first):
    """Makes one of what begins with an operator, if it is of that form. Returns whether it is."""
    chain = [first]
    while operation_of(model, chain[-1]) != "BATCH_TO_SPACE_ND":
        (output,) = map(int, chain[-1].outputs)
        readers = [operator for operator in graph.operators if output in map(int, operator.inputs)]
        if len(readers) != 1 or output in map(int, graph.outputs):
            return False
        chain += readers
        if operation_of(model, chain[-1]) not in {*_DILATED, *_SQUEEZED, "BATCH_TO_SPACE_ND"}:
            return False
    last, convolutions = chain[-1], [one for one in chain if operation_of(model, one) in _DILATED]
    blocks, paddings = (integers_of(model, graph.tensors[i]) for i in first.inputs[1:3])
    crops = integers_of(model, graph.tensors[last.inputs[2]])
    if len(convolutions) != 1 or any(values is None for values in (blocks, paddings, crops)) or np.any(crops[:, 0]):
        return False
    (convolution,) = convolutions
    options = convolution.builtinOptions
    if options.padding != schema.Padding.VALID or max(options.strideH, options.strideW) > 1:
        return False
    pads = paddings - crops
    source, output = int(first.inputs[0]), int(last.outputs[0])
    sizes, results = (sizes_of(graph.tensors[place]) for place in (source, output))
    if pads.min() < 0 or len(sizes) != len(blocks) + 2 or -1 in sizes[1:] or len(results) != len(sizes):
        return False
    # A series is a picture of one row for a convolution.
    rows = len(blocks) == 1
    if rows:
        blocks, pads = np.array([1, *blocks]), np.array([[0, 0], *pads])
        sizes, results = _with_row(sizes), _with_row(results)
    reach = (np.array(sizes_of(graph.tensors[convolution.inputs[1]])[1:3]) - 1) * blocks
    given = list(map(int, sizes[1:3] + pads.sum(1) - reach))
    if any(size not in (-1, right) for size, right in zip(results[1:3], given, strict=True)):
        return False
    made = []
    if rows:
        source = _reshaped(model, graph, source, made, sizes)
    if np.array_equal(pads, np.stack([reach // 2, reach - reach // 2], 1)):
        options.padding = schema.Padding.SAME
    elif pads.any():
        source = _padded(model, graph, source, made, pads)
    options.dilationHFactor, options.dilationWFactor = map(int, blocks)
    convolution.inputs[0] = source
    raise_version(model, convolution, _DILATED[operation_of(model, convolution)])
    made.append(convolution)
    if rows:
        result = add_tensor_like(graph, graph.tensors[convolution.outputs[0]], [sizes[0], *given, results[3]])
        convolution.outputs = [result]
        back = add_operation(model, schema.BuiltinOperator.RESHAPE, [], [output])
        make_reshape(model, graph, back, result, [sizes[0], given[1], results[3]])
        made.append(back)
    else:
        convolution.outputs = [output]
    place, gone = position_of(graph, last), set(map(id, chain))  # behind all that something between them reads
    graph.operators[place + 1 : place + 1] = made
    graph.operators = [one for i, one in enumerate(graph.operators) if i > place or id(one) not in gone]
    return True


def _with_row(sizes):
    return [sizes[0], 1, *sizes[1:]]


def _reshaped(model, graph, source, made, sizes):
    result = add_tensor_like(graph, graph.tensors[source], sizes)
    operator = add_operation(model, schema.BuiltinOperator.RESHAPE, [], [result])
    make_reshape(model, graph, operator, source, sizes)
    made.append(operator)
    return result


def _padded(model, graph, source, made, pads):
    """Place of a picture with zeros around it."""
    examples, *sizes, channels = sizes_of(graph.tensors[source])
    widths = np.array([[0, 0], *pads, [0, 0]], "int32")
    grown = [size + int(more) for size, more in zip(sizes, pads.sum(1), strict=True)]
    result = add_tensor_like(graph, graph.tensors[source], [examples, *grown, channels])
    made.append(
        add_operation(model, schema.BuiltinOperator.PAD, [source, add_constant(model, graph, b"", widths)], [result])
    )
    made[-1].builtinOptionsType, made[-1].builtinOptions = schema.BuiltinOptions.PadOptions, schema.PadOptionsT()
    if type_name(graph.tensors[source]) == "INT8":  # which PAD has from its second version on
        raise_version(model, made[-1], 2)
    return result
