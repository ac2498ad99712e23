"""Integer weights that are expanded, in a run or in the file, where a client computes them wrongly or refuses them."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from cvhn_tf.export.tflite.flatbuffer import add_operation, add_tensor, operation_of, position_of, sizes_of, type_name

_HYBRID = ("INT8", "FLOAT32")  # types of weights and outputs


def look_up_integers(model) -> None:
    """Lets EMBEDDING_LOOKUP read tables of integers themselves, whose rows it expands: WebGPU finds none of the others.

    Rows of an odd number of 4-bit weights stay as they are, which LiteRT reads wrongly.
    """
    for graph in model.subgraphs:
        expansions = {int(one.outputs[0]): one for one in graph.operators if operation_of(model, one) == "DEQUANTIZE"}
        for operator in graph.operators:
            if operation_of(model, operator) != "EMBEDDING_LOOKUP" or not has_expanded_weights(model, graph, operator):
                continue
            table = int(expansions[int(operator.inputs[1])].inputs[0])
            if type_name(graph.tensors[table]) != "INT4" or sizes_of(graph.tensors[table])[-1] % 2 == 0:
                operator.inputs[1] = table
        read = {int(i) for operator in graph.operators for i in operator.inputs} | {int(i) for i in graph.outputs}
        unread = [one for place, one in expansions.items() if place not in read]
        graph.operators = [operator for operator in graph.operators if not any(operator is one for one in unread)]


def expand_transposed(model) -> None:
    """Gives transposed convolutions of floats kernels of floats: TFLite 2.14 refuses others in the file."""
    for graph in model.subgraphs:
        for operator in graph.operators:
            kernel = graph.tensors[operator.inputs[1]] if operation_of(model, operator) == "TRANSPOSE_CONV" else None
            if kernel is None or (type_name(kernel), type_name(graph.tensors[operator.outputs[0]])) != _HYBRID:
                continue
            integers = np.frombuffer(bytes(model.buffers[kernel.buffer].data), "int8").reshape(kernel.shape)
            scales = np.asarray(kernel.quantization.scale, "float32")
            axes = [1] * integers.ndim
            axes[kernel.quantization.quantizedDimension] = len(scales)
            values = integers * scales.reshape(axes)
            model.buffers.append(schema.BufferT(np.frombuffer(values.tobytes(), "uint8")))
            kernel.type, kernel.quantization = schema.TensorType.FLOAT32, None
            kernel.buffer = len(model.buffers) - 1


def add_biases(model) -> None:
    """Adds biases behind FULLY_CONNECTED where weights are expanded in a run: LiteRT.js drops them on WebGPU."""
    for graph in model.subgraphs:
        for operator in list(graph.operators):
            if operation_of(model, operator) != "FULLY_CONNECTED" or not has_expanded_weights(model, graph, operator):
                continue
            if len(operator.inputs) < 3 or operator.inputs[2] < 0:
                continue
            (output,) = operator.outputs
            like = graph.tensors[output]
            product = add_tensor(graph, b"", like.type, list(like.shape), sizes_of(like))
            added = add_operation(model, schema.BuiltinOperator.ADD, [product, int(operator.inputs[2])], [output])
            added.builtinOptionsType = schema.BuiltinOptions.AddOptions
            added.builtinOptions = schema.AddOptionsT(operator.builtinOptions.fusedActivationFunction)
            operator.builtinOptions.fusedActivationFunction = schema.ActivationFunctionType.NONE
            operator.inputs, operator.outputs = [*operator.inputs[:2], -1], [product]
            place = position_of(graph, operator)
            graph.operators.insert(place + 1, added)


def expand_first(model) -> None:
    """Puts what GPUs leave to the processor in front: operations on constants alone, 4-bit convolutions of inputs.

    LiteRT.js fails on WebGPU, in browsers without JSPI, where some of it comes behind a part of the GPU.
    """
    for graph in model.subgraphs:
        made = {int(i) for operator in graph.operators for i in operator.outputs}
        inputs = {int(i) for i in graph.inputs}
        of_inputs = [operator for operator in graph.operators if made.isdisjoint(map(int, operator.inputs))]
        first = [operator for operator in of_inputs if inputs.isdisjoint(map(int, operator.inputs))]
        first += [
            operator
            for operator in of_inputs
            if operation_of(model, operator) == "CONV_2D" and type_name(graph.tensors[operator.inputs[1]]) == "INT4"
        ]
        are_first = set(map(id, first))
        graph.operators = first + [operator for operator in graph.operators if id(operator) not in are_first]


def has_expanded_weights(model, graph, operator) -> bool:
    """Whether the second input of an `OperatorT` is integers that a DEQUANTIZE expands."""
    weights = int(operator.inputs[1])
    return model.buffers[graph.tensors[weights].buffer].data is None and any(
        operation_of(model, other) == "DEQUANTIZE"
        and weights in map(int, other.outputs)
        and type_name(graph.tensors[other.inputs[0]]) != "FLOAT16"
        for other in graph.operators
    )
