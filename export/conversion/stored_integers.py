"""Weights that are on a grid, stored as the integers that they are.

Converters take the scale of a channel from its largest weight: `max / 127`. Weights that lie on a coarser grid, the
multiples of a step, then become integers that are spread out, differently in each channel, and with few levels they are
rounded a second time. Stored as multiples of the step itself they are exact, small, and alike in all channels, which
gzip likes.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from cvhn_tf.export.tflite.flatbuffer import constants, parse, serialize

_LEVELS = {schema.TensorType.INT8: 127, schema.TensorType.INT4: 7}
# Of a step: far above float32's rounding, far below what quantizing anew costs.
_TOLERANCE = 1e-3
# So many of a row's largest values are looked at before all of them are.
_PROBES = 16
# Among so many weights: that all are near multiples of some step by chance is rarer than one in a million.
_NO_CHANCE = 5


def keep_grid(content, float_content) -> bytes:
    """The quantized file with the weights of each channel on their own grid, where they have one.

    Args:
        content: File with float activations and weights in symmetric 8-bit or 4-bit integers.
        float_content: The same network's file in float32, dense.
    """
    model = parse(content)
    exact = {(tensor.name, tuple(tensor.shape)): buffer.data for tensor, buffer in constants(parse(float_content))}
    # The output of a lookup in a table has the table's integers and a scale of its own.
    looked_up = {
        id(graph.tensors[i])
        for graph in model.subgraphs
        for operator in graph.operators
        if any(graph.tensors[output].type in _LEVELS for output in operator.outputs)
        for i in operator.inputs
        if i >= 0
    }
    changed = False
    for tensor, buffer in constants(model):
        key = tensor.name, tuple(tensor.shape)
        if id(tensor) in looked_up or tensor.type not in _LEVELS:
            continue
        if key in exact and len(exact[key]) == 4 * np.prod(tensor.shape):
            changed |= _store(tensor, buffer, np.frombuffer(exact[key], "float32").reshape(tensor.shape))
    return serialize(model) if changed else content


def may_be_on_grid(kernel) -> bool:
    """Whether half of a kernel's weights, or more, are on a grid; it saves a conversion where they are not.

    Each channel may have a step of its own: along the last axis, or along the last two as in depthwise convolutions.

    Args:
        kernel: Array of several dimensions.
    """
    rows = [kernel.reshape(1, -1), kernel.reshape(-1, kernel.shape[-1]).T]
    if kernel.ndim > 2:
        rows.append(kernel.reshape(-1, kernel.shape[-2] * kernel.shape[-1]).T)
    return any(2 * _count_on_grid(some) >= np.count_nonzero(kernel) for some in rows if kernel.any())


def _count_on_grid(rows):
    """Number of weights in rows that have a grid, of those rows in which that is no chance."""
    counts = np.count_nonzero(rows, axis=1)
    rows, counts = rows[counts >= _NO_CHANCE], counts[counts >= _NO_CHANCE]
    return counts[find_grid(rows.astype("float64"), max(_LEVELS.values())) > 0].sum() if len(rows) else 0


def find_grid(rows, levels):
    """The coarsest step for each row of which all its values are multiples, by up to `levels`.

    Args:
        rows: Array of shape (rows, values).
        levels: Largest multiple.

    Returns:
        Array of steps, 0 for rows that have none.
    """
    magnitudes = np.sort(np.abs(rows), axis=1)
    largest, probes = magnitudes[:, -1], magnitudes[:, -_PROBES:]
    steps = np.where(largest > 0, 0.0, 1.0)
    for level in range(1, levels + 1):
        (left,) = np.nonzero(steps == 0)
        if not len(left):
            break
        for values in (probes, magnitudes):
            multiples = values[left] * (level / largest[left, None])
            left = left[np.all(np.abs(multiples - np.rint(multiples)) < _TOLERANCE, axis=1)]
        steps[left] = largest[left] / level
    return steps


def _store(tensor, buffer, exact):
    """Overwrites a tensor's integers and scales with those of its grid. Returns whether it has one."""
    levels = _LEVELS[tensor.type]
    scales = np.array(tensor.quantization.scale, "float32")
    axis = tensor.quantization.quantizedDimension if len(scales) > 1 else None
    integers = _unpack(np.frombuffer(buffer.data, "int8"), exact.size, tensor.type).reshape(exact.shape)
    rows, old = _by_channel(exact, axis), _by_channel(integers, axis)
    # Only of what the converter itself took for these weights.
    if len(rows) != len(scales) or np.any(np.abs(old * scales[:, None] - rows) > 1.01 * scales[:, None]):
        return False
    steps = find_grid(rows.astype("float64"), levels)
    on_grid = steps > 0
    if not on_grid.any():
        return False
    scales[on_grid] = steps[on_grid]
    integers = np.where(on_grid[:, None], np.rint(rows / scales[:, None]), old).astype("int8")
    if axis is not None:
        first = (exact.shape[axis], *np.delete(exact.shape, axis))
        integers = np.moveaxis(integers.reshape(first), 0, axis)
    buffer.data = _pack(integers.ravel(), tensor.type)
    tensor.quantization.scale = scales
    return True


def _by_channel(values, axis):
    return values.reshape(1, -1) if axis is None else np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)


def _unpack(data, size, tensor_type):
    if tensor_type == schema.TensorType.INT8:
        return data
    # Two in a byte, the lower half first; shifting to the left and back brings the sign along.
    return np.stack([(data << 4) >> 4, data >> 4], axis=-1).ravel()[:size]


def _pack(integers, tensor_type):
    if tensor_type == schema.TensorType.INT8:
        return integers.view("uint8")
    halves = np.pad(integers, (0, integers.size % 2)).view("uint8") & 15
    return halves[::2] | (halves[1::2] << 4)
