"""Which layers can have random weights."""

import keras

from cvhn_tf.tensors.linear import has_lora


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
        problem = (
            f"it has the activity regularizer {_name(layer.activity_regularizer)}; put a layer "
            "`keras.layers.ActivityRegularization` behind it instead"
        )
    elif getattr(layer, "stateful", False):
        problem = "it is stateful"
    check_parts(layer)
    for weight in weights:
        if weight.constraint is not None:
            problem = f"weight '{weight.name}' has the constraint {_name(weight.constraint)}"
        elif not keras.backend.is_float_dtype(weight.dtype):
            problem = f"weight '{weight.name}' has dtype {weight.dtype}"
        elif weight.dtype == "float16":
            problem = (
                f"weight '{weight.name}' is held in float16, too few digits to train; 'mixed_float16' holds float32"
            )
    if problem:
        raise ValueError(f"Layer '{layer.name}' ({type(layer).__name__}) cannot be variational: {problem}.")


def _name(value):
    """Of a function, or of the class of an object."""
    return getattr(value, "__name__", type(value).__name__)


def check_parts(layer):
    """Raises a `ValueError` that names the first layer within one that LoRA or quantization has changed.

    Args:
        layer: `keras.layers.Layer`, or a model.
    """
    for part in layer._flatten_layers():
        problem = None
        if has_lora(part):
            problem = "LoRA is enabled in it; fine-tune a network that `at(complexity)` gives instead"
        elif getattr(part, "quantization_mode", None):
            problem = f"it is quantized to {part.quantization_mode}; quantize what comes out of the export instead"
        if problem:
            raise ValueError(f"Layer '{part.name}' ({type(part).__name__}) cannot be variational: {problem}.")
