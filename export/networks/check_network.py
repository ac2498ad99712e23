"""What the stages behind pruning take: a plain Keras model whose graph is known."""

import keras


def check_network(name, model):
    """Raises a `ValueError` unless it is a built functional or Sequential Keras model.

    Args:
        name: Name of the user's argument.
        model: What was given.
    """
    if not (isinstance(model, keras.Sequential | keras.Function) and model.built):
        raise ValueError(f"Expected `{name}` to be a built functional or Sequential Keras model. Received: {model!r}")
