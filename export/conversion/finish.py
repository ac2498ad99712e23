"""The last changes to a file that a converter made: shapes, names and versions as its clients need them."""

import math

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from cvhn_tf.export.clients.checks import instead
from cvhn_tf.export.clients.table import CLIENTS
from cvhn_tf.export.conversion.sparse_parts import by_channels_or_not
from cvhn_tf.export.conversion.static_shapes import drop_unread, make_shapes_static, shapes_for
from cvhn_tf.export.tflite.axis_by_axis import concatenate_tiles, reverse_each_axis
from cvhn_tf.export.tflite.common_operations import use_common_operations
from cvhn_tf.export.tflite.convolutions import separate_activations, stride_in_pools
from cvhn_tf.export.tflite.expanded_weights import (
    add_biases,
    expand_first,
    expand_transposed,
    has_expanded_weights,
    look_up_integers,
)
from cvhn_tf.export.tflite.flatbuffer import (
    MOST_AXES,
    add_constant,
    add_operation,
    add_tensor,
    keep_keras_names,
    operation_of,
    parse,
    position_of,
    raise_version,
    share_buffers,
    sizes_of,
    type_name,
)
from cvhn_tf.export.tflite.slices import slice_in_place
from cvhn_tf.export.tflite.sparse_layers import leave_zeros_out
from cvhn_tf.export.tflite.tensor_names import shorten_names
from cvhn_tf.export.tflite.versions import least_runtime, make_versions_true
from cvhn_tf.export.tflite.zero_states import fold_zeros
from cvhn_tf.export.verification.verify import ConversionError, check_scalable

# TFLite 2.14 refuses integer kernels of floats in transposed convolutions, and reverses one axis of several.
_NEWER = (2, 17)
_BY_CHANNELS = "LiteRT.js runs the file with its sparse weights in WebAssembly alone, not on WebGPU"


def finished(content, keras_model, client):
    """A file with shapes as constants, the names of the Keras model and true versions of its operations, as a `ModelT`.

    Args:
        content: The converter's file.
        keras_model: What it was made from.
        client: `Client`. If it takes no free batch, the file is one for a single example. The interpreter can still
            resize it.
    """
    model = parse(content)
    check_scalable(model)
    make_shapes_static(model)
    drop_unread(model)
    if use_common_operations(model):
        drop_unread(model)
    separate_activations(model)
    if slice_in_place(model, client.sliced):
        drop_unread(model)
    if "TILE" in client.refuses:
        concatenate_tiles(model)
        drop_unread(model)
    if not client.strides:
        stride_in_pools(model)
    if client.sparse_cost is not None and leave_zeros_out(model, client.sparse_cost):
        drop_unread(model)
    if client.runtime < _NEWER:
        expand_transposed(model)
        reverse_each_axis(model)
    if "web" in client.names:
        add_biases(model)
        look_up_integers(model)
        drop_unread(model)
    expand_first(model)
    model = by_channels_or_not(model, client)
    keep_keras_names(model, keras_model)
    make_versions_true(model)
    if not client.free_batch:
        _of_one_example(model)
    share_buffers(model)
    shorten_names(model)
    return model


