"""Bayesian layers as TensorFlow Probability has them, for Keras 3, with which `tfp.layers` does not work.

As `tfp.layers.DenseReparameterization` and `Convolution2DReparameterization` by default: a kernel has one normal
posterior, its scale a softplus, and is drawn once for each batch; biases are deterministic; the KL is measured against
N(0, 1) and divided by the number of training examples. There is no complexity. Written from their documentation.
"""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions


class _Reparameterized:
    """The kernel's posterior, drawn for each call in training."""

    def build(self, input_shape):
        super().build(input_shape)
        self.untransformed_scale = self.add_weight(
            shape=self.kernel.shape, initializer=keras.initializers.RandomNormal(-3.0, 0.1), name="untransformed_scale"
        )

    def draw_kernel(self, training):
        posterior = tfd.Normal(self.kernel.value, 1e-5 + tf.nn.softplus(self.untransformed_scale.value))
        kl = tfd.kl_divergence(posterior, tfd.Normal(0.0, 1.0))
        self.add_loss(tf.reduce_sum(kl) / self.train_size)
        return posterior.sample() if training else posterior.loc

    def finish(self, outputs):
        if self.use_bias:
            outputs += self.bias
        return outputs if self.activation is None else self.activation(outputs)


class DenseReparameterization(_Reparameterized, keras.layers.Dense):
    def call(self, inputs, training=False):
        return self.finish(tf.matmul(inputs, self.draw_kernel(training)))


class Conv2DReparameterization(_Reparameterized, keras.layers.Conv2D):
    def call(self, inputs, training=False):
        return self.finish(self.convolution_op(inputs, self.draw_kernel(training)))


_LAYERS = {keras.layers.Dense: DenseReparameterization, keras.layers.Conv2D: Conv2DReparameterization}


def bayesian(target, train_size):
    """A copy of a model whose Dense and Conv2D layers are Bayesian; all others stay what they are.

    Args:
        target: Functional or Sequential Keras model.
        train_size: Number of training examples.
    """

    def clone(layer):
        new = _LAYERS.get(type(layer), type(layer)).from_config(layer.get_config())
        new.train_size = train_size
        return new

    return keras.models.clone_model(target, clone_function=clone)
