"""A layer that leaves out features, and what takes some of them back in."""

import itertools

import keras
import numpy as np

from cvhn_tf.architecture import finalize_normalization
from cvhn_tf.export.networks.rebuild import as_functional

# Of a slice in a TFLite file, with its tensors.
_SLICE_BYTES = 280


@keras.saving.register_keras_serializable(package="cvhn_tf")
class SelectFeatures(keras.layers.Layer):
    """Passes on some of the features of a (batch, features) input.

    Args:
        indices: List of the features to keep, ascending.
    """

    def __init__(self, indices, **kwargs):
        super().__init__(**kwargs)
        self.indices = [int(index) for index in indices]

    def call(self, inputs):
        return keras.ops.take(inputs, self.indices, axis=1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], len(self.indices))

    def get_config(self):
        return {**super().get_config(), "indices": self.indices}


def with_longer_runs(keras_model: keras.Model, weight_bytes: float) -> keras.Model:
    """A model with the same outputs that selects features in fewer runs, for files that hold a slice for each.

    A gap between two runs is selected too where the weights of the Dense layer behind, zeros for these features, take
    less than a slice does.

    Args:
        keras_model: Built functional or Sequential Keras model. Models within it are left as they are.
        weight_bytes: Of a weight in the file.

    Returns:
        Functional Keras model, or `keras_model` itself if nothing changes.
    """
    model = as_functional(keras_model)
    if model is None:
        return keras_model
    longer = {}
    for layer in model.layers:
        readers = [node.operation for node in layer._outbound_nodes]
        if isinstance(layer, SelectFeatures) and len(readers) == 1 and isinstance(readers[0], keras.layers.Dense):
            selected = _with_gaps(layer, readers[0].units * weight_bytes)
            if not np.array_equal(selected, layer.indices):
                longer[layer.name] = selected
                longer[readers[0].name] = np.searchsorted(selected, layer.indices)
    if not longer:
        return keras_model

    def make(operation):
        if not isinstance(operation, keras.layers.Layer):
            return operation
        if as_functional(operation) is not None:
            return keras.models.clone_model(operation)
        if isinstance(operation, SelectFeatures) and operation.name in longer:
            if len(longer[operation.name]) == operation.input.shape[-1]:
                return keras.layers.Identity(name=operation.name)
            return SelectFeatures(longer[operation.name], name=operation.name)
        return operation.from_config(operation.get_config())

    made = keras.models.clone_model(model, clone_function=make)
    for layer in model.layers:
        weights = layer.get_weights()
        copy = made.get_layer(layer.name)
        if layer.name in longer and weights:
            kernel = np.zeros(copy.kernel.shape, weights[0].dtype)
            kernel[longer[layer.name]] = weights[0]
            weights[0] = kernel
        if weights:  # which an input has none of, and no copy either
            copy.set_weights(weights)
    finalize_normalization(made)
    return made


def _with_gaps(layer, bytes_of_feature):
    """The places that a layer selects and the gaps that cost less than a slice, those at both ends too."""
    count = layer.input.shape[-1]
    is_selected = np.zeros(count, bool)
    is_selected[layer.indices] = True
    bounds = np.array([-1, *layer.indices, count])
    for before, after in itertools.pairwise(bounds):
        if 0 < (after - before - 1) * bytes_of_feature <= _SLICE_BYTES:
            is_selected[before + 1 : after] = True
    return np.flatnonzero(is_selected)
