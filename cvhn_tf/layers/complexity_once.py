"""What all layers of a network take of λ, computed once for the weights of all of them."""

from cvhn_tf.complexity.range import ComplexityRange
from cvhn_tf.tensors.gradients import for_each_weight
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
    key = "gradient scale", len(value.shape), value.dtype
    return once(complexity, key, lambda: for_each_weight(1 / (1 + complexity), value))
