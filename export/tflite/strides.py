"""Strides of convolutions that read one place, such as a residual network's shortcuts, in integers.

LiteRT's accelerator for GPUs, and LiteRT.js on WebGPU, compute these as if there were no strides, without a word. A
pool of one place has strides too, and changes no number.
"""

from ai_edge_litert import schema_py_generated as schema

from cvhn_tf.export.tflite.flatbuffer import (
    add_operation,
    add_tensor_like,
    operation_of,
    position_of,
    sizes_of,
    type_name,
)

_VERSION = 2  # of MAX_POOL_2D, from which it has integers


def stride_in_pools(model) -> None:
    """Puts MAX_POOL_2D with the strides before each integer CONV_2D of a kernel of one place, which loses them."""
    for graph in model.subgraphs:
        for operator in list(graph.operators):
            if operation_of(model, operator) != "CONV_2D":
                continue
            source, kernel, output = (
                graph.tensors[place] for place in (operator.inputs[0], operator.inputs[1], operator.outputs[0])
            )
            options = operator.builtinOptions
            strides = options.strideH, options.strideW
            if type_name(source) != "INT8" or sizes_of(kernel)[1:3] != [1, 1] or strides == (1, 1):
                continue
            examples, *_, channels = sizes_of(source)
            pooled = add_tensor_like(graph, source, [examples, *sizes_of(output)[1:3], channels])
            pool = add_operation(model, schema.BuiltinOperator.MAX_POOL_2D, [int(operator.inputs[0])], [pooled])
            pool.builtinOptionsType = schema.BuiltinOptions.Pool2DOptions
            pool.builtinOptions = schema.Pool2DOptionsT(schema.Padding.VALID, options.strideW, options.strideH, 1, 1)
            code = model.operatorCodes[pool.opcodeIndex]
            code.version = max(code.version, _VERSION)
            operator.inputs[0], options.strideH, options.strideW = pooled, 1, 1
            graph.operators.insert(position_of(graph, operator), pool)
