"""Convolutions as two operations, where clients compute them wrongly as one or refuse them.

With weights of integers, LiteRT's accelerator for GPUs and LiteRT.js on WebGPU compute convolutions of one place, such
as a residual network's shortcuts, as if they had no strides, without a word. A pool of one place has strides too, and
changes no number. Both refuse transposed convolutions that hold an activation, which TFLite has from 2.13 on.
"""

from ai_edge_litert import schema_py_generated as schema

from cvhn_tf.export.tflite.flatbuffer import (
    add_operation,
    add_tensor_like,
    operation_of,
    position_of,
    raise_version,
    sizes_of,
    type_name,
)

_ACTIVATIONS = {
    schema.ActivationFunctionType.RELU: (schema.BuiltinOperator.RELU, 2),  # and the version that has integers too
    schema.ActivationFunctionType.RELU6: (schema.BuiltinOperator.RELU6, 2),
}
_INTEGERS = {"INT4", "INT8"}
_WITH_ACTIVATION = 4  # version of TRANSPOSE_CONV
_VERSION = 2  # of MAX_POOL_2D, from which it has integers


def stride_in_pools(model) -> None:
    """Puts MAX_POOL_2D with the strides before each CONV_2D of an integer kernel of one place, which loses them."""
    for graph in model.subgraphs:
        for operator in list(graph.operators):
            if operation_of(model, operator) != "CONV_2D":
                continue
            source, kernel, output = (
                graph.tensors[place] for place in (operator.inputs[0], operator.inputs[1], operator.outputs[0])
            )
            options = operator.builtinOptions
            strides = options.strideH, options.strideW
            if type_name(kernel) not in _INTEGERS or sizes_of(kernel)[1:3] != [1, 1] or strides == (1, 1):
                continue
            examples, *_, channels = sizes_of(source)
            pooled = add_tensor_like(graph, source, [examples, *sizes_of(output)[1:3], channels])
            pool = add_operation(model, schema.BuiltinOperator.MAX_POOL_2D, [int(operator.inputs[0])], [pooled])
            pool.builtinOptionsType = schema.BuiltinOptions.Pool2DOptions
            pool.builtinOptions = schema.Pool2DOptionsT(schema.Padding.VALID, options.strideW, options.strideH, 1, 1)
            if type_name(source) == "INT8":
                raise_version(model, pool, _VERSION)
            operator.inputs[0], options.strideH, options.strideW = pooled, 1, 1
            graph.operators.insert(position_of(graph, operator), pool)


def separate_activations(model) -> None:
    """Puts the activations of transposed convolutions behind them."""
    for graph in model.subgraphs:
        for operator in list(graph.operators):
            options = operator.builtinOptions
            if operation_of(model, operator) != "TRANSPOSE_CONV" or options.fusedActivationFunction not in _ACTIVATIONS:
                continue
            builtin, version = _ACTIVATIONS[options.fusedActivationFunction]
            (output,) = operator.outputs
            like = graph.tensors[output]
            place = add_tensor_like(graph, like, sizes_of(like))
            activation = add_operation(model, builtin, [place], [output])
            if type_name(like) == "INT8":
                raise_version(model, activation, version)
            operator.outputs, options.fusedActivationFunction = [place], schema.ActivationFunctionType.NONE
            graph.operators.insert(position_of(graph, operator) + 1, activation)
        left = [one for one in graph.operators if operation_of(model, one) == "TRANSPOSE_CONV"]
        if not any(one.builtinOptions.fusedActivationFunction for one in left):
            for code in (model.operatorCodes[one.opcodeIndex] for one in left):
                if code.version == _WITH_ACTIVATION:
                    code.version = _WITH_ACTIVATION - 1
