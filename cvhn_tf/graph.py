"""From a target network to its variational graph: the same architecture with λ as an explicit input."""

import dataclasses
import inspect

import keras
from keras import tree

from cvhn_tf.architecture import finalize_normalization, free_name, make_again, with_frozen
from cvhn_tf.checks.finite_weights import check_finite_weights
from cvhn_tf.layers.batch_normalization import BatchNormalization
from cvhn_tf.layers.variational import Variational
from cvhn_tf.layers.wrappable import check_parts
from cvhn_tf.parameterizations import Constant
from cvhn_tf.structure.choices import is_choice
from cvhn_tf.structure.usage import Usage, is_graph
from cvhn_tf.structure.weighted import WeightedPaths
from cvhn_tf.target import Target
from cvhn_tf.tensors.paths import by_path

# Normalization has no posterior, and one scale and offset for all complexities.
_DETERMINISTIC_LAYERS = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
)


def variational_graph(target, **variational_arguments):
    """Builds the functional model `[*inputs, complexity, seed] -> (outputs, [kl of each layer])`.

    Where the target has choices, a draw of its structure of shape (complexities, paths of all choices) is one input
    more, the last.

    Args:
        target: Built functional or Sequential Keras model.
        **variational_arguments: Arguments of each `Variational` layer.

    Returns:
        The graph, the `Target` that says which weight is where in it, and the `Usage` of the target, None where it has
        no choices.

    Raises:
        ValueError: If the target is no built functional or Sequential model, has nothing to train, or a weight that is
            not finite.
    """
    _check_target(target)
    config, private = make_again(target)
    if len(private.weights) != len(target.weights):
        raise ValueError(
            "Expected a `target` that Keras can make again from its config, with the same weights. "
            f"Received: target={target.name!r} with {len(target.weights)} weights, whose config gives "
            f"{len(private.weights)}. A layer that is shared between a model and a model nested in it is such a case."
        )
    check_finite_weights("target", target)
    config = with_frozen(config, private, target)
    private.set_weights(target.get_weights())
    finalize_normalization(private)
    variables = by_path(private)

    usage = Usage(private) if any(map(is_choice, private._flatten_layers())) else None
    parts = _Parts(variational_arguments, usage)
    graph, layers = _make_graph(private, parts), parts.layers
    variational = [layer for layer in layers.values() if isinstance(layer, Variational)]
    if not variational:
        raise ValueError(
            "Expected `target` to have trainable weights outside its normalization layers. "
            f"Received: target={target.name!r}, which has none."
        )
    made = {id(weight): (layer, i) for layer in variational for i, weight in enumerate(layer.replaced_weights())}
    for old in private._flatten_layers():
        new = layers.get(id(old))
        if isinstance(new, BatchNormalization):
            made |= {id(weight): source for weight, source in zip(old.variables, new.sources(), strict=True)}
    sources = [made.get(id(variable), variable) for variable in variables.values()]
    inputs = private.inputs if isinstance(private, keras.Sequential) else private._inputs_struct
    names = tree.map_structure(lambda tensor: tensor.name, inputs)
    output_names = getattr(private, "output_names", None) and list(private.output_names)
    described = parts.described[id(graph)]
    if usage is not None:
        made_of = {id(layers[old]): old for old in layers}
        usage.described = [usage.places[made_of[id(layer)]] for layer in described]
    return graph, Target(config, names, output_names, list(variables), sources, described), usage


def _check_target(target):
    if not isinstance(target, keras.Sequential | keras.Function):
        raise ValueError(
            "Expected `target` to be a functional or Sequential Keras model, whose graph of layers is known. "
            f"Received: target={target!r}"
        )
    if not is_graph(target):
        raise ValueError(
            "Expected `target` to compute what its graph of layers says. "
            f"Received: target={target.name!r} of class {type(target).__name__}, which has a `call` of its own. "
            "Wrap it as one layer of another model: keras.Sequential([keras.Input(shape), target])"
        )
    check_parts(target)
    if not target.built:
        raise ValueError(
            "Expected `target` to be built: begin it with `keras.Input(shape)`. "
            f"Received: target={target.name!r}, which is not built."
        )


@dataclasses.dataclass
class _Parts:
    """What the graphs of a model and of those nested in it have in common.

    Args:
        variational_arguments: Arguments of each `Variational` layer.
        usage: `Usage` of the target, None where it has no choices.
        layers: Maps the id of each old layer to the new one: a layer that is shared stays shared.
        described: Maps the id of each graph to the layers of its KLs.
    """

    variational_arguments: dict
    usage: Usage | None
    layers: dict = dataclasses.field(default_factory=dict)
    described: dict = dataclasses.field(default_factory=dict)


