"""Kernels in TFLite's sparse encoding: each weight by itself where blocks of four would take more bytes.

TensorFlow's converter stores blocks as soon as their share of zeros is 0.9 times that of the weights, which in a kernel
of few weights it always is: most blocks then hold one weight and three zeros, and take three times the bytes. Blocks in
float16 it hands to an operation that takes them for a dense kernel.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from cvhn_tf.export.tflite.flatbuffer import constants, operation_of, parse, serialize
from cvhn_tf.export.tflite.sparse_layers import expand
from cvhn_tf.export.verification.verify import ConversionError

_DTYPES = {schema.TensorType.FLOAT32: "float32", schema.TensorType.FLOAT16: "float16"}
_INDEX_TYPES = (
    (schema.SparseIndexVector.Uint8Vector, schema.Uint8VectorT, "uint8"),
    (schema.SparseIndexVector.Uint16Vector, schema.Uint16VectorT, "uint16"),
    (schema.SparseIndexVector.Int32Vector, schema.Int32VectorT, "int32"),
)


def unblocked_where_smaller(content, weights) -> bytes:
    """The file with every kernel in blocks of 1×4 as single weights, where these take less; in float16 always.

    Args:
        content: The converter's file.
        weights: List of arrays, the weights of the model that it was made from.

    Raises:
        ConversionError: If no weights are sparse, some are lost, or LiteRT would compute the file wrongly.

    Reference: the sparse tensors of TFLite's schema, after [Chou et al., 2018](https://arxiv.org/abs/1804.10112).
    """
    model = parse(content)
    sparse = [tensor.type for tensor, _ in constants(model) if tensor.sparsity is not None]
    if not sparse:
        raise ConversionError("TensorFlow's converter found no weights to store in a sparse encoding")
    operations = [operation_of(model, operator) for graph in model.subgraphs for operator in graph.operators]
    if schema.TensorType.FLOAT16 in sparse and "TRANSPOSE_CONV" in operations:
        raise ConversionError("LiteRT computes transposed convolutions wrongly beside sparse float16 weights")
    changed = False
    for graph in model.subgraphs:
        for index, tensor in enumerate(list(graph.tensors)):
            if not _is_in_blocks(tensor):
                continue
            is_half = tensor.type == schema.TensorType.FLOAT16
            kernel = _decode(tensor, model.buffers[tensor.buffer].data)  # a buffer belongs to one tensor
            _check_is_whole(kernel, tensor.sparsity.dimMetadata[2].denseSize, weights)
            if not is_half and _bytes_of_singles(kernel) >= _bytes_of_blocks(tensor, kernel):
                continue
            _store(tensor, model.buffers[tensor.buffer], kernel)
            if is_half:
                expand(model, graph, index)
            changed = True
    return serialize(model) if changed else content


def expanded_at_start(content) -> bytes:
    """The file with all sparse weights as single ones, which an operation expands for those that read them.

    A GPU refuses that operation. Sparse weights that a fully connected layer reads by itself it takes for dense ones.
    """
    model = parse(content)
    for graph in model.subgraphs:
        expanded = {int(o.inputs[0]) for o in graph.operators if operation_of(model, o) == "DENSIFY"}
        for index, tensor in enumerate(list(graph.tensors)):
            if tensor.sparsity is None or index in expanded:
                continue
            if _is_in_blocks(tensor):
                _store(tensor, model.buffers[tensor.buffer], _decode(tensor, model.buffers[tensor.buffer].data))
            expand(model, graph, index)
    return serialize(model)


def _is_in_blocks(tensor):
    sparsity = tensor.sparsity
    return (
        sparsity is not None
        and tensor.type in _DTYPES
        and len(tensor.shape) == 2
        and list(sparsity.traversalOrder) == [0, 1, 2]
        and sparsity.blockMap is not None
        and list(sparsity.blockMap) == [1]
    )


def _check_is_whole(kernel, size, weights):
    """Refuses blocks without the weights of the last inputs, which examples that are zero there do not show."""
    lacking = kernel.shape[1] % size
    if lacking and not any(np.array_equal(_sorted(kernel), _sorted(weight.astype(kernel.dtype))) for weight in weights):
        raise ConversionError(
            f"TensorFlow's converter stores a kernel of {kernel.shape[1]:,} inputs in blocks of {size}, without the "
            f"weights of the last {lacking}"
        )


def _sorted(weight):
    return np.sort(weight[weight != 0])


def _decode(tensor, data):
    """The kernel as a dense array, an output in each row."""
    rows, columns = tensor.shape
    _, blocks, block = tensor.sparsity.dimMetadata
    size = block.denseSize
    starts, places = (np.asarray(v.values).astype("int64") for v in (blocks.arraySegments, blocks.arrayIndices))
    kernel = np.zeros((rows, -(-columns // size), size), _DTYPES[tensor.type])
    kernel[np.repeat(np.arange(rows), np.diff(starts)), places] = np.frombuffer(data, kernel.dtype).reshape(-1, size)
    return kernel.reshape(rows, -1)[:, :columns]


def _store(tensor, buffer, kernel):
    """Stores a kernel as the rows' single weights and their columns."""
    rows, columns = np.nonzero(kernel)
    starts = np.searchsorted(rows, np.arange(len(kernel) + 1))
    buffer.data = kernel[rows, columns].view("uint8")
    tensor.sparsity.traversalOrder, tensor.sparsity.blockMap = [0, 1], None
    tensor.sparsity.dimMetadata = tensor.sparsity.dimMetadata[:2]
    weights = tensor.sparsity.dimMetadata[1]
    weights.arraySegmentsType, weights.arraySegments = _vector(starts)
    weights.arrayIndicesType, weights.arrayIndices = _vector(columns)


def _vector(values):
    """The type and the object of the narrowest vector that holds some integers from 0 on."""
    number, make, dtype = _index_type(values.max(initial=0))
    vector = make()
    vector.values = values.astype(dtype)
    return number, vector


def _index_type(largest):
    return next(index_type for index_type in _INDEX_TYPES if largest <= np.iinfo(index_type[2]).max)


def _bytes_of_singles(kernel):
    width = np.dtype(_index_type(kernel.shape[1] - 1)[2]).itemsize
    return np.count_nonzero(kernel) * (kernel.itemsize + width)


def _bytes_of_blocks(tensor, kernel):
    _, blocks, block = tensor.sparsity.dimMetadata
    places = np.asarray(blocks.arrayIndices.values)
    return places.size * (block.denseSize * kernel.itemsize + places.itemsize)
