"""Which layers are linear in their weights, and nothing else: local reparameterization and flipout stand on it."""

import keras

from cvhn_tf.tensors.channels import LINEAR_LAYERS

# What a subclass may say anew without its outputs being computed in another way.
_HARMLESS = {"__init__", "get_config", "from_config", "compute_output_shape", "compute_output_spec"}


def is_linear(layer: keras.layers.Layer) -> bool:
    """Whether the outputs of a layer, before its activation, are linear in all of its weights together.

    Its class must be one of `channels.LINEAR_LAYERS`, or derived from one without a word on how it computes: one that
    passes its kernel through a function, or adds its inputs to what it gives, is not known to be linear.

    Args:
        layer: Built or unbuilt `keras.layers.Layer`.
    """
    known = next((base for base in type(layer).__mro__ if base in LINEAR_LAYERS), None)
    if known is None or "call" in vars(layer):
        return False
    for base in type(layer).__mro__[: type(layer).__mro__.index(known)]:
        if any(hasattr(known, name) for name in set(vars(base)) - _HARMLESS if not _is_metadata(name)):
            return False
    has_parts = len(layer._flatten_layers(include_self=False)) > 0  # an activation with weights, say
    return not (has_parts or has_lora(layer) or getattr(layer, "quantization_mode", None))


def has_lora(layer: keras.layers.Layer) -> bool:
    """Whether low-rank weights of a fine-tuning stand beside a layer's kernel, or will once it is built."""
    return bool(getattr(layer, "lora_enabled", False) or getattr(layer, "lora_rank", None))


def _is_metadata(name):
    return name.startswith("__") and name.endswith("__") and name not in ("__call__", "__getattribute__", "__getattr__")
