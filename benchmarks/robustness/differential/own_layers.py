"""Layers such as users write: without names inside, with losses, flags of training, and states of their own."""

import keras
from keras import layers, ops

registered = keras.saving.register_keras_serializable(package="differential")


@registered
class Block(layers.Layer):
    """Its layers have no names."""

    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.first, self.second = layers.Dense(units, "tanh"), layers.Dense(units)
        self.normalization = layers.LayerNormalization()

    def build(self, input_shape):
        self.first.build(input_shape)
        self.second.build((*input_shape[:-1], self.units))
        self.normalization.build((*input_shape[:-1], self.units))
        super().build(input_shape)

    def call(self, inputs):
        return self.normalization(self.second(self.first(inputs)))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@registered
class BuiltByItsCall(layers.Layer):
    """Without a `build`: Keras runs its call symbolically. Its layers lie in a list."""

    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.stack = [layers.Dense(units, "tanh"), layers.PReLU(), layers.Dense(units)]

    def call(self, inputs):
        for layer in self.stack:
            inputs = layer(inputs)
        return inputs

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@registered
class Normalized(layers.Layer):
    """With statistics of batches inside."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense, self.normalization = layers.Dense(3), layers.BatchNormalization(momentum=0.5)

    def build(self, input_shape):
        self.dense.build(input_shape)
        self.normalization.build((*input_shape[:-1], 3))

    def call(self, inputs):
        return self.normalization(self.dense(inputs))


@registered
class Penalized(layers.Layer):
    """Adds a loss."""

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], 3), name="kernel")

    def call(self, inputs):
        outputs = ops.matmul(inputs, self.kernel)
        self.add_loss(0.1 * ops.mean(ops.square(outputs)))
        return outputs


@registered
class Flagged(layers.Layer):
    """Trains only where its caller says so: drops values then, and counts the steps."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense, self.dropout = layers.Dense(4), layers.Dropout(0.3, seed=5)

    def build(self, input_shape):
        self.dense.build(input_shape)
        self.seen = self.add_weight(shape=(), initializer="zeros", trainable=False, name="seen")

    def call(self, inputs, training=False):
        if training:
            self.seen.assign_add(1.0)
        return self.dropout(self.dense(inputs), training=training)


@registered
class Softened(layers.Layer):
    """Not linear in its weights."""

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(input_shape[-1],), name="scale")

    def call(self, inputs):
        return inputs * ops.softplus(self.scale)


@registered
class Skip(layers.Dense):
    """A Dense that is not linear in its weights alone."""

    def call(self, inputs, training=None):
        return inputs + super().call(inputs)


@registered
class TwoInputs(layers.Layer):
    """Called by names, and with an option that is no tensor."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(3)

    def build(self, left_shape, right_shape):
        self.dense.build(left_shape)

    def call(self, left, right, scale=1.0):
        return self.dense(left) * scale + ops.mean(right, axis=-1, keepdims=True)
