"""Zeros of fully connected layers: left out where few enough weights are kept, expanded at the start elsewhere.

A fully connected layer that reads them by itself takes time for each weight, or block of four, that is kept. Behind
DENSIFY, which makes a dense kernel of them once, it takes the time of all weights, as in a dense file. TensorFlow's
converter puts DENSIFY before single weights, and none before blocks, however many are kept.
"""

import copy
import fractions
import math

from ai_edge_litert import schema_py_generated as schema

from cvhn_tf.export.tflite.flatbuffer import add_operation, operation_of, sizes_of

_FULLY_CONNECTED = schema.BuiltinOperator.FULLY_CONNECTED
# Of a fully connected layer that reads sparse weights: XNNPACK leaves those of this version to LiteRT's own kernel.
_SPARSE_VERSION = 8
# Of one without a place for a bias, of one that keeps its dimensions, and of others.
_TWO_INPUTS_VERSION, _KEPT_DIMENSIONS_VERSION, _PLAIN_VERSION = 6, 5, 1

# Where the units are no multiple of this, or a kernel does not fit a cache, a dense kernel takes longer; with several
# rows for one example, as of a sequence, less. By `benchmarks/speed/sparse_dense.py`.
_UNITS, _CACHED_WEIGHTS = 32, 2**19
_UNEVEN, _NOT_CACHED, _SEVERAL_ROWS = 1.6, 1.25, 0.65
# Of fewer products, what reading them expanded saves, half a microsecond, is not worth the bytes of DENSIFY.
_LEAST_WORK = 2**13


def expand(model, graph, index) -> None:
    """Lets the operations that read a sparse tensor read a dense one, which an operation at the start makes of it.

    Args:
        model: `ModelT`.
        graph: Its `SubGraphT`.
        index: Place of the tensor.
    """
    dense = copy.copy(graph.tensors[index])
    dense.name, dense.buffer, dense.sparsity = dense.name + b"_dense", 0, None
    graph.tensors.append(dense)
    for operator in graph.operators:
        operator.inputs = [len(graph.tensors) - 1 if i == index else i for i in operator.inputs]
    operator = add_operation(model, schema.BuiltinOperator.DENSIFY, [index], [len(graph.tensors) - 1])
    operator.builtinOptionsType, operator.builtinOptions = (
        schema.BuiltinOptions.DensifyOptions,
        schema.DensifyOptionsT(),
    )
    graph.operators.insert(0, operator)


def leave_zeros_out(model, sparse_cost) -> bool:
    """Has the fully connected layers of a `ModelT` read their sparse float32 weights where that takes less time.

    All others read them expanded, but for small ones that the converter has read them so.

    Args:
        model: `ModelT`.
        sparse_cost: As of `Client`; the same for a weight that is kept and for a block. 0 stands for all layers that
            can read sparse weights.

    Returns:
        Whether tensors may be left that nothing reads.
    """
    changed = False
    for graph in model.subgraphs:
        for index in [i for i, tensor in enumerate(graph.tensors) if _is_readable(tensor)]:
            expanding = [operator for operator in _readers(graph, index) if operation_of(model, operator) == "DENSIFY"]
            made = [int(operator.outputs[0]) for operator in expanding]
            layers = [operator for place in (index, *made) for operator in _readers(graph, place)]
            layers = [operator for operator in layers if operator not in expanding]
            if not all(_reads_weights(model, graph, operator, (index, *made)) for operator in layers):
                continue
            takes_less = all(
                _takes_less(model, graph, operator, graph.tensors[index], sparse_cost) for operator in layers
            )
            if takes_less and expanding:
                graph.operators = [operator for operator in graph.operators if operator not in expanding]
                for operator in layers:
                    operator.inputs = [index if int(i) in made else int(i) for i in operator.inputs]
            elif (
                not takes_less and not expanding and any(_work(model, graph, layer) >= _LEAST_WORK for layer in layers)
            ):
                expand(model, graph, index)
            else:
                continue
            changed = True
        for operator in graph.operators:
            if operation_of(model, operator) == "DENSIFY":
                graph.tensors[operator.outputs[0]].name = b""  # which nothing asks for, and takes bytes
    _part_versions(model)
    return changed


