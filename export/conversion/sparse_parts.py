"""Sparse files by channels: brought into the form in which XNNPACK computes with zeros right, or kept from it.

Where a file holds sparse convolutions (DENSIFY), XNNPACK computes parts of its graph by channels, on processors other
than x86 with AVX. Such a part begins with a 3×3 convolution of three channels, of stride 2 and equal padding of one.
What reads such a part without being able to, as a 3×3 convolution, takes maps by channels for maps by pixels: so went
18 of the 30 graphs of `benchmarks/robustness/sparse_graphs.py` wrong. Where PADV2 pads in the place of PAD, no part
begins, and all are right.
"""

import copy

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from cvhn_tf.export.compaction.equal_padding import Window
from cvhn_tf.export.tflite.channel_parts import why_not_by_channels
from cvhn_tf.export.tflite.flatbuffer import add_constant, add_operation, add_tensor, operation_of, sizes_of
from cvhn_tf.export.verification.verify import ConversionError


def by_channels_or_not(model, client):
    """A `ModelT` that XNNPACK computes by channels and right, or one that it does not compute so.

    Args:
        model: `ModelT`, which may be changed. Without sparse convolutions it comes back as it is.
        client: `Client`.

    Raises:
        ConversionError: If the client reads sparse weights only where XNNPACK computes by channels, and it does not.
    """
    if not any(operation_of(model, operator) == "DENSIFY" for graph in model.subgraphs for operator in graph.operators):
        return model
    formed = copy.deepcopy(model)
    _pad_apart(formed)
    _set_constants_first(formed)
    why_not = why_not_by_channels(formed, client.resizes)
    if why_not is None:
        return formed
    if client.sparse is not None:
        raise ConversionError(
            f"The file is not for client={client.argument}, which reads sparse weights only where XNNPACK computes by "
            f"channels, and that it does not: {why_not}. `fast_sparse` brings networks into the form that it asks for"
        )
    _keep_from_channels(model)
    return model


def _pad_apart(model):
    """Has PAD pad in the place of a convolution of stride 2, with zeros on all sides: the converter joins these two."""
    for graph in model.subgraphs:
        operators = []
        for operator in graph.operators:
            zeros = _equal_zeros(model, graph, operator)
            if zeros:
                operators.append(_pad(model, graph, operator, zeros))
            operators.append(operator)
        graph.operators = operators


def _equal_zeros(model, graph, operator):
    """The zeros on each side of a convolution of stride 2 that pads by itself; 0 where sides differ."""
    options = operator.builtinOptions
    if operation_of(model, operator) not in ("CONV_2D", "DEPTHWISE_CONV_2D"):
        return 0
    if options.padding != schema.Padding.SAME or (options.strideH, options.strideW) != (2, 2):
        return 0
    sizes = [sizes_of(graph.tensors[operator.inputs[i]])[1:3] for i in (0, 1)]
    if min(sizes[0]) <= 0:  # open
        return 0
    windows = [Window.same(size, kernel, 2) for size, kernel in zip(*sizes, strict=True)]
    zeros = {side for window in windows for side in (window.before, window.after)}
    return zeros.pop() if len(zeros) == 1 else 0


def _pad(model, graph, operator, zeros):
    source = graph.tensors[operator.inputs[0]]
    shape, sizes = (
        [size + 2 * zeros * (axis in (1, 2)) for axis, size in enumerate(values)]
        for values in (list(map(int, source.shape)), sizes_of(source))
    )
    padded = add_tensor(graph, source.name + b"_padded", source.type, shape, sizes)
    widths = np.array([[0, 0], [zeros, zeros], [zeros, zeros], [0, 0]], "int32")
    widths = add_constant(model, graph, source.name + b"_zeros", widths)
    pad = add_operation(model, schema.BuiltinOperator.PAD, [operator.inputs[0], widths], [padded])
    pad.builtinOptionsType, pad.builtinOptions = schema.BuiltinOptions.PadOptions, schema.PadOptionsT()
    operator.inputs = [padded, *operator.inputs[1:]]
    operator.builtinOptions.padding = schema.Padding.VALID
    return pad


def _set_constants_first(model):
    """Gives single numbers that are added to maps, or multiplied with them, four dimensions and the first place."""
    for graph in model.subgraphs:
        for operator in graph.operators:
            if (
                operation_of(model, operator) not in ("ADD", "MUL")
                or len(sizes_of(graph.tensors[operator.outputs[0]])) != 4
            ):
                continue
            operator.inputs = sorted(operator.inputs, key=lambda place: not _is_number(model, graph, place))
            place = operator.inputs[0]
            if _is_number(model, graph, place):
                number = copy.copy(graph.tensors[place])  # others may read it as it is
                number.shape, number.shapeSignature, number.hasRank = [1, 1, 1, 1], None, True
                graph.tensors.append(number)
                operator.inputs = [len(graph.tensors) - 1, *operator.inputs[1:]]


def _is_number(model, graph, place):
    tensor = graph.tensors[place]
    is_float = tensor.type == schema.TensorType.FLOAT32
    return is_float and model.buffers[tensor.buffer].data is not None and set(sizes_of(tensor)) <= {1}


def _keep_from_channels(model):
    """Has PADV2 pad in the place of PAD, where XNNPACK's computation by channels would begin."""
    for graph in model.subgraphs:
        operations = [operation_of(model, operator) for operator in graph.operators]
        if "DENSIFY" not in operations:
            continue
        for place, (operation, operator) in enumerate(zip(operations, list(graph.operators), strict=True)):
            if operation == "PAD" and any(
                _begins_a_part(model, graph, reader)
                for reader in graph.operators
                if int(operator.outputs[0]) in map(int, reader.inputs)
            ):
                graph.operators[place] = _padv2(model, graph, operator)


def _begins_a_part(model, graph, operator):
    if operation_of(model, operator) != "CONV_2D":
        return False
    options = operator.builtinOptions
    kernel = [int(size) for size in graph.tensors[operator.inputs[1]].shape]
    return (
        kernel[1:] == [3, 3, 3]
        and (options.strideH, options.strideW) == (2, 2)
        and options.padding == schema.Padding.VALID
    )


def _padv2(model, graph, pad):
    source = graph.tensors[pad.inputs[0]]
    zero = add_constant(model, graph, source.name + b"_zero", np.zeros((), "float32"))
    operator = add_operation(model, schema.BuiltinOperator.PADV2, [*pad.inputs, zero], pad.outputs)
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.PadV2Options, schema.PadV2OptionsT()
    return operator
