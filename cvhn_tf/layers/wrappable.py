"""Which layers can have random weights."""

import keras


def check_wrappable(layer, weights):
    """Raises a `ValueError` that names the layer, if a posterior cannot take the place of its weights.

    Args:
        layer: Built `keras.layers.Layer`.
        weights: Its trainable variables.
    """
    problem = None
    if not weights:
        problem = "it has no trainable weights, or they belong to a `Variational` layer already"
    elif layer.activity_regularizer is not None:
        problem = f"it has the activity regularizer {layer.activity_regularizer}"
    elif getattr(layer, "stateful", False):
        problem = "it is stateful"
    for weight in weights:
        if weight.constraint is not None:
            problem = f"weight '{weight.name}' has the constraint {weight.constraint}"
        elif not keras.backend.is_float_dtype(weight.dtype):
            problem = f"weight '{weight.name}' has dtype {weight.dtype}"
        elif weight.dtype == "float16":
            problem = (
                f"weight '{weight.name}' is held in float16, too few digits to train; 'mixed_float16' holds float32"
            )
    if problem:
        raise ValueError(f"Layer '{layer.name}' ({type(layer).__name__}) cannot be variational: {problem}.")
