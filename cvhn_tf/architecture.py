"""The architecture of a network as a config, and networks that are made of it; their weights match by position.

Names do not do: a layer within a layer that nobody has named is called otherwise in each network that is made.
"""

import contextlib
import copy
import re
from typing import Any

import keras

from cvhn_tf.checks.errors import with_cause

_OF_LAYERS = "trainable_layers"
_OF_WEIGHTS = "trainable_weights"
_FROZEN = "frozen_variables"  # places among `variables`, in files of before


def architecture(network: keras.Model) -> dict[str, Any]:
    """The config that `make_network` makes a network of the same layers from, without weights or what compiles it.

    Keras leaves out the vocabulary that a lookup layer has learned; here it is in the config.

    Args:
        network: Built Keras model.
    """
    with _learned_vocabularies_told(network):
        config = keras.saving.serialize_keras_object(network)
    return {key: value for key, value in config.items() if key not in ("compile_config", "build_config")}


def make_network(config: dict[str, Any]) -> keras.Model:
    """A new network with fresh weights.

    Args:
        config: What `architecture` gave, or `with_frozen` after it.
    """
    # Deserialising a functional model empties its config.
    network = keras.saving.deserialize_keras_object(copy.deepcopy(config), safe_mode=True)
    freeze(network, config)
    return network


def freeze(network: keras.Model, config: dict[str, Any]) -> None:
    """Freezes what a config of `with_frozen` tells, and takes freezing back where it tells so."""
    for key, parts in ((_OF_LAYERS, network._flatten_layers()), (_OF_WEIGHTS, network.weights)):
        for i, trainable in config.get(key, ()):
            parts[i].trainable = trainable
    variables = network.variables
    for i in config.get(_FROZEN, ()):
        variables[i].trainable = False


def make_again(target: keras.Model) -> tuple[dict[str, Any], keras.Model]:
    """The config of `target`, and a new network that was made of it.

    Raises:
        ValueError: If Keras cannot make it; names the layer that is to blame, where one is.
    """
    try:
        config = architecture(target)
        return config, make_network(config)
    except Exception as error:  # of any kind, since any layer may stand in a target
        culprit, reason = "", error
        for layer in reversed(target._flatten_layers(include_self=False)):  # the parts of a layer come behind it
            try:
                make_network(architecture(layer))
            except Exception as of_layer:
                culprit, reason = f" with the layer '{layer.name}' ({type(layer).__name__})", of_layer
                break
        raise ValueError(
            "Expected a `target` that Keras can make again from its config. "
            f"Received: target={target.name!r}{culprit}: {_what_to_register(reason) or with_cause(reason)}"
        ) from error


def _what_to_register(error):
    """What Keras knows by no name, and what to do; None if the error is another. Keras's own advice unlocks a file."""
    if "whose `function` is a Python lambda" in str(error):
        return (
            "its function is a lambda, which no config holds. Give it a function with a name, registered by "
            "`@keras.saving.register_keras_serializable()`, or write a layer of your own"
        )
    unknown = re.search(r"Could not locate (class|function) '([^']*)'", str(error))
    if unknown is None:
        return None
    return (
        f"Keras does not know the {unknown[1]} '{unknown[2]}'. Register it by the decorator "
        "`@keras.saving.register_keras_serializable()`"
    )


def with_frozen(config: dict[str, Any], network: keras.Model, target: keras.Model) -> dict[str, Any]:
    """The config, and what is frozen in `target` besides: parts of layers, and single weights.

    Args:
        config: Architecture of `target`.
        network: What `make_network` made of it; it is frozen alike.
        target: Keras model.
    """
    layers, weights = freeze_alike(network, target)
    if layers:
        config = {**config, _OF_LAYERS: layers}
    return {**config, _OF_WEIGHTS: weights} if weights else config


def freeze_alike(copy: keras.layers.Layer, original: keras.layers.Layer) -> tuple[list, list]:
    """Freezes what is frozen in the original: its config does not tell of layers within layers and of single weights.

    Nor does it tell of parts that train within what is frozen as a whole.

    Args:
        copy: Built layer or model, made of a config.
        original: The layer or model that gave the config.

    Returns:
        What was changed, among all layers within the copy and among its weights: pairs of a position and whether it
        trains.
    """
    parts = copy._flatten_layers(), original._flatten_layers()
    # Layers too: a frozen normalization computes otherwise. Some layers make layers while they are called.
    layers = _freeze(*parts) if len(parts[0]) == len(parts[1]) else []
    return layers, _freeze(copy.weights, original.weights)  # `variables` hold seeds, which dropout at rate 0 lacks


def _freeze(copies, originals):
    changed = []
    for i, (made, given) in enumerate(zip(copies, originals, strict=True)):
        if made.trainable != given.trainable:
            made.trainable = given.trainable  # of what is within it too, which comes later and is looked at then
            changed.append([i, given.trainable])
    return changed


def finalize_normalization(network):
    """Lets adapted `keras.layers.Normalization` layers take over weights that were set from outside.

    They compute from copies of their weights, which only adapting and loading a file renew.

    Args:
        network: Built Keras model, or a layer.
    """
    for layer in network._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()


def free_name(model, name):
    """A name that no operation of the model has; Keras's own may be one of a model that was loaded from a file."""
    taken = {layer.name for layer in model.layers} | {tensor.name for tensor in model.inputs}
    while name in taken:
        name += "_"
    return name


@contextlib.contextmanager
def _learned_vocabularies_told(network):
    """Within it, lookup layers write into their configs what they have learned, as if it had been given to them."""
    lookups = [layer for layer in map(_lookup_of, network._flatten_layers()) if layer is not None]
    before = [(layer.input_vocabulary, layer.input_idf_weights) for layer in lookups]
    try:
        for layer in lookups:
            words = layer.get_vocabulary(include_special_tokens=False)
            if layer.input_vocabulary is None and len(words):
                layer.input_vocabulary = [getattr(word, "item", lambda word=word: word)() for word in words]
                if layer.output_mode == "tf_idf":
                    first = len(layer.get_vocabulary()) - len(words)
                    layer.input_idf_weights = layer.idf_weights_const.numpy()[first : first + len(words)].tolist()
        yield
    finally:
        for layer, (vocabulary, idf_weights) in zip(lookups, before, strict=True):
            layer.input_vocabulary, layer.input_idf_weights = vocabulary, idf_weights


def _lookup_of(layer):
    """The table of words behind a layer, if there is one."""
    if isinstance(layer, keras.layers.TextVectorization):
        return layer._lookup_layer
    return layer if isinstance(layer, keras.layers.IntegerLookup | keras.layers.StringLookup) else None
