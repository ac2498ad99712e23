"""Ranges of activations in a file that TensorFlow has calibrated, before it makes integers of them."""

import numpy as np

from cvhn_tf.export.tflite.flatbuffer import parse, serialize

# What Keras and others add to the scores of places that attention must not look at is -1e9 or less.
_LARGEST = 1e8


def without_unbounded_ranges(content) -> tuple[bytes, list[str]]:
    """A calibrated file without the ranges that 255 steps cannot cover, and what has to stay in float for it.

    A range from -1e9 on has steps of 4 million: by it all scores of an attention layer are the same. TensorFlow's
    quantizer takes ranges with two finite ends only.

    Args:
        content: Bytes of a TFLite file whose activations have `min` and `max`.

    Returns:
        The file's bytes, and the names of tensors: outputs of the operations that read or write such an activation.
    """
    model, stay_float = parse(content), []
    for graph in model.subgraphs:
        unbounded = {place for place, tensor in enumerate(graph.tensors) if _is_unbounded(tensor.quantization)}
        for place in unbounded:
            graph.tensors[place].quantization.min = graph.tensors[place].quantization.max = None
        for operator in graph.operators:
            if unbounded.intersection([*operator.inputs, *operator.outputs]):
                stay_float += [graph.tensors[place].name.decode() for place in operator.outputs]
    return (serialize(model), stay_float) if stay_float else (bytes(content), [])


def _is_unbounded(quantization):
    if quantization is None or quantization.min is None or quantization.max is None:
        return False
    ends = np.concatenate([quantization.min, quantization.max])
    return not np.all(np.abs(ends) < _LARGEST)  # which holds for NaN too