def check_client_has(client, model, quantization) -> tuple[str, ...]:
    """Sentences on what some of a client lack of the operations of a `ModelT`, though it runs there.

    Args:
        client: `Client`.
        model: `ModelT`.
        quantization: Its encoding, as of `to_tflite`.

    Raises:
        ConversionError: If the client refuses the file, or computes it wrongly.
    """
    used = [_operation(model, graph, operator) for graph in model.subgraphs for operator in graph.operators]
    kinds = {name for pair in used for name in pair}
    release = least_runtime(model)
    graph = model.subgraphs[0]
    is_open = any(-1 in sizes_of(graph.tensors[place])[1:] for place in graph.inputs)
    others = [
        other
        for other in CLIENTS.values()
        if quantization in other.encodings
        and release <= other.runtime
        and kinds.isdisjoint(other.refuses)
        and (other.free_sizes or not is_open)
    ]
    for operation in (name for pair in used for name in pair):
        if operation in client.refuses:
            raise ConversionError(
                f"The file is not for client={client.argument}: {client.refuses[operation]}. {instead(others)}".rstrip()
            )
    if release > client.runtime:
        needed, oldest = (".".join(map(str, version)) for version in (release, client.runtime))
        raise ConversionError(
            f"The file needs TFLite {needed} or newer, and client={client.argument} stands for {oldest} too. "
            f"{instead(others)}".rstrip()
        )
    lacks = client.lacks if client.sparse is None else {**client.lacks, "DENSIFY": _BY_CHANNELS}
    if any(len(sizes_of(tensor)) > MOST_AXES for graph in model.subgraphs for tensor in graph.tensors):
        kinds.add("FIVE_AXES")
    return tuple(dict.fromkeys(where for operation, where in lacks.items() if operation in kinds))


def _operation(model, graph, operator):
    """Name of an operation, that of look-ups in tables if it is one, and the name with the type of the output."""
    operation = operation_of(model, operator)
    if operation == "GATHER" and _known(model, graph, int(operator.inputs[0])) is not None:
        operation = "EMBEDDING_LOOKUP"
    if operation == "CONV_2D" and sizes_of(graph.tensors[operator.inputs[0]])[3] != _depth(graph, operator):
        return operation, "CONV_2D/GROUPS"
    if operation == "DEPTHWISE_CONV_2D" and has_expanded_weights(model, graph, operator):
        multiplies = operator.builtinOptions.depthMultiplier > 1
        return operation, "DEPTHWISE_CONV_2D/EXPANDED" if multiplies else operation
    if operation == "EMBEDDING_LOOKUP" and has_expanded_weights(model, graph, operator):
        return operation, "EMBEDDING_LOOKUP/EXPANDED"
    if operation == "STRIDED_SLICE" and operator.builtinOptions.shrinkAxisMask & 1 and _has_axes(graph, operator):
        return operation, "STRIDED_SLICE/STEPS"
    if operation == "CONV_2D" and _reads_four_bits_behind(graph, operator):
        return operation, "CONV_2D/INT4_BEHIND"
    if operation != "CONCATENATION" and len(operator.inputs) == 2 and operator.inputs[0] == operator.inputs[1]:
        return operation, "SAME_INPUTS"
    return operation, f"{operation}/{type_name(graph.tensors[operator.outputs[0]])}"


def _has_axes(graph, operator):
    """Whether an operator reads more than a list, as one of sizes is."""
    return len(sizes_of(graph.tensors[operator.inputs[0]])) > 1


def _reads_four_bits_behind(graph, operator):
    """Whether a convolution multiplies by weights of 4 bits, and not an input of the file."""
    return type_name(graph.tensors[operator.inputs[1]]) == "INT4" and int(operator.inputs[0]) not in map(
        int, graph.inputs
    )


def _depth(graph, operator):
    """Number of channels that a filter of a convolution reads."""
    return sizes_of(graph.tensors[operator.inputs[1]])[3]


def _of_one_example(model):
    """The file with all sizes as they are for one example: what the converter wrote for free ones, 1, may be wrong."""
    (graph, *others) = model.subgraphs
    # Those behind computed sizes are known in a run only, which may take no zeros.
    shapes = shapes_for(model, run=True) or shapes_for(model)
    if shapes is None:
        return
    for tensor, shape in zip(graph.tensors, shapes, strict=True):
        if tensor.shapeSignature is not None:
            if len(shape) == len(tensor.shape) and all(shape):
                tensor.shape = shape
            tensor.shapeSignature = None
    for other in others:
        for tensor in other.tensors:
            tensor.shapeSignature = None
    _write_sizes(model, graph)
    _fill(model, graph)
    if fold_zeros(model):
        drop_unread(model)