def _is_readable(tensor):
    """Whether the kernel of a fully connected layer reads the tensor: rows of single weights, or of blocks of four."""
    sparsity = tensor.sparsity
    if sparsity is None or tensor.type != schema.TensorType.FLOAT32 or len(tensor.shape) != 2:
        return False
    blocks = () if sparsity.blockMap is None else tuple(sparsity.blockMap)
    kinds = [dimension.format for dimension in sparsity.dimMetadata]
    dense, compressed = schema.DimensionType.DENSE, schema.DimensionType.SPARSE_CSR
    if not blocks:
        return list(sparsity.traversalOrder) == [0, 1] and kinds == [dense, compressed]
    is_ordered = blocks == (1,) and list(sparsity.traversalOrder) == [0, 1, 2]
    return is_ordered and kinds == [dense, compressed, dense] and sparsity.dimMetadata[2].denseSize == 4


def _readers(graph, place):
    return [operator for operator in graph.operators if place in map(int, operator.inputs)]


def _reads_weights(model, graph, operator, places):
    """Whether an operator is a fully connected layer of floats that reads one of some places as its weights alone."""
    if operation_of(model, operator) != "FULLY_CONNECTED" or int(operator.inputs[1]) not in places:
        return False
    others = [int(i) for i in (*operator.inputs[:1], *operator.inputs[2:], *graph.outputs)]
    source = graph.tensors[operator.inputs[0]]
    return source.type == schema.TensorType.FLOAT32 and not set(others).intersection(places)


def _takes_less(model, graph, operator, weights, sparse_cost):
    """Whether a fully connected layer takes less time for its sparse weights than for the dense kernel."""
    units, inputs = map(int, weights.shape)
    kept = len(weights.sparsity.dimMetadata[1].arrayIndices.values)
    dense = units * inputs
    if _numbers(model, graph, int(operator.inputs[0])) > inputs:
        dense *= _SEVERAL_ROWS
    elif units % _UNITS:
        dense *= _UNEVEN
    elif dense > _CACHED_WEIGHTS:
        dense *= _NOT_CACHED
    return sparse_cost * kept < dense


def _work(model, graph, operator):
    """Number of products of a fully connected layer for one example, those by zeros included."""
    return int(graph.tensors[operator.inputs[1]].shape[0]) * _numbers(model, graph, int(operator.inputs[0]))


def _numbers(model, graph, place):
    """How many numbers a tensor has for one example, from where that can be seen: rows may be those of all examples."""
    of_source = fractions.Fraction(1)
    while (maker := _maker(graph, place)) is not None:
        operation, sizes = operation_of(model, maker), sizes_of(graph.tensors[place])
        alike = [int(i) for i in maker.inputs if i >= 0 and sizes_of(graph.tensors[i]) == sizes]
        if operation == "FULLY_CONNECTED":
            of_source *= fractions.Fraction(*map(int, graph.tensors[maker.inputs[1]].shape))
        if operation in ("FULLY_CONNECTED", "RESHAPE"):
            place = int(maker.inputs[0])
        elif alike:
            place = alike[0]
        else:
            break
    sizes = sizes_of(graph.tensors[place])
    return math.inf if -1 in sizes[1:] else of_source * abs(math.prod(sizes))


def _maker(graph, place):
    return next((operator for operator in graph.operators if place in map(int, operator.outputs)), None)


def _part_versions(model):
    """Gives layers with sparse weights a version of their own: of the converter all of a file have that of sparse ones.

    XNNPACK then computes those with dense weights, as it does in dense files.
    """
    for graph in model.subgraphs:
        for operator in graph.operators:
            if operation_of(model, operator) != "FULLY_CONNECTED":
                continue
            weights = graph.tensors[operator.inputs[1]]
            version = model.operatorCodes[operator.opcodeIndex].version
            if weights.sparsity is not None:
                operator.opcodeIndex = _code(model, _SPARSE_VERSION)
            elif version == _SPARSE_VERSION and weights.type == schema.TensorType.FLOAT32:
                kept = _KEPT_DIMENSIONS_VERSION if operator.builtinOptions.keepNumDims else _PLAIN_VERSION
                operator.opcodeIndex = _code(model, _TWO_INPUTS_VERSION if len(operator.inputs) == 2 else kept)


def _code(model, version):
    """Place of FULLY_CONNECTED in some version in the file's list of operations, to which it is added if it lacks."""
    for place, code in enumerate(model.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == _FULLY_CONNECTED and code.version == version:
            return place
    model.operatorCodes.append(schema.OperatorCodeT(_FULLY_CONNECTED, None, version, _FULLY_CONNECTED))
    return len(model.operatorCodes) - 1
