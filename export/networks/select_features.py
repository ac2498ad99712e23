"""A layer that leaves out features."""

import keras


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
