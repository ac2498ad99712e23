"""From a target network to its variational graph: the same architecture with λ as an explicit input."""

import dataclasses
import inspect
import math

import keras
from keras import tree

from cvhn_tf.architecture import finalize_normalization, free_name, make_again, make_network, with_frozen
from cvhn_tf.checks.arrays import flatten_inputs
from cvhn_tf.checks.finite_weights import check_finite_weights
from cvhn_tf.layers.variational import Variational
from cvhn_tf.layers.wrappable import check_parts
from cvhn_tf.tensors.paths import by_path

# Normalisation keeps one set of weights for all complexities: its scale only makes sense with its statistics.
_DETERMINISTIC_LAYERS = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
)


@dataclasses.dataclass(frozen=True)
class Target:
    """What is left of the target network once its weights are drawn from a posterior.

    A plain object, so that Keras does not track what it refers to a second time.

    Args:
        config: Serialised target.
        input_names: Names of the inputs, in the structure of the target's inputs.
        output_names: Names of the layers that make the outputs; None for a Sequential model.
        paths: Path of each variable of a network made from `config`, in its order of `variables`, as by `by_path`.
        sources: For each of these variables where its value comes from: a pair of a `Variational` layer and the
            index of the weight in its posteriors, or the variable of a deterministic layer.
    """

    config: dict
    input_names: object
    output_names: list | None
    paths: list
    sources: list

    def flatten_inputs(self, inputs):
        """The list of input tensors, from a structure like the target's or a dict keyed by input names."""
        return flatten_inputs(inputs, self.input_names)

    def layers(self):
        """The `Variational` layers, each once."""
        return list({id(source[0]): source[0] for source in self.sources if isinstance(source, tuple)}.values())

    def of_each_weight(self, values_of_layer):
        """Maps the path of each weight that has a posterior to its entry in `values_of_layer(layer)`."""
        of_layer = {id(layer): values_of_layer(layer) for layer in self.layers()}
        return {
            path: of_layer[id(source[0])][source[1]]
            for path, source in zip(self.paths, self.sources, strict=True)
            if isinstance(source, tuple)
        }

    def make_network(self, drawn):
        """A new plain Keras model of the target's architecture.

        Args:
            drawn: Dict from the path of each weight that has a posterior to its value.
        """
        network = make_network(self.config)
        for variable, path in zip(network.variables, self.paths, strict=True):
            variable._path = path  # layers without names of their own have others in each network
        self.set_weights(network, drawn)
        finalize_normalization(network)
        return network

    def set_weights(self, network, drawn):
        """Gives one that `make_network` made other weights; `drawn` as there."""
        for variable, path, source in zip(network.variables, self.paths, self.sources, strict=True):
            variable.assign(drawn[path] if isinstance(source, tuple) else source)

    def describe_parameters(self, graph, parameterization) -> str:
        """Two lines for the end of a summary: how large the target is, and the hypernetwork that gives its weights.

        Args:
            graph: The variational graph.
            parameterization: `cvhn_tf.parameterizations.Parameterization` of its layers.
        """
        weights = {id(weight) for weight in graph.weights}
        drawn = sum(math.prod(weight.shape) for layer in self.layers() for weight in layer.replaced_weights())
        deterministic = sum(
            math.prod(source.shape)
            for source in self.sources
            if id(source) in weights  # and not the state of a dropout's seed
        )
        # By identity: layers may share variables.
        trained = {
            id(variable): math.prod(variable.shape) for layer in self.layers() for variable in layer.trainable_variables
        }
        parameters = sum(trained.values())
        return (
            f" Target '{graph.name}': {drawn + deterministic:,} parameters, {drawn:,} of them with a posterior\n"
            f" Hypernetwork {type(parameterization).__name__}: {parameters:,} parameters, "
            f"{parameters / drawn:.1f} for each weight with a posterior"
        )


