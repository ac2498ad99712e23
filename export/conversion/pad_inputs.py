"""Dense layers that read a multiple of four features: TensorFlow's blocks of four lack what goes beyond."""

import keras
import numpy as np

from cvhn_tf.architecture import finalize_normalization
from cvhn_tf.export.networks.rebuild import as_functional

_BLOCK = 4


def pad_inputs(keras_model):
    """A model with the same outputs, whose Dense layers read up to three more features, all zero.

    Args:
        keras_model: Built functional or Sequential Keras model. Layers of models within it are left as they are.

    Returns:
        Functional Keras model, or `keras_model` itself if there is nothing to pad.
    """
    model = as_functional(keras_model)
    if model is None or not any(_lacking(layer) for layer in model.layers):
        return keras_model
    made, lacking = {}, {}

    def make(operation):
        if not isinstance(operation, keras.layers.Layer):
            return operation
        if as_functional(operation) is not None:
            layer = keras.models.clone_model(operation)
        else:
            layer = operation.from_config(operation.get_config())
        made[id(operation)], lacking[id(layer)] = layer, _lacking(operation)
        return layer

    def call(operation, *args, **kwargs):
        features = lacking.get(id(operation), 0)
        if features:
            widths = [(0, 0)] * (len(args[0].shape) - 1) + [(0, features)]
            args = (keras.ops.pad(args[0], widths), *args[1:])
        return operation(*args, **kwargs)

    padded = keras.models.clone_model(model, clone_function=make, call_function=call)
    for layer in model.layers:
        weights = layer.get_weights()
        if _lacking(layer):
            weights[0] = np.pad(weights[0], [(0, _lacking(layer)), (0, 0)])
        if weights:  # which an input has none of, and no copy either
            made[id(layer)].set_weights(weights)
    finalize_normalization(padded)
    return padded


def _lacking(layer) -> int:
    """Number of features that a Dense layer reads too few."""
    return -layer.kernel.shape[0] % _BLOCK if isinstance(layer, keras.layers.Dense) else 0
