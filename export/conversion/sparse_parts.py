"""Sparse files that XNNPACK would compute wrongly on ARM and in WebAssembly, kept from it.

Where a file holds sparse convolutions (DENSIFY), XNNPACK computes parts of its graph by channels, on processors other
than x86 with AVX. Such a part begins with a 3×3 convolution of three channels, of stride 2 and equal padding of one.
What reads such a part without being able to, as a 3×3 convolution, takes maps by channels for maps by pixels: so went
18 of the 30 graphs of `benchmarks/robustness/sparse_graphs.py` wrong. Where PADV2 pads in the place of PAD, no part
begins, and all are right.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from cvhn_tf.export.tflite.flatbuffer import add_constant, add_operation, operation_of


def keep_from_channels(model) -> None:
    """Has PADV2 pad in a `ModelT`, in the place of PAD, where XNNPACK's computation by channels would begin."""
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
