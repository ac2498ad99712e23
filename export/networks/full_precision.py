"""Models that were trained in mixed precision, in the one precision that TensorFlow's converter has kernels for."""

import keras

from cvhn_tf.architecture import architecture, finalize_normalization, make_network

_FLOATS = ("float16", "bfloat16", "float64")


def in_float32(keras_model: keras.Model) -> keras.Model:
    """A model of the same layers and weights that computes in float32, or `keras_model` itself if it does.

    Args:
        keras_model: Built functional or Sequential Keras model. The dtypes of its inputs stay.

    Raises:
        TypeError, ValueError: If it computes in another precision and Keras cannot make it from its config.
    """
    if not any(_computes_otherwise(layer) for layer in keras_model._flatten_layers()):
        return keras_model
    model = make_network(_with_float32(architecture(keras_model)))
    model.set_weights(keras_model.get_weights())
    finalize_normalization(model)
    return model


def _computes_otherwise(layer):
    return not isinstance(layer, keras.layers.InputLayer) and layer.compute_dtype in _FLOATS


def _with_float32(config):
    """A config whose dtype policies of floats are all float32, those of layers within layers too."""
    if isinstance(config, list | tuple):
        return [_with_float32(part) for part in config]
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "DTypePolicy":
        name = config["config"]["name"]
        is_float = name.startswith("mixed_") or name in _FLOATS
        return {**config, "config": {"name": "float32"}} if is_float else config
    return {key: _with_float32(value) for key, value in config.items()}
