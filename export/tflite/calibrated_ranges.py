"""What stays in float of a file that TensorFlow has calibrated, before it makes integers of the rest."""

import numpy as np

from cvhn_tf.export.tflite.flatbuffer import operation_of, parse, serialize, type_name

# What Keras and others add to the scores of places that attention must not look at, or put there, is -1e9 or less.
_WIDEST = 1e8
# TensorFlow's quantizer takes smaller ranges only.
_LIMIT = 1e30
# By steps of 2 or more a softmax cannot choose: so wide are the scores that a smaller mask is in.
_WIDEST_SCORES = 512
# Such operations with float weights would make a file large.
_WEIGHTED = ("CONV_2D", "CONV_3D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
# TFLite has EXP of integers from 2.12 on, LOG from 2.15 on, LiteRT 1.1 no DIV and no SQRT of them, tflite-micro no EXP
# and no SQRT.
_OF_FLOATS = ("DIV", "EXP", "LOG", "SQRT")
# LiteRT takes sums and squared differences whose steps are at most so many times as fine as those of an input, or as
# these squared.
_FINEST = {"ADD": 2**19, "SUB": 2**19, "SQUARED_DIFFERENCE": 255 * 2**12}
_MARGIN = 4
# Of outputs of tanh, whatever values they have; no other operation has a wider range of its own.
_OF_ITS_OWN = 2.0
# TensorFlow's quantizer makes zeros of constants that are no larger.
_LARGEST_LOST = 1e-6


def kept_in_float(content) -> tuple[bytes, list[str]]:
    """A calibrated file without the ranges that 255 steps cannot cover, and what has to stay in float.

    A range from -1e9 on has steps of 4 million: by it all scores of an attention layer are the same. That of
    data in the billions is as good as any other.

    Args:
        content: Bytes of a TFLite file whose activations have `min` and `max`.

    Returns:
        The file's bytes, and the names of tensors: outputs of the operations that read or write an activation without
        a range, whose constants the quantizer would lose, that old runtimes have for floats only, or whose outputs have
        a range that is very small beside the inputs', as in networks that give the same for all inputs.
    """
    model, stay_float = parse(content), []
    for graph in model.subgraphs:
        without_range = _without_range(model, graph)
        for place in without_range:
            graph.tensors[place].quantization.min = graph.tensors[place].quantization.max = None
        for operator in graph.operators:
            if (
                without_range.intersection([*operator.inputs, *operator.outputs])
                or operation_of(model, operator) in _OF_FLOATS
                or _loses_constants(model, graph, operator)
                or _is_too_fine(model, graph, operator)
            ):
                stay_float += [graph.tensors[place].name.decode() for place in operator.outputs]
    return (serialize(model), stay_float) if stay_float else (bytes(content), [])


def _without_range(model, graph):
    """Places of the tensors that cannot have a range, and of those that a mask is in.

    Large inputs, and what layers with weights make of them, are data, unless a softmax reads it.
    """
    widths = {place: _width(tensor.quantization) for place, tensor in enumerate(graph.tensors)}
    widths = {place: width for place, width in widths.items() if width is not None}
    maker, scores, data = {}, set(), set(map(int, graph.inputs))
    for operator in graph.operators:
        operation = operation_of(model, operator)
        maker.update((int(place), operator) for place in operator.outputs)
        if operation == "SOFTMAX":
            scores.add(int(operator.inputs[0]))
        elif operation in _WEIGHTED:
            data.update(map(int, operator.outputs))
    without = {place for place, width in widths.items() if width >= _WIDEST and (place not in data or place in scores)}
    without |= {place for place, width in widths.items() if not width < _LIMIT}  # nor NaN
    behind = list(scores - without)
    while behind:
        place = behind.pop()
        if place in maker and widths.get(place, 0) > _WIDEST_SCORES and place not in data | without:
            without.add(place)
            behind += map(int, maker[place].inputs)
    return without


def _loses_constants(model, graph, operator):
    """Whether the quantizer makes zeros of constants that make something of large data, as of a scale for them."""
    if operation_of(model, operator) not in ("MUL", *_WEIGHTED):
        return False
    data, factor = (graph.tensors[place] for place in operator.inputs[:2])
    if model.buffers[data.buffer].data is not None:
        data, factor = factor, data
    values, width = model.buffers[factor.buffer].data, _width(data.quantization)
    if values is None or width is None or type_name(factor) != "FLOAT32":
        return False
    largest = np.abs(np.frombuffer(bytes(values), "float32")).max(initial=0)
    return 0 < largest < _LARGEST_LOST and width > 1 / _LARGEST_LOST


def _is_too_fine(model, graph, operator):
    """Whether LiteRT cannot make steps as fine as an output's from an input's."""
    operation = operation_of(model, operator)
    if operation not in _FINEST:
        return False
    width, *given = (_width(graph.tensors[place].quantization) for place in (operator.outputs[0], *operator.inputs))
    if width is None:
        return False
    widest = max([_OF_ITS_OWN, *(one for one in given if one is not None)])
    widest = widest**2 if operation == "SQUARED_DIFFERENCE" else widest
    return width * _FINEST[operation] < _MARGIN * widest


def _width(quantization):
    """How far an activation's range goes, with the zero that it takes in; None of what is not calibrated."""
    if quantization is None or quantization.min is None or quantization.max is None:
        return None
    return float(np.max([0.0, *quantization.max]) - np.min([0.0, *quantization.min]))