def _write_sizes(model, graph):
    """Constants in the place of the computed sizes of transposed convolutions, which GPUs refuse.

    For more examples than one XNNPACK finds the size of their axis all the same. Where the convolution cuts its result
    (padding "same" with strides), which GPUs do at other places, a slice does.
    """
    for operator in list(graph.operators):
        made = graph.tensors[operator.outputs[0]]
        if operation_of(model, operator) != "TRANSPOSE_CONV" or made.shape is None:
            continue
        _, *sizes, _ = sizes_of(graph.tensors[operator.inputs[2]])
        kernel, options = sizes_of(graph.tensors[operator.inputs[1]])[1:3], operator.builtinOptions
        strides = (options.strideH, options.strideW)
        whole = [(size - 1) * stride + width for size, stride, width in zip(sizes, strides, kernel, strict=True)]
        given = [int(size) for size in made.shape]
        starts = [max(size - cut, 0) // 2 for size, cut in zip(whole, given[1:3], strict=True)]
        is_cut = options.padding == schema.Padding.SAME and whole != given[1:3]
        if is_cut and all(size >= cut for size, cut in zip(whole, given[1:3], strict=True)):
            options.padding = schema.Padding.VALID
            _cut(model, graph, operator, [given[0], *whole, given[3]], starts)
            given[1:3] = whole
        operator.inputs[0] = add_constant(model, graph, b"", np.array(given, "int32"))
    drop_unread(model)


def _cut(model, graph, operator, shape, starts):
    """Lets an operator give a picture of another shape, of which a slice cuts what it gave."""
    (output,) = operator.outputs
    whole = add_tensor(graph, b"", graph.tensors[output].type, shape)
    graph.tensors[whole].quantization = graph.tensors[output].quantization
    operator.outputs = [whole]
    ends = [start + int(size) for start, size in zip(starts, graph.tensors[output].shape[1:3], strict=True)]
    bounds = [[0, *starts, 0], [0, *ends, 0], [1, 1, 1, 1]]
    places = [add_constant(model, graph, b"", np.array(bound, "int32")) for bound in bounds]
    cut = add_operation(model, schema.BuiltinOperator.STRIDED_SLICE, [whole, *places], [output])
    cut.builtinOptionsType = schema.BuiltinOptions.StridedSliceOptions
    cut.builtinOptions = schema.StridedSliceOptionsT(beginMask=0b1001, endMask=0b1001)
    raise_version(model, cut, 2)  # which has integers too
    place = position_of(graph, operator)
    graph.operators.insert(place + 1, cut)


def _known(model, graph, place):
    """Bytes of a tensor that is a constant, or one that a file holds in float16; None if it is computed."""
    data = model.buffers[graph.tensors[place].buffer].data
    for operator in graph.operators:
        if place in map(int, operator.outputs) and operation_of(model, operator) == "DEQUANTIZE":
            source = graph.tensors[operator.inputs[0]]
            stored = model.buffers[source.buffer].data
            if stored is not None and type_name(source) == "FLOAT16":
                data = np.frombuffer(bytes(stored), "float16").astype("float32").tobytes()
    return data


def _fill(model, graph):
    """Constants in the place of FILL, as of the first states of recurrent layers. More examples share them."""
    filled = []
    for operator in graph.operators:
        if operation_of(model, operator) == "FILL":
            value = _known(model, graph, int(operator.inputs[1]))
            made = graph.tensors[operator.outputs[0]]
            if value is not None and made.shape is not None:
                model.buffers.append(schema.BufferT(np.tile(np.frombuffer(value, "uint8"), math.prod(made.shape))))
                made.buffer = len(model.buffers) - 1
                filled.append(operator)
    if filled:
        graph.operators = [operator for operator in graph.operators if operator not in filled]
        drop_unread(model)
