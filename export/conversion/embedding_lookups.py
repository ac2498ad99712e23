"""Tables of Embedding layers as ai-edge-quantizer knows them: read by EMBEDDING_LOOKUP, and not by GATHER."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from cvhn_tf.export.tflite.flatbuffer import (
    add_operation,
    add_tensor,
    make_reshape,
    operation_of,
    parse,
    position_of,
    serialize,
    sizes_of,
)


def use_embedding_lookups(content: bytes, even_rows: bool = False) -> bytes:
    """The file with rows of float32 tables looked up, where at most one size of the places is free.

    A lookup takes a list of places, so that a reshape stands before it and another one behind.

    Args:
        content: The file's bytes.
        even_rows: Whether to leave tables of rows of an odd number of numbers: LiteRT's lookup gives other numbers
            where it expands rows of 4 bits itself.
    """
    model = parse(content)
    changed = False
    for graph in model.subgraphs:
        for operator in list(graph.operators):
            if _looks_up_rows(model, graph, operator) and not (even_rows and _is_odd(graph, operator)):
                _replace(model, graph, operator)
                changed = True
    return serialize(model) if changed else content


def _looks_up_rows(model, graph, operator):
    if operation_of(model, operator) != "GATHER":
        return False
    table, places = (graph.tensors[index] for index in operator.inputs[:2])
    options = operator.builtinOptions
    return (
        model.buffers[table.buffer].data is not None
        and table.type == schema.TensorType.FLOAT32
        and len(table.shape) == 2
        and table.sparsity is None
        and places.type == schema.TensorType.INT32
        and options.axis == options.batchDims == 0
        and sizes_of(places).count(-1) <= 1
    )


def _is_odd(graph, operator):
    return graph.tensors[operator.inputs[0]].shape[1] % 2 == 1


def _replace(model, graph, operator):
    table, places = operator.inputs[:2]
    (rows,) = operator.outputs
    width = int(graph.tensors[table].shape[1])
    name = graph.tensors[rows].name
    sizes = sizes_of(graph.tensors[places])
    count = int(np.prod(sizes)) if all(size >= 0 for size in sizes) else -1
    now = int(np.prod(graph.tensors[places].shape)) if sizes else 1
    listed = add_tensor(graph, name + b"_places", schema.TensorType.INT32, [now], [count])
    found = add_tensor(graph, name + b"_rows", schema.TensorType.FLOAT32, [now, width], [count, width])
    reshapes = [add_operation(model, schema.BuiltinOperator.RESHAPE, [], [result]) for result in (listed, rows)]
    make_reshape(model, graph, reshapes[0], places, [count])
    make_reshape(model, graph, reshapes[1], found, [*sizes, width])
    lookup = add_operation(model, schema.BuiltinOperator.EMBEDDING_LOOKUP, [listed, table], [found])
    position = position_of(graph, operator)
    graph.operators[position : position + 1] = [reshapes[0], lookup, reshapes[1]]
