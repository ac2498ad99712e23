"""What the stages behind pruning take: a plain Keras model whose graph is known."""

import keras

_LOOKUPS = (
    keras.layers.HashedCrossing,
    keras.layers.Hashing,
    keras.layers.IntegerLookup,
    keras.layers.StringLookup,
    keras.layers.TextVectorization,
)


def check_network(name, model):
    """Raises a `ValueError` unless it is a built functional or Sequential Keras model.

    Args:
        name: Name of the user's argument.
        model: What was given.
    """
    if hasattr(model, "posterior"):
        raise ValueError(
            f"Expected `{name}` to be a network made by `at(complexity)` or `prune`, or another built Keras model. "
            f"Received: {name}={model!r}, a hypernetwork"
        )
    if not (isinstance(model, keras.Sequential | keras.Function) and model.built):
        raise ValueError(f"Expected `{name}` to be a built functional or Sequential Keras model. Received: {model!r}")


def check_convertible(name, model):
    """Raises a `ValueError` if a part of the model works on strings or in a hash table, which TFLite has not.

    Args:
        name: Name of the user's argument.
        model: Built functional or Sequential Keras model.
    """
    lookups = [layer for layer in model._flatten_layers() if isinstance(layer, _LOOKUPS)]
    strings = [tensor.name for tensor in model.inputs if tensor.dtype == "string"]
    if lookups:
        found = ", ".join(f"'{layer.name}' ({type(layer).__name__})" for layer in lookups)
        raise ValueError(
            f"Expected `{name}` without lookups and hashes, which TFLite has not. Received: {found}; convert the part "
            "behind, a model whose inputs are the numbers that come out there, and look up outside of the file"
        )
    if strings:
        raise ValueError(
            f"Expected `{name}` with inputs of numbers. Received: inputs of strings, {strings}; convert the part "
            "behind what reads them, a model whose inputs are numbers"
        )
