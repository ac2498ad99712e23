"""What all layers of a network take of λ, computed once for the weights of all of them."""

import tensorflow as tf

from cvhn_tf.complexity.range import ComplexityRange
from cvhn_tf.tensors.once import once


def encoded_once(bounds: ComplexityRange, complexity):
    """The encoded complexities.

    Args:
        bounds: `ComplexityRange` of the layer.
        complexity: Tensor of shape (complexities,).
    """
    return once(complexity, ("encoded", bounds), lambda: bounds.encode(complexity))


def scale_at(complexity, value):
    """What the gradient of a tensor of a weight is multiplied by, for each complexity.

    The gradient of the loss grows with λ. Divided by 1 + λ, at each λ it still points the same way.

    Args:
        complexity: Tensor of shape (complexities,).
        value: Tensor of shape (complexities, *shape of the weight).

    Returns:
        Tensor that multiplies one like `value`, of its dtype.
    """
    rank, dtype = len(value.shape), value.dtype

    def make():
        return tf.reshape(tf.cast(1 / (1 + complexity), dtype), [-1] + [1] * (rank - 1))

    return once(complexity, ("gradient scale", rank, dtype), make)