def _make_graph(model, parts):
    """Rebuilds `model` with `Variational` layers, nested models included."""
    given = [
        keras.Input(batch_shape=(None,), dtype="float32", name=free_name(model, "complexity")),
        keras.Input(batch_shape=(2,), dtype="int32", name=free_name(model, "seed")),
    ]
    if parts.usage is not None:
        shape = (None, sum(parts.usage.sizes))
        given.append(keras.Input(batch_shape=shape, dtype="float32", name=free_name(model, "structure")))
    complexity, seed, *structure = given
    layers, nested, kls = parts.layers, set(), {}

    def replace(layer):
        if id(layer) not in layers:
            if is_graph(layer):
                layers[id(layer)] = _make_graph(layer, parts)
            elif is_choice(layer):
                first = parts.usage.first_path(layer)
                layers[id(layer)] = WeightedPaths(first, name=layer.name, dtype=layer.dtype_policy)
            elif _has_posterior(layer):
                layers[id(layer)] = Variational(
                    layer, salt=len(layers), dtype=layer.dtype_policy, **parts.variational_arguments
                )
                layers[id(layer)].build()
            elif _has_statistics(layer, parts.variational_arguments["parameterization"]):
                bounds = parts.variational_arguments["complexity_range"]
                layers[id(layer)] = BatchNormalization.of(layer, bounds)
            else:
                layers[id(layer)] = layer
        if is_graph(layer):
            nested.add(id(layers[id(layer)]))
        return layers[id(layer)]

    def call(layer, *args, **kwargs):
        if id(layer) in kls:
            for called in layer._flatten_layers():
                if isinstance(called, Variational):
                    called.draw_for_several_calls()
        if isinstance(layer, Variational):
            tensors = {name: value for name, value in kwargs.items() if _is_tensor(value)}
            # Keras notes in the graph that a layer was called with `training=False`, its default. It is not meant to
            # stay so when the graph is run: Keras itself then says anew what `training` is, and so does `Variational`.
            options = {k: value for k, value in kwargs.items() if k != "training" and not _is_tensor(value)}
            if not args:  # called by names alone
                first = next(iter(inspect.signature(layer.layer.call).parameters))
                args = (tensors.pop(first),)
            outputs, kl = layer(*args, **tensors, complexity=complexity, seed=seed, options=options)
            kls[id(layer)] = [(layer, kl)]  # by layer, so that one that is called twice is described once
        elif id(layer) in nested:
            tensors = [_cast(x, own) for x, own in zip(tree.flatten(args), layer.inputs, strict=False)]
            masks = tree.flatten(kwargs.get("mask"))
            with_masks = {} if all(mask is None for mask in masks) else {"mask": [*masks, *[None] * len(given)]}
            outputs, of_parts = layer([*tensors, *given], **with_masks)
            kls[id(layer)] = list(zip(parts.described[id(layer)], of_parts, strict=True))
        elif isinstance(layer, WeightedPaths):
            return layer(*args, structure=structure[0])
        elif isinstance(layer, BatchNormalization):
            return layer(*args, complexity=complexity, **kwargs)
        else:
            return layer(*args, **kwargs)
        return outputs

    # clone_model wants a source with the same inputs as the clone, so it gets some that nothing uses.
    unused = [keras.Input(batch_shape=t.shape, dtype=t.dtype, name=t.name) for t in given]
    outputs = model.outputs[0] if isinstance(model, keras.Sequential) else model._outputs_struct
    source = keras.Model([*model.inputs, *unused], outputs)
    inputs = [keras.Input(batch_shape=t.shape, dtype=t.dtype, name=t.name) for t in model.inputs]
    inputs += given
    clone = keras.models.clone_model(source, inputs, clone_function=replace, call_function=call)
    outputs = clone._outputs_struct
    if isinstance(outputs, list | tuple) and len(outputs) == 1:
        outputs = outputs[0]  # as Keras has it when a functional model is called
    pairs = [pair for of_layer in kls.values() for pair in of_layer]
    graph = keras.Model(inputs, (outputs, [kl for _, kl in pairs]), name=model.name)
    parts.described[id(graph)] = [layer for layer, _ in pairs]
    return graph


def _has_posterior(layer):
    is_layer = isinstance(layer, keras.layers.Layer)  # and not a function of keras.ops
    return is_layer and bool(layer.trainable_variables) and not isinstance(layer, _DETERMINISTIC_LAYERS)


def _has_statistics(layer, parameterization):
    """Whether it is a batch normalization whose statistics depend on λ, as the weights before it do."""
    is_plain = type(layer) is keras.layers.BatchNormalization and not layer.renorm and not layer.synchronized
    return is_plain and not isinstance(parameterization, Constant)


def _cast(tensor, own):
    """The tensor in the dtype of a nested model's own input. When the model casts by itself, masks get lost."""
    if tensor.dtype == own.dtype or not ("float" in tensor.dtype and "float" in own.dtype):
        return tensor
    return keras.layers.Identity(dtype=own.dtype)(tensor)


def _is_tensor(value):
    flat = tree.flatten(value)
    return bool(flat) and all(isinstance(part, keras.KerasTensor) for part in flat)
