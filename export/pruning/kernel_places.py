"""Where the kernels of a network lie: in which layers, and before maps or outputs."""

from cvhn_tf.export.networks.rebuild import as_functional
from cvhn_tf.tensors.paths import paths_by_id


def owners(network):
    """Dict from the path of each weight to the layer that has it, and the weight."""
    path_of = paths_by_id(network)
    found = {}
    for layer in network._flatten_layers():  # a layer comes behind the model or wrapper that it is in
        found.update((path_of[id(weight)], (layer, weight)) for weight in layer.weights)
    return found


def output_layers(network):
    """The layers with kernels whose units, with none of these between, are the outputs of a network."""
    return _layers_behind(as_functional(network))[0]


def layers_on_maps(model, leads_to_maps=False):
    """The layers of a functional model behind which, or by which, a map of more than one position is made."""
    found, read = [], {id(tensor) for tensor in model.outputs} if leads_to_maps else set()
    for depth in sorted(model._nodes_by_depth):  # from the outputs on
        for node in model._nodes_by_depth[depth]:
            leads = any(_is_map(tensor.shape) or id(tensor) in read for tensor in node.outputs)
            nested = as_functional(node.operation)
            if nested is not None:
                found += layers_on_maps(nested, leads)
                leads |= any(_is_map(tensor.shape) for tensor in nested.inputs)
            if leads:
                found.append(node.operation)
                read.update(id(tensor) for tensor in node.input_tensors)
    return found


def _is_map(shape):
    return len(shape) == 4 and shape[1:3] != (1, 1)


def _layers_behind(model):
    """The last layers with kernels before the outputs of a functional model, and whether an input comes by them."""
    makers = {id(tensor): node for nodes in model._nodes_by_depth.values() for node in nodes for tensor in node.outputs}
    found, tensors, is_open = [], list(model.outputs), False
    while tensors:
        node = makers.pop(id(tensors.pop()), None)
        if node is None:
            continue
        if node.is_input:
            is_open = True
            continue
        nested = as_functional(node.operation)
        if nested is not None:
            layers, goes_through = _layers_behind(nested)
            found += layers
            if not goes_through:
                continue
        elif any(len(weight.shape) > 1 for weight in getattr(node.operation, "weights", ())):
            found += node.operation._flatten_layers()
            continue
        tensors += node.input_tensors
    return found, is_open