def variational_graph(target, **variational_arguments):
    """Builds the functional model `[*inputs, complexity, seed] -> (outputs, [kl of each layer])`.

    Args:
        target: Built functional or Sequential Keras model.
        **variational_arguments: Arguments of each `Variational` layer.

    Returns:
        The graph, and the `Target` that says which weight is where in it.

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

    layers = {}
    graph = _make_graph(private, layers, variational_arguments)
    variational = [layer for layer in layers.values() if isinstance(layer, Variational)]
    if not variational:
        raise ValueError(
            "Expected `target` to have trainable weights outside its normalization layers. "
            f"Received: target={target.name!r}, which has none."
        )
    drawn = {id(weight): (layer, i) for layer in variational for i, weight in enumerate(layer.replaced_weights())}
    sources = [drawn.get(id(variable), variable) for variable in variables.values()]
    inputs = private.inputs if isinstance(private, keras.Sequential) else private._inputs_struct
    names = tree.map_structure(lambda tensor: tensor.name, inputs)
    output_names = getattr(private, "output_names", None) and list(private.output_names)
    return graph, Target(config, names, output_names, list(variables), sources)


def _check_target(target):
    if not isinstance(target, keras.Sequential | keras.Function):
        raise ValueError(
            "Expected `target` to be a functional or Sequential Keras model, whose graph of layers is known. "
            f"Received: target={target!r}"
        )
    if not _is_graph(target):
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


def _make_graph(model, layers, variational_arguments):
    """Rebuilds `model` with `Variational` layers, nested models included.

    `layers` maps the id of each old layer to the new one: a layer that is shared stays shared.
    """
    complexity = keras.Input(batch_shape=(None,), dtype="float32", name=free_name(model, "complexity"))
    seed = keras.Input(batch_shape=(2,), dtype="int32", name=free_name(model, "seed"))
    nested, kls = set(), {}

    def replace(layer):
        if id(layer) not in layers:
            if _is_graph(layer):
                layers[id(layer)] = _make_graph(layer, layers, variational_arguments)
            elif _has_posterior(layer):
                layers[id(layer)] = Variational(
                    layer, salt=len(layers), dtype=layer.dtype_policy, **variational_arguments
                )
                layers[id(layer)].build()
            else:
                layers[id(layer)] = layer
        if _is_graph(layer):
            nested.add(id(layers[id(layer)]))
        return layers[id(layer)]

    def call(layer, *args, **kwargs):
        if id(layer) in kls:
            for part in layer._flatten_layers():
                if isinstance(part, Variational):
                    part.draw_for_several_calls()
        if isinstance(layer, Variational):
            tensors = {name: value for name, value in kwargs.items() if _is_tensor(value)}
            # Keras notes in the graph that a layer was called with `training=False`, its default. It is not meant to
            # stay so when the graph is run: Keras itself then says anew what `training` is, and so does `Variational`.
            options = {k: value for k, value in kwargs.items() if k != "training" and not _is_tensor(value)}
            if not args:  # called by names alone
                first = next(iter(inspect.signature(layer.layer.call).parameters))
                args = (tensors.pop(first),)
            outputs, kl = layer(*args, **tensors, complexity=complexity, seed=seed, options=options)
        elif id(layer) in nested:
            tensors = [_cast(x, own) for x, own in zip(tree.flatten(args), layer.inputs, strict=False)]
            masks = tree.flatten(kwargs.get("mask"))
            given = {} if all(mask is None for mask in masks) else {"mask": [*masks, None, None]}
            outputs, kl = layer([*tensors, complexity, seed], **given)
        else:
            return layer(*args, **kwargs)
        kls[id(layer)] = kl  # by layer, so that one that is called twice is described once
        return outputs

    # clone_model wants a source with the same inputs as the clone, so it gets two that nothing uses.
    unused = [keras.Input(batch_shape=t.shape, dtype=t.dtype, name=t.name) for t in (complexity, seed)]
    outputs = model.outputs[0] if isinstance(model, keras.Sequential) else model._outputs_struct
    source = keras.Model([*model.inputs, *unused], outputs)
    inputs = [keras.Input(batch_shape=t.shape, dtype=t.dtype, name=t.name) for t in model.inputs]
    inputs += [complexity, seed]
    clone = keras.models.clone_model(source, inputs, clone_function=replace, call_function=call)
    outputs = clone._outputs_struct
    if isinstance(outputs, list | tuple) and len(outputs) == 1:
        outputs = outputs[0]  # as Keras has it when a functional model is called
    return keras.Model(inputs, (outputs, tree.flatten(kls)), name=model.name)


def _is_graph(layer):
    """Whether it is a model whose layers compute all that it does. One with a `call` of its own is one layer."""
    return isinstance(layer, keras.Sequential | keras.Function) and type(layer).call.__module__.startswith("keras.")


def _has_posterior(layer):
    is_layer = isinstance(layer, keras.layers.Layer)  # and not a function of keras.ops
    return is_layer and bool(layer.trainable_variables) and not isinstance(layer, _DETERMINISTIC_LAYERS)


def _cast(tensor, own):
    """The tensor in the dtype of a nested model's own input. When the model casts by itself, masks get lost."""
    if tensor.dtype == own.dtype or not ("float" in tensor.dtype and "float" in own.dtype):
        return tensor
    return keras.layers.Identity(dtype=own.dtype)(tensor)


def _is_tensor(value):
    flat = tree.flatten(value)
    return bool(flat) and all(isinstance(part, keras.KerasTensor) for part in flat)
