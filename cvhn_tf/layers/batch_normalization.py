"""Batch normalization whose moving statistics depend on λ, as those of the activations do that it normalizes."""

import dataclasses

import keras
import tensorflow as tf

from cvhn_tf.complexity.range import ComplexityRange
from cvhn_tf.layers.complexity_once import encoded_once
from cvhn_tf.parameterizations.pivots import triangles
from cvhn_tf.tensors.once import once

_PIVOTS = 9
_OWN_VARIABLES = 4
_PRIOR_BATCHES = 1.0  # without a deviation, which each pivot begins with: one batch alone says little
_SHARE = 0.25  # of the batches that the averages remember, at a pivot: few of the steps are near it


@dataclasses.dataclass(frozen=True)
class MovingStatistic:
    """A mean or a variance at a λ, as the source of a network's weight.

    Args:
        layer: `BatchNormalization`.
        index: 0 for the mean, 1 for the variance.
    """

    layer: "BatchNormalization"
    index: int

    def at(self, complexity):
        """Tensor of shape (channels,), for complexities as in `BatchNormalization.statistics`."""
        return self.layer.statistics(complexity)[self.index]


class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` with moving statistics for each λ.

    The moving statistics are averages over all λ. What they deviate by at a λ, in units of the averages, is kept at
    pivots and linear in log λ between them. It changes more slowly than the averages, which is why it may be measured
    over more steps. As in Keras a batch moves an average by `1 − momentum`; the first batches count alike instead, so
    that nothing is left of values that no batch has given.

    It has the name and the first weights of Keras's layer, since saved files find a layer by its class and its weights
    by their order.

    Args:
        complexity_range: `ComplexityRange`.
        **kwargs: Those of `keras.layers.BatchNormalization`.

    Call arguments:
        inputs, mask: As of Keras's layer.
        complexity: Tensor of shape (complexities,). With several the batch's statistics are of all of them.
        training: Whether to normalize by the batch, and learn from it.
    """

    def __init__(self, complexity_range: ComplexityRange, **kwargs) -> None:
        super().__init__(autocast=False, **kwargs)  # the inputs it casts itself; λ stays in float32
        self.complexity_range = complexity_range

    @classmethod
    def of(cls, layer: keras.layers.BatchNormalization, complexity_range: ComplexityRange) -> "BatchNormalization":
        """One that has the weights of a built layer of Keras's, and is frozen as it is."""
        made = cls(complexity_range, **layer.get_config())
        made.build_from_config(layer.get_build_config())
        made.trainable = layer.trainable
        for variable, given in zip(made.variables, layer.variables, strict=False):
            variable.assign(given)
            variable.trainable = given.trainable
        if not _are_initial(layer):
            made._trust_averages()
        return made

    def build(self, input_shape):
        super().build(input_shape)
        shape = (_PIVOTS, *self.moving_mean.shape)

        def add(name, shape, value=0.0):
            initializer = keras.initializers.Constant(value)
            return self.add_weight(shape, initializer, name=name, trainable=False, autocast=False)

        self.mean_deviations = add("mean_deviations", shape)
        self.variance_deviations = add("variance_deviations", shape)
        self.batches = add("batches", ())
        self.batches_of_pivots = add("batches_of_pivots", (_PIVOTS,), _PRIOR_BATCHES)

    def sources(self) -> list:
        """What each weight of Keras's layer is at a λ: a variable, or a `MovingStatistic`."""
        return [*self.variables[: -_OWN_VARIABLES - 2], *(MovingStatistic(self, i) for i in range(2))]

    def statistics(self, complexity):
        """Moving mean and variance at a λ, tensors of shape (channels,).

        Args:
            complexity: Tensor of shape (complexities,); with several, in the mean of them.
        """
        weights = tf.cast(self._pivot_weights(complexity), self.mean_deviations.dtype)[tf.newaxis]
        scale = self.moving_variance + self.epsilon
        mean_deviation, variance_deviation = (
            tf.squeeze(weights @ deviations, 0) for deviations in (self.mean_deviations, self.variance_deviations)
        )
        mean = self.moving_mean + tf.sqrt(scale) * mean_deviation
        return mean, tf.maximum(self.moving_variance + scale * variance_deviation, 0.0)

    def call(self, inputs, complexity, training=None, mask=None):
        if mask is None:  # Keras hands it on to calls of one tensor alone
            mask = getattr(inputs, "_keras_mask", None)
        if self.momentum == 1 or not (training and self.trainable):
            outputs, _ = self._call_from(*self.statistics(complexity), inputs, training, mask)
            return outputs
        zeros = tf.zeros_like(self.moving_mean)
        outputs, moved = self._call_from(zeros, zeros, inputs, training, mask)
        # Keras moves averages by a part of the way to the batch's, from zero here.
        self._learn_from(*(statistic / (1 - self.momentum) for statistic in moved), complexity)
        return outputs

    def compute_output_spec(self, inputs, complexity, training=None, mask=None):
        return keras.KerasTensor(inputs.shape, self.compute_dtype)

    def load_own_variables(self, store):
        own = self.variables
        if len(store.keys()) != len(own) - _OWN_VARIABLES:
            super().load_own_variables(store)
            return
        for i, variable in enumerate(own[:-_OWN_VARIABLES]):  # a file of before, with averages alone
            variable.assign(store[str(i)])
        self._trust_averages()

    def _call_from(self, mean, variance, inputs, training, mask):
        """Keras's outputs, and averages after the call, where they have been these before it."""
        averages = self.moving_mean, self.moving_variance
        with keras.StatelessScope(zip(averages, (mean, variance), strict=True)) as scope:
            outputs = super().call(inputs, training=training, mask=mask)
        return outputs, [scope.get_current_value(average) for average in averages]

    def _learn_from(self, mean, variance, complexity):
        most = 1 / (1 - self.momentum)
        batches = tf.minimum(self.batches + 1, most)
        moving_mean = self.moving_mean + (mean - self.moving_mean) / batches
        moving_variance = self.moving_variance + (variance - self.moving_variance) / batches
        weights = tf.cast(self._pivot_weights(complexity), batches.dtype)
        batches_of_pivots = tf.minimum(self.batches_of_pivots + weights, max(_SHARE * most, 1.0))
        rates = (weights / batches_of_pivots)[:, tf.newaxis]
        scale = moving_variance + self.epsilon
        mean_deviation = (mean - moving_mean) / tf.sqrt(scale)
        variance_deviation = (variance - moving_variance) / scale
        self.mean_deviations.assign_add(rates * (mean_deviation - self.mean_deviations))
        self.variance_deviations.assign_add(rates * (variance_deviation - self.variance_deviations))
        self.moving_mean.assign(moving_mean)
        self.moving_variance.assign(moving_variance)
        self.batches.assign(batches)
        self.batches_of_pivots.assign(batches_of_pivots)

    def _pivot_weights(self, complexity):
        def make():
            return tf.reduce_mean(triangles(encoded_once(self.complexity_range, complexity), _PIVOTS), axis=0)

        return once(complexity, ("pivots of statistics", self.complexity_range), make)

    def _trust_averages(self):
        """Lets the averages change as slowly as after many batches."""
        if self.momentum < 1:
            self.batches.assign(1 / (1 - self.momentum))


def _are_initial(layer):
    """Whether no batch has changed the averages of a layer."""
    averages = layer.moving_mean, layer.moving_variance
    initializers = layer.moving_mean_initializer, layer.moving_variance_initializer
    return all(
        bool(keras.ops.all(average.value == initializer(average.shape, average.dtype)))
        for average, initializer in zip(averages, initializers, strict=True)
    )
