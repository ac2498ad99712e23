"""The architecture of a network as a config, and networks that are made of it; their weights match by position.

Names do not do: a layer within a layer that nobody has named is called otherwise in each network that is made.
"""

import contextlib
import copy
from typing import Any

import keras

from cvhn_tf.checks.errors import with_cause

_FROZEN = "frozen_variables"


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
    frozen = set(config.get(_FROZEN, ()))
    for i, variable in enumerate(network.variables):
        if i in frozen:
            variable.trainable = False
    return network


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
            f"Received: target={target.name!r}{culprit}: {with_cause(reason)}"
        ) from error


def with_frozen(config: dict[str, Any], network: keras.Model, target: keras.Model) -> dict[str, Any]:
    """The config, and which weights of `target` are frozen although the layers that have them are not.

    Args:
        config: Architecture of `target`.
        network: What `make_network` made of it; its weights are frozen here too.
        target: Keras model.
    """
    frozen = []
    for i, (made, given) in enumerate(zip(network.variables, target.variables, strict=True)):
        if made.trainable and not given.trainable:
            made.trainable = False
            frozen.append(i)
    return {**config, _FROZEN: frozen} if frozen else config


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
