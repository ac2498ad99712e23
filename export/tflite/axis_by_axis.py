"""Operations on several axes as one for each axis, where a client computes the former wrongly or refuses them.

Of several axes, TFLite 2.14 reverses one alone, without a word. tflite-micro has no TILE, as nearest upsampling is.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from cvhn_tf.export.tflite.flatbuffer import (
    add_constant,
    add_operation,
    add_tensor_like,
    integers_of,
    operation_of,
    position_of,
    raise_version,
    sizes_of,
)

_MOST_INPUTS = 10  # of CONCATENATION, that tflite-micro takes
_VERSION = 2  # of CONCATENATION, from which it has integers


def reverse_each_axis(model) -> None:
    """Puts a REVERSE_V2 for each axis in the place of those of several, whose axes are constants."""
    for graph in model.subgraphs:
        for operator in list(graph.operators):
            if operation_of(model, operator) != "REVERSE_V2":
                continue
            source, axes = int(operator.inputs[0]), integers_of(model, graph.tensors[operator.inputs[1]])
            if axes is None:
                continue
            first, *others = axes
            (output,) = operator.outputs
            for axis in others:
                like = graph.tensors[output]
                place = add_tensor_like(graph, like, sizes_of(like))
                inputs = [source, add_constant(model, graph, b"", np.array([axis], "int32"))]
                before = add_operation(model, schema.BuiltinOperator.REVERSE_V2, inputs, [place])
                before.builtinOptionsType = schema.BuiltinOptions.ReverseV2Options
                before.builtinOptions = schema.ReverseV2OptionsT()
                graph.operators.insert(position_of(graph, operator), before)
                source = place
            if others:
                operator.inputs = [source, add_constant(model, graph, b"", np.array([first], "int32"))]


def concatenate_tiles(model) -> None:
    """Puts CONCATENATION of a tensor with itself in the place of TILE by constants, one for each axis that it repeats.

    More copies than tflite-micro joins stay a TILE.
    """
    for graph in model.subgraphs:
        for operator in list(graph.operators):
            if operation_of(model, operator) != "TILE":
                continue
            source, repeats = int(operator.inputs[0]), integers_of(model, graph.tensors[operator.inputs[1]])
            if repeats is None:
                continue
            axes = [axis for axis, count in enumerate(repeats) if count != 1]
            if not axes or max(repeats) > _MOST_INPUTS or min(repeats) < 1:
                continue
            (output,) = operator.outputs
            sizes, made = sizes_of(graph.tensors[source]), []
            for axis in axes:
                sizes[axis] = sizes_of(graph.tensors[output])[axis]
                place = output if axis == axes[-1] else add_tensor_like(graph, graph.tensors[output], sizes)
                joined = add_operation(
                    model, schema.BuiltinOperator.CONCATENATION, [source] * int(repeats[axis]), [place]
                )
                joined.builtinOptionsType = schema.BuiltinOptions.ConcatenationOptions
                joined.builtinOptions = schema.ConcatenationOptionsT(axis)
                raise_version(model, joined, _VERSION)
                made.append(joined)
                source = place
            position = position_of(graph, operator)
            graph.operators[position : position + 1] = made
