"""How far a step moves means and standard deviations: gradients of one size at every λ, and a slower log σ."""

import tensorflow as tf

# Adam moves every variable by the same distance a step. log σ moves by this share of it: where it follows the mean
# slowly, weights that carry nothing lose their mean instead of drowning it in noise, and can be pruned without loss.
LOG_STDDEV_RATE = 0.25


@tf.custom_gradient
def scale_gradient(value, scale):
    return tf.identity(value), lambda gradient: (gradient * scale, None)


@tf.custom_gradient
def stddev_of(value, gradient_scale):
    """The stddev of what a parameterization gives, and as `scale_gradient` in the same passes over the weights."""
    stddev = tf.exp(LOG_STDDEV_RATE * value)
    return stddev, lambda gradient: (gradient * stddev * (LOG_STDDEV_RATE * gradient_scale), None)
