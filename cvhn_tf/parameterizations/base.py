"""The hypernetwork G: how the posterior's parameters depend on the complexity λ.

Each parameterization turns one tensor of the posterior (a weight's mean or log-stddev) into a function of the
encoded complexity s in [0, 1]: `create` makes the variables, `evaluate` gives the tensor at some values of s.
"""

import keras
import tensorflow as tf

# Adam moves every variable by the same distance a step. log σ moves by this share of it: where it follows the mean
# slowly, weights that carry nothing lose their mean instead of drowning it in noise, and can be pruned without loss.
# So the "_log_stddev" of a parameterization is log σ divided by this.
LOG_STDDEV_RATE = 0.25
INITIAL_STDDEV = 4e-3


class Parameterization:
    """Base class: a subclass gives `create`, `evaluate`, and `get_config` if it has arguments.

    One whose variables serve several layers gives `create_shared` too.

    Attributes:
        initial_stddev: Standard deviation of weights before training where none is asked for.
    """

    initial_stddev: float | str = INITIAL_STDDEV

    def complexity_distribution(self, complexity_range):
        """The law of λ in training where none is asked for.

        Args:
            complexity_range: `ComplexityRange`.

        Returns:
            A distribution from `tfp.distributions`, which is cut off at the ends of the range; None for log-uniform.
        """
        return None

    def create_shared(self, parameters):
        """Makes what all layers of one model share, before any `create`.

        Args:
            parameters: Names of the posterior's parameters: `("mean", "log_stddev")`, or `("mean",)` where weights
                have no noise.

        Returns:
            A built `keras.layers.Layer`, which `create` finds as `layer.shared`; None if nothing is shared.
        """
        return None

    def create(self, layer, name, initial_value):
        """Makes the variables of one posterior tensor.

        Args:
            layer: `keras.layers.Layer` that owns the variables, with an attribute `shared`: what `create_shared`
                returned; `complexity_range`, the `ComplexityRange` that s encodes; `prior` and `initial_stddev`.
            name: Name of the tensor: that of the weight, then `"_mean"` or `"_log_stddev"`.
            initial_value: NumPy array: the tensor before training, the same at every complexity.

        Returns:
            A `keras.Variable`, or any structure of variables.
        """
        raise NotImplementedError

    def evaluate(self, variables, encoded_complexity):
        """The tensor at some complexities.

        Args:
            variables: What `create` returned.
            encoded_complexity: Tensor of shape (complexities,), values in [0, 1].

        Returns:
            Tensor of shape (complexities, *shape of the initial value).
        """
        raise NotImplementedError

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def add_variable(layer, name, initial_value, trainable=True):
    """A variable of a layer, in full precision, that starts at a value.

    Args:
        layer: `keras.layers.Layer`.
        name: Name of the variable.
        initial_value: NumPy array or tensor.
        trainable: Whether training changes it.
    """
    return layer.add_weight(
        shape=tuple(initial_value.shape),
        # A closure over the value, not a Constant initializer: nothing of it goes into any config.
        initializer=lambda shape, dtype: tf.cast(initial_value, dtype),
        dtype=keras.backend.standardize_dtype(initial_value.dtype),
        autocast=False,  # posteriors stay in full precision under mixed precision
        trainable=trainable,
        name=name,
    )


def find_variable(layer, name):
    """The variable that `add_variable` has given a layer by that name, of several the last."""
    return [variable for variable in layer.variables if variable.name == name][-1]


def combine_rows(weights, variable, boosts=None):
    """`Σ_k weights[c, k] · variable[k]` for each complexity c.

    Args:
        weights: Tensor of shape (complexities, rows).
        variable: `keras.Variable` of shape (rows, *shape).
        boosts: Tensor of the shape of `weights`: factors of the gradients of the rows.

    Returns:
        Tensor of shape (complexities, *shape).
    """
    # One product for all complexities: the rows lie side by side in memory.
    weights, rows = tf.cast(weights, variable.dtype), tf.reshape(variable.value, [variable.shape[0], -1])
    flat = tf.matmul(weights, rows) if boosts is None else _matmul(weights, rows, boosts)
    return tf.reshape(flat, [-1, *variable.shape[1:]])


@tf.custom_gradient
def _matmul(weights, rows, boosts):
    """The product, of which a gradient passes to `rows` by `boosts · weights`."""

    def gradients(of_product):
        return None, tf.matmul(weights * tf.cast(boosts, weights.dtype), of_product, transpose_a=True), None

    return tf.matmul(weights, rows), gradients
