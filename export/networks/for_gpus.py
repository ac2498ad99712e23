"""Layers that programs for GPUs compute wrongly or refuse, as others with the same outputs.

They take convolutions in groups for one of all channels: here it is a convolution for each group. GroupNormalization of
pictures has five axes, and they take four: here all positions are one axis. TimeDistributed cuts steps out of the axis
of examples, where they take no slices: Dense is the same without it.
"""

import math

import keras
from keras import layers, ops

from cvhn_tf.architecture import finalize_normalization
from cvhn_tf.export.networks.rebuild import as_functional


def for_gpus(keras_model: keras.Model) -> keras.Model:
    """A model with the same outputs and weights, of layers that programs for GPUs compute right.

    Args:
        keras_model: Built functional or Sequential Keras model. Models within it are looked into.

    Returns:
        Functional Keras model, or `keras_model` itself if it has none of the layers that they do not.
    """
    model = as_functional(keras_model)
    if model is None or not any(map(_changes, model._flatten_layers())):
        return keras_model

    def make(operation):
        if not isinstance(operation, layers.Layer):
            return operation
        if as_functional(operation) is not None:
            inner = for_gpus(operation)
            return keras.models.clone_model(operation) if inner is operation else inner
        if type(operation) is layers.Lambda:  # whose code Keras loads from a config that it is told to trust alone
            return layers.Lambda.from_config(operation.get_config(), safe_mode=False)
        if _is_dense_at_each_step(operation):
            return _DenseOfSteps.from_config({**operation.layer.get_config(), "name": operation.name})
        kind = _INSTEAD[type(operation)] if _changes(operation) else type(operation)
        return kind.from_config(operation.get_config())

    made = keras.models.clone_model(model, clone_function=make)
    for layer in model.layers:
        if layer.get_weights():  # which an input has none of, and no copy either
            made.get_layer(layer.name).set_weights(layer.get_weights())
    finalize_normalization(made)
    return made


def _is_dense_at_each_step(layer):
    return type(layer) is layers.TimeDistributed and type(layer.layer) is layers.Dense


def _changes(layer):
    if _is_dense_at_each_step(layer):
        return True
    if type(layer) is layers.GroupNormalization:
        if not layer._inbound_nodes:  # as of one in TimeDistributed
            return False
        shape = layer.input.shape
        return len(shape) > 3 and layer.axis in (-1, len(shape) - 1) and None not in shape[1:]
    return type(layer) in _INSTEAD and layer.groups > 1 and layer.data_format == "channels_last"


class _DenseOfSteps(layers.Dense):
    def call(self, inputs, training=None, mask=None):  # as TimeDistributed is called
        return super().call(inputs)


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


class _GroupNormalizationOfPositions(layers.GroupNormalization):
    def __init__(self, axis=-1, **kwargs):
        super().__init__(axis=-1, **kwargs)  # which is the last one before and after positions are joined

    def call(self, inputs):
        _, *positions, channels = inputs.shape
        joined = ops.reshape(inputs, (-1, math.prod(positions), channels))
        return ops.reshape(super().call(joined), (-1, *positions, channels))


_INSTEAD = {
    layers.Conv1D: _Conv1DByGroup,
    layers.Conv2D: _Conv2DByGroup,
    layers.GroupNormalization: _GroupNormalizationOfPositions,
}
