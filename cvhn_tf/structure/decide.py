"""The plain network of one structure."""

import math

import keras
from keras import tree

from cvhn_tf.structure.choices import is_choice
from cvhn_tf.structure.usage import is_graph, nodes_of


def decide(network: keras.Model, paths: dict[str, tuple[int, ...]]) -> keras.Model:
    """A network of the same layers without choices, and without what only paths that were not chosen need.

    The network that was given is used up: its layers belong to the new one.

    Args:
        network: Built functional or Sequential model, in which or in whose nested models there are choices.
        paths: Maps the name of each choice to the indices of the paths that are there.
    """
    nodes = nodes_of(network)
    read = {id(tensor) for tensor in network.outputs}
    for node in reversed(nodes):
        if any(id(tensor) in read for tensor in node.output_tensors):
            read.update(id(tensor) for tensor in _read_by(node, paths))
    tensors = {id(tensor): tensor for tensor in network.inputs}
    nested: dict[int, keras.Model] = {}
    names: dict[str, int] = {}

    def made(value):
        return tensors[id(value)] if isinstance(value, keras.KerasTensor) else value

    for node in nodes:
        if not any(id(tensor) in read for tensor in node.output_tensors):
            continue
        layer = node.operation
        if is_choice(layer):
            names[layer.name] = count = names.get(layer.name, 0) + 1
            name = f"{layer.name}_sum" + (f"_{count}" if count > 1 else "")  # of each call
            outputs = _sum([made(tensor) for tensor in _read_by(node, paths)], node, name, network.inputs[0])
            if any(node.output_tensors[0] is tensor for tensor in network.outputs):
                outputs = keras.layers.Identity(name=layer.name)(outputs)  # outputs are known by this name
        else:
            if is_graph(layer) and any(map(is_choice, layer._flatten_layers())):
                if id(layer) not in nested:
                    nested[id(layer)] = decide(layer, paths)
                layer = nested[id(layer)]
            args, kwargs = tree.map_structure(made, (node.arguments.args, node.arguments.kwargs))
            outputs = layer(*args, **kwargs)
        tensors.update(zip(map(id, node.output_tensors), tree.flatten(outputs), strict=True))
    if isinstance(network, keras.Sequential):
        return keras.Model(network.inputs, made(network.outputs[0]), name=network.name)
    outputs = tree.map_structure(made, network._outputs_struct)
    return keras.Model(network._inputs_struct, outputs, name=network.name)


def _read_by(node, paths):
    if not is_choice(node.operation):
        return node.input_tensors
    return [node.input_tensors[path] for path in paths[node.operation.name]]


def _sum(tensors, node, name, like):
    """What is left of a choice: its one path, a sum of several, or zeros where there is none."""
    if len(tensors) == 1:
        return tensors[0]
    policy = node.operation.dtype_policy
    if tensors:
        return keras.layers.Add(name=name, dtype=policy)(tensors)
    # One zero for each example, by layers of Keras, so that the network loads where this package is not.
    shape = node.output_tensors[0].shape[1:]
    x = keras.layers.Rescaling(0.0, name=f"{name}_of_none", dtype=policy)(like)
    x = keras.layers.Reshape((-1, 1), name=f"{name}_column", dtype=policy)(x)
    x = keras.layers.GlobalAveragePooling1D(name=f"{name}_zero", dtype=policy)(x)
    x = keras.layers.RepeatVector(math.prod(shape), name=f"{name}_zeros", dtype=policy)(x)
    return keras.layers.Reshape(shape, name=f"{name}_shape", dtype=policy)(x)
