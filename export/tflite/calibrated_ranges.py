"""What stays in float of a file that TensorFlow has calibrated, before it makes integers of the rest."""

import numpy as np

from cvhn_tf.export.tflite.flatbuffer import operation_of, parse, serialize, type_name

# A mask is what Keras and others add to the scores of places that attention must not look at, or put there: from -1e3
# to the least number. Where that leaves a score fewer than 16 of 255 steps, it is lost.
_MASKS = ("ADD", "MAXIMUM", "MINIMUM", "SELECT", "SELECT_V2", "SUB")
_MOST_TIMES_WIDER = 16
# By steps of 2 or more a softmax cannot choose.
_WIDEST_SCORES = 512
# They may write where they read, and calibration notes both as the range of what they read.
_IN_PLACE = (*_MASKS, "MUL", "RESHAPE", "TRANSPOSE")
# Such operations with float weights would make a file large.
_WEIGHTED = ("CONV_2D", "CONV_3D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
# TensorFlow's quantizer ends the process where the steps of a range are no finite numbers.
_WIDEST = 1e30
# TensorFlow's quantizer makes zeros of constants that are no larger.
_LARGEST_LOST = 1e-6
# A Dense layer has such logits if a mask was added to its bias.
_WIDEST_LOGITS = 1e8


def kept_in_float(content) -> tuple[bytes, list[str]]:
    """A calibrated file without the ranges that 255 steps cannot cover, and what has to stay in float.

    A range from -1e9 on has steps of 4 million: by it all scores of an attention layer are the same. TensorFlow's
    quantizer takes ranges with two finite ends only. That of data in the billions is as good as any other.

    Args:
        content: Bytes of a TFLite file whose activations have `min` and `max`.

    Returns:
        The file's bytes, and the names of tensors: outputs of the operations that read or write an activation without
        a range, whose constants the quantizer would lose, or that divide, since old runtimes divide no integers.
    """
    model, stay_float = parse(content), []
    for graph in model.subgraphs:
        without_range = _without_range(model, graph)
        for place in without_range:
            graph.tensors[place].quantization.min = graph.tensors[place].quantization.max = None
        for operator in graph.operators:
            if (
                without_range.intersection([*operator.inputs, *operator.outputs])
                or operation_of(model, operator) == "DIV"
                or _loses_constants(model, graph, operator)
            ):
                stay_float += [graph.tensors[place].name.decode() for place in operator.outputs]
    return (serialize(model), stay_float) if stay_float else (bytes(content), [])


def _without_range(model, graph):
    """Places of the tensors that cannot have a range, and of masked scores: what a mask is in, and what reads it."""
    widths = [_width(tensor.quantization) for tensor in graph.tensors]
    never = {place for place, width in enumerate(widths) if width is not None and not width < _WIDEST}
    calibrated = {place for place, width in enumerate(widths) if width is not None} - never
    operations = [(operation_of(model, o), set(map(int, o.inputs)), set(map(int, o.outputs))) for o in graph.operators]
    weighted = set().union(*(made for operation, _, made in operations if operation in _WEIGHTED))
    inside = calibrated - weighted - set(map(int, graph.inputs))
    masked = set()
    for operation, read, made in operations:  # each stands behind what it reads
        if operation == "SOFTMAX":
            masked |= {place for place in read & inside if widths[place] > _WIDEST_SCORES}
            masked |= {place for place in read & weighted & calibrated if widths[place] > _WIDEST_LOGITS}
            continue
        narrowest = min((widths[place] for place in read & calibrated if widths[place]), default=np.inf)
        widest = max((widths[place] for place in read & masked), default=np.inf)
        for place in made & inside:
            adds_mask = operation in _MASKS and widths[place] > _MOST_TIMES_WIDER * narrowest
            if adds_mask or widths[place] * _MOST_TIMES_WIDER > widest:
                masked.add(place)
    read_by_weights = set()
    for operation, read, made in reversed(operations):
        if operation in _IN_PLACE and made & masked:
            width = max(widths[place] for place in made & masked)
            masked |= {place for place in read & inside if widths[place] * _MOST_TIMES_WIDER > width}
        # Sums of which one part is small are no masks: layers with weights read them.
        if operation in _WEIGHTED or made & read_by_weights:
            read_by_weights |= masked & read
    return (masked - read_by_weights) | never


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


def _width(quantization):
    """How far an activation's range goes, with the zero that it takes in; None of what is not calibrated."""
    if quantization is None or quantization.min is None or quantization.max is None:
        return None
    return float(np.max([0.0, *quantization.max]) - np.min([0.0, *quantization.min]))
