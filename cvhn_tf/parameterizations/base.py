"""The hypernetwork G: how the posterior's parameters depend on the complexity λ.

Each parameterization turns one tensor of the posterior (a weight's mean or log-stddev) into a function of the
encoded complexity s in [0, 1]: `create` makes the variables, `evaluate` gives the tensor at some values of s.
"""


class Parameterization:
    """Base class: a subclass gives `create`, `evaluate`, and `get_config` if it has arguments."""

    def create(self, layer, name, initial_value):
        """Makes the variables of one posterior tensor.

        Args:
            layer: `keras.layers.Layer` that owns the variables.
            name: Name of the tensor, such as `"kernel_mean"`.
            initial_value: NumPy array: the tensor before training, the same at every complexity.

        Returns:
            A `keras.Variable`.
        """
        raise NotImplementedError

    def evaluate(self, variable, encoded_complexity):
        """The tensor at some complexities.

        Args:
            variable: What `create` returned.
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
