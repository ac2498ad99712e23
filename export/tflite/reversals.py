"""Reversals of one axis at a time: of several axes, TFLite 2.14 reverses one alone, without a word."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from cvhn_tf.export.tflite.flatbuffer import (
    add_constant,
    add_operation,
    add_tensor_like,
    operation_of,
    position_of,
    sizes_of,
)


def reverse_each_axis(model) -> None:
    """Puts a REVERSE_V2 for each axis in the place of those of several, whose axes are constants."""
    for graph in model.subgraphs:
        for operator in list(graph.operators):
            if operation_of(model, operator) != "REVERSE_V2":
                continue
            source, axes = map(int, operator.inputs)
            data = model.buffers[graph.tensors[axes].buffer].data
            if data is None:
                continue
            first, *others = np.frombuffer(bytes(data), "int32")
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
