"""A variational graph of which a step computes only what its draw of the structure reads.

Whether a call of a layer is read follows backward from the outputs, as in `usage.py`, but for one draw. Calls that
every structure reads are made as ever; each other one stands in a `tf.cond`, with zeros where it is not read.
"""

import functools

import keras
import tensorflow as tf
from keras import tree

from cvhn_tf.layers.substitution import call_under
from cvhn_tf.layers.variational import Variational
from cvhn_tf.structure.usage import is_graph, nodes_of
from cvhn_tf.structure.weighted import WeightedPaths


def run_one_path(graph, inputs, training):
    """Outputs and KLs of a variational graph, as by calling it.

    Args:
        graph: Functional model with choices whose last three inputs are complexities, seed and structure.
        inputs: Its inputs, the last a structure of zeros and ones.
        training: Whether to draw noise.

    Returns:
        What the graph gives, and a list of the losses that layers within have added.
    """
    complexities, _, structure = inputs[-3:]
    reads = _Reads(graph, [True] * len(graph.outputs), tf.reduce_any(structure > 0.5, axis=0))
    losses = []
    outputs = tree.flatten(_compute(graph, inputs, reads, complexities, training, losses))
    return tree.pack_sequence_as(graph._outputs_struct, outputs), losses


class _Reads:
    """Which calls within a graph are read.

    Args:
        graph: Functional model.
        of_outputs: For each of its outputs whether it is read: True, False or a tensor, as all that follows. KLs are
            known without a call, and read nothing.
        is_chosen: Tensor of shape (paths of all choices,).

    Attributes:
        of_nodes: By the ids of the graph's nodes.
        of_inputs: For each input of the graph.
        nested: `_Reads` of the nodes that call graphs, by the ids of the nodes.
    """

    def __init__(self, graph, of_outputs, is_chosen):
        self.of_nodes, self.nested = {}, {}
        outputs, _ = graph._outputs_struct
        read = dict.fromkeys(map(id, graph.outputs), False)
        for tensor, flag in zip(tree.flatten(outputs), of_outputs, strict=False):
            read[id(tensor)] = _either(read[id(tensor)], flag)
        for node in reversed(nodes_of(graph)):
            of_outputs = [read.get(id(tensor), False) for tensor in node.output_tensors]
            self.of_nodes[id(node)] = flag = _either(*of_outputs)
            of_inputs = [flag] * len(node.input_tensors)
            if isinstance(node.operation, WeightedPaths):
                first = node.operation.first
                of_inputs = [_both(flag, is_chosen[first + i]) for i in range(len(of_inputs) - 1)] + [flag]
            elif _is_followed(node):
                self.nested[id(node)] = inner = _Reads(node.operation, of_outputs, is_chosen)
                of_inputs = inner.of_inputs
            for tensor, of_input in zip(node.input_tensors, of_inputs, strict=True):
                read[id(tensor)] = _either(read.get(id(tensor), False), of_input)
        self.of_inputs = [read.get(id(tensor), False) for tensor in graph.inputs]


def _compute(graph, inputs, reads, complexities, training, losses):
    """The outputs of a graph as a flat list."""
    values = dict(zip(map(id, graph.inputs), inputs, strict=True))

    def value_of(part):
        return values[id(part)] if isinstance(part, keras.KerasTensor) else part

    for node in nodes_of(graph):
        layer = node.operation
        if id(node) in reads.nested:
            given = [values[id(tensor)] for tensor in node.input_tensors]
            outputs = _compute(layer, given, reads.nested[id(node)], complexities, training, losses)
        else:
            args, kwargs = tree.map_structure(value_of, (node.arguments.args, node.arguments.kwargs))
            if "training" in getattr(layer, "_call_context_args", {}):
                kwargs = {**kwargs, "training": training}  # as Keras has it when a functional model is called
            outputs = _call(node, args, kwargs, reads.of_nodes[id(node)], complexities, losses)
        values.update(zip(map(id, node.output_tensors), tree.flatten(outputs), strict=True))
    return [values[id(tensor)] for tensor in graph.outputs]


def _call(node, args, kwargs, is_read, complexities, losses):
    """Calls a layer; in a `tf.cond` where it is not sure to be read."""
    layer, made = node.operation, node.output_tensors
    flat = [tensor for tensor in tree.flatten((args, kwargs)) if tf.is_tensor(tensor)]
    costs_little = isinstance(layer, WeightedPaths) or not isinstance(layer, keras.layers.Layer)
    # A mask would be lost on the way out, and so would the KLs of a graph that is not followed.
    is_masked = any(getattr(tensor, "_keras_mask", None) is not None for tensor in (*flat, *made))
    if not tf.is_tensor(is_read) or costs_little or is_masked or is_graph(layer):
        return layer(*args, **kwargs)
    variational = isinstance(layer, Variational)
    outputs = made[:-1] if variational else made
    examples = tf.shape(flat[0])[:1]

    def called():
        *values, loss = _with_losses(layer, args, kwargs)
        return [*values[: len(outputs)], loss]

    def skipped():
        shapes = [tf.concat([examples, tensor.shape[1:]], 0) for tensor in outputs]
        zeros = [tf.zeros(shape, tensor.dtype) for shape, tensor in zip(shapes, outputs, strict=True)]
        return [*zeros, tf.zeros(())]

    *values, loss = tf.cond(is_read, called, skipped)
    losses.append(loss)
    return [*values, layer.kl(layer.posteriors(complexities), complexities)] if variational else values


def _with_losses(layer, args, kwargs):
    """Outputs of a layer, and the sum of the losses that it has added; what it assigns to its variables they keep."""
    outputs, losses = call_under(layer, (), (), *args, **kwargs)
    return [*tree.flatten(outputs), tf.add_n([tf.zeros(()), *(tf.cast(loss, tf.float32) for loss in losses)])]


def _is_followed(node):
    """Whether it calls a graph, by its inputs alone and not by masks too."""
    return is_graph(node.operation) and len(node.input_tensors) == len(node.operation.inputs)


def _either(*flags):
    if any(flag is True for flag in flags):
        return True
    flags = [flag for flag in flags if flag is not False]
    return functools.reduce(tf.logical_or, flags) if flags else False


def _both(flag, other):
    if flag is False:
        return False
    return other if flag is True else tf.logical_and(flag, other)
