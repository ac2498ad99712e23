"""What loss to expect at a complexity, whatever is chosen: by it a draw of the structure is judged.

Where one path is computed in a step, no gradient reaches the others, and that of the one tells whether it does better
than nothing, which it does. So logits follow the score function: `(NLL − b(λ)) ∇ log q(z | λ)`, whose expectation is
the gradient of the expected NLL for any b.

Reference: [Williams, 1992](https://doi.org/10.1007/BF00992696).
"""

import keras
import tensorflow as tf

from cvhn_tf.parameterizations.pivots import triangles
from cvhn_tf.tensors.counters import counter

_KNOTS = 8
_RATE = 0.05


class Baseline(keras.layers.Layer):
    """A mean of the losses of late, which depends on λ: a line between knots that are spread evenly over s."""

    def __init__(self, **kwargs) -> None:
        super().__init__(dtype="float32", autocast=False, **kwargs)

    def build(self, input_shape=None):
        # Each replica's own, as its losses are.
        self._means = counter("means", synchronization="on_read", shape=(_KNOTS,))
        self._weights = counter("weights", synchronization="on_read", shape=(_KNOTS,))
        self.built = True

    def advantage(self, loss, encoded_complexity):
        """How much a loss is above what was expected; 0 at first. What is expected then takes it in.

        Args:
            loss: Scalar tensor.
            encoded_complexity: Tensor of shape (1,), in [0, 1].
        """
        loss = tf.stop_gradient(tf.cast(loss, tf.float32))
        shares = triangles(encoded_complexity, _KNOTS)[0]
        seen = tf.reduce_sum(shares * self._weights.value)
        # A mean from zero is too small at first, by what its weights lack of one.
        expected = tf.reduce_sum(shares * self._means.value) / tf.maximum(seen, 1e-6)
        self._means.assign_add(_RATE * shares * (loss - self._means.value))
        self._weights.assign_add(_RATE * shares * (1 - self._weights.value))
        return tf.where(seen > 0.5, loss - expected, 0.0)
