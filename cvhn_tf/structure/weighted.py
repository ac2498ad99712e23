"""What stands in the place of a choice in a variational graph."""

import keras
import tensorflow as tf

from cvhn_tf.complexity import concat_batches, split_batch


class WeightedPaths(keras.layers.Layer):
    """The sum of a choice's paths, each weighed by its part of a draw of the structure.

    Called with several complexities, whose structures differ, each part of the batch has the weights of its own.

    Args:
        first: Index of the first path among those of all choices.

    Call arguments:
        paths: List of tensors of one shape.
        structure: Tensor of shape (complexities, paths of all choices).
    """

    def __init__(self, first: int, **kwargs) -> None:
        super().__init__(autocast=False, **kwargs)  # the paths have their dtype; the draw is in float32
        self.first = first
        self.supports_masking = True

    def build(self, paths_shape=None, structure_shape=None):
        self.built = True

    def call(self, paths, structure):
        weights = tf.cast(structure[:, self.first : self.first + len(paths)], paths[0].dtype)
        parts = [
            tf.add_n([weight * path for weight, path in zip(tf.unstack(of_part), part, strict=True)])
            for of_part, part in zip(tf.unstack(weights), split_batch(list(paths), weights.shape[0]), strict=True)
        ]
        return concat_batches(parts, tf.shape(paths[0])[0])

    def compute_mask(self, inputs, previous_mask):
        return keras.layers.Average().compute_mask(inputs, previous_mask)

    def compute_output_spec(self, paths, structure):
        return keras.KerasTensor(paths[0].shape, paths[0].dtype)
