"""From a graph of channels back to a Keras model."""

import types

import keras

from cvhn_tf.architecture import finalize_normalization, freeze_alike


def as_functional(model):
    """The functional model behind a functional or Sequential one, or None if `model` is neither, or calls more."""
    if not isinstance(model, keras.Sequential | keras.Function) or not getattr(model, "built", True):
        return None
    outputs = model.outputs[0] if isinstance(model, keras.Sequential) else model._outputs_struct
    inputs = model.inputs[0] if isinstance(model, keras.Sequential) else model._inputs_struct
    functional = keras.Model(inputs, outputs, name=model.name)
    return functional if type(model).call in (keras.Sequential.call, type(functional).call) else None


def rebuild(model, graph, before, nested=types.MappingProxyType({})):
    """A new functional model with the layers that the graph holds now.

    Args:
        model: The functional model that the graph was made of.
        graph: `ChannelGraph`.
        before: Dict from the id of a layer to one that is to be called before it, on its input.
        nested: Dict from the id of a model within the model to the one to put in its place, by default a copy.

    Returns:
        Functional Keras model.
    """
    stages = {id(node.stage.operation): node.stage for node in graph.nodes}
    made, called_before = {}, {}

    def make(operation):
        if id(operation) not in made:
            made[id(operation)] = _make(operation, stages[id(operation)], nested)
            if id(operation) in before:
                called_before[id(made[id(operation)])] = before[id(operation)]
        return made[id(operation)]

    def call(operation, *args, **kwargs):
        if id(operation) in called_before:
            args = (called_before[id(operation)](args[0]), *args[1:])
        return operation(*args, **kwargs)

    compacted = keras.models.clone_model(model, clone_function=make, call_function=call)
    for key, layer in made.items():
        if stages[key].weights:
            layer.set_weights(stages[key].weights)
            if len(layer.variables) == len(stages[key].operation.variables):  # no bias has come or gone
                freeze_alike(layer, stages[key].operation)
    finalize_normalization(compacted)
    return compacted


def _make(operation, stage, nested):
    if not isinstance(operation, keras.layers.Layer):
        return operation
    if as_functional(operation) is not None:
        model = nested.get(id(operation), operation)
        if model is operation:
            model = keras.models.clone_model(operation)
            model.set_weights(operation.get_weights())
            freeze_alike(model, operation)
            finalize_normalization(model)
        stage.weights = model.get_weights()
        return model
    return type(operation).from_config(stage.config or operation.get_config())
