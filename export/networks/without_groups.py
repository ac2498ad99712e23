"""Convolutions in groups as a convolution for each group: programs for GPUs take them for one of all channels."""

import keras
from keras import layers, ops

from cvhn_tf.architecture import finalize_normalization
from cvhn_tf.export.networks.rebuild import as_functional


def without_groups(keras_model: keras.Model) -> keras.Model:
    """A model with the same outputs that splits channels, convolves each group and joins the results.

    Args:
        keras_model: Built functional or Sequential Keras model. Models within it are looked into.

    Returns:
        Functional Keras model, or `keras_model` itself if it has no convolution in groups.
    """
    model = as_functional(keras_model)
    if model is None or not any(map(_has_groups, model._flatten_layers())):
        return keras_model

    def make(operation):
        if not isinstance(operation, layers.Layer):
            return operation
        if as_functional(operation) is not None:
            inner = without_groups(operation)
            return keras.models.clone_model(operation) if inner is operation else inner
        kind = _BY_GROUP[type(operation)] if _has_groups(operation) else type(operation)
        return kind.from_config(operation.get_config())

    made = keras.models.clone_model(model, clone_function=make)
    for layer in model.layers:
        if layer.get_weights():  # which an input has none of, and no copy either
            made.get_layer(layer.name).set_weights(layer.get_weights())
    finalize_normalization(made)
    return made


def _has_groups(layer):
    return type(layer) in _BY_GROUP and layer.groups > 1 and layer.data_format == "channels_last"


class _ByGroup:
    """Mixed into a convolution; its weights stay as they are."""

    def call(self, inputs):
        padding = self.padding
        if padding == "causal":
            inputs, padding = ops.pad(inputs, self._compute_causal_padding()), "valid"
        parts = zip(ops.split(inputs, self.groups, axis=-1), ops.split(self.kernel, self.groups, axis=-1), strict=True)
        options = {"strides": list(self.strides), "padding": padding, "dilation_rate": self.dilation_rate}
        outputs = ops.concatenate([ops.conv(*part, **options) for part in parts], axis=-1)
        outputs = outputs + self.bias if self.use_bias else outputs
        return outputs if self.activation is None else self.activation(outputs)


class _Conv1DByGroup(_ByGroup, layers.Conv1D):
    pass


class _Conv2DByGroup(_ByGroup, layers.Conv2D):
    pass


_BY_GROUP = {layers.Conv1D: _Conv1DByGroup, layers.Conv2D: _Conv2DByGroup}
