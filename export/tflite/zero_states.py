"""What unrolled recurrent layers compute of their first state, zeros, as constants, which GPUs do not compute.

They refuse products of constants with kernels, and cut parts out of a constant wrongly, without a word.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from cvhn_tf.export.tflite.flatbuffer import operation_of, sizes_of, type_name

_DTYPES = {"FLOAT32": "float32", "INT8": "int8"}


def fold_zeros(model) -> bool:
    """Puts constants in the place of FULLY_CONNECTED on zeros, as on a recurrent layer's first state, and of its parts.

    Returns whether there was any in the `ModelT`.
    """
    changed = False
    for graph in model.subgraphs:
        for operator in list(graph.operators):
            fold = _FOLDS.get(operation_of(model, operator))
            values = fold(model, graph, operator) if fold is not None else None
            if values is None:
                continue
            for place, value in zip(operator.outputs, values, strict=True):
                model.buffers.append(schema.BufferT(np.frombuffer(value.tobytes(), "uint8")))
                graph.tensors[place].buffer = len(model.buffers) - 1
            graph.operators = [one for one in graph.operators if one is not operator]
            changed = True
    return changed


def _product(model, graph, operator):
    """A fully connected layer of zeros gives its bias."""
    given, output = (graph.tensors[places[0]] for places in (operator.inputs, operator.outputs))
    source, sizes = _constant(model, given), sizes_of(output)
    if source is None or type_name(output) not in _DTYPES or -1 in sizes:
        return None
    if operator.builtinOptions.fusedActivationFunction != schema.ActivationFunctionType.NONE:
        return None
    if np.any(source != _zero(given)):
        return None
    (bias,) = operator.inputs[2:] if len(operator.inputs) > 2 else [-1]
    if bias < 0:
        return [np.full(sizes, _zero(output), _DTYPES[type_name(output)])]
    values = _constant(model, graph.tensors[bias])
    if values is None:
        return None
    if type_name(output) == "INT8":
        step, steps = output.quantization.scale[0], np.asarray(graph.tensors[bias].quantization.scale)
        values = np.clip(np.round(values * steps / step) + _zero(output), -128, 127).astype("int8")
    return [np.broadcast_to(values, sizes)]


def _parts(model, graph, operator):
    axis, source = (_constant(model, graph.tensors[place]) for place in operator.inputs)
    if axis is None or source is None:
        return None
    return np.split(source, len(operator.outputs), int(axis))


def _slice(model, graph, operator):
    options, values = operator.builtinOptions, [_constant(model, graph.tensors[place]) for place in operator.inputs]
    if any(value is None for value in values) or options.ellipsisMask or options.newAxisMask or options.shrinkAxisMask:
        return None
    source, *bounds = values
    cuts = tuple(
        slice(None if options.beginMask >> i & 1 else begin, None if options.endMask >> i & 1 else end, step)
        for i, (begin, end, step) in enumerate(zip(*bounds, strict=True))
    )
    return [source[cuts]]


_FOLDS = {"FULLY_CONNECTED": _product, "SPLIT": _parts, "STRIDED_SLICE": _slice}


def _zero(tensor):
    """How a tensor stores zero."""
    return 0 if type_name(tensor) == "FLOAT32" else int(tensor.quantization.zeroPoint[0])


def _constant(model, tensor):
    """Values of a constant; None of what is computed, and of other types than are folded."""
    dtype = {**_DTYPES, "INT32": "int32"}.get(type_name(tensor))
    data = model.buffers[tensor.buffer].data
    if data is None or dtype is None or -1 in sizes_of(tensor):
        return None
    return np.frombuffer(bytes(data), dtype).reshape(sizes_of(tensor))
