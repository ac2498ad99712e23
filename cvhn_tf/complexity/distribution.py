"""The distribution of the complexities λ in training: log-uniform, or any of TFP's that has a quantile function.

```python
VariationalHypernetwork(target, complexity_distribution=tfp.distributions.LogNormal(0.0, 1.0))
```
"""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from cvhn_tf.complexity.range import ComplexityRange, evenly_spread

tfd = tfp.distributions

_LOG_UNIFORM = "log_uniform"


class ComplexityDistribution:
    """A TFP distribution over λ, cut off at the ends of the complexity range.

    It is kept as its config, the name of its class and its parameters: what a saved model holds is what it trained on.

    Args:
        distribution: Distribution of scalars from `tfp.distributions`, with scalar parameters, `cdf` and `quantile`.
        complexity_range: `ComplexityRange` or pair `(low, high)`.

    Raises:
        ValueError: If the distribution cannot be drawn from by quantiles, cannot be written as a config, or has no
            probability in the range.
    """

    def __init__(self, distribution, complexity_range):
        self.complexity_range = ComplexityRange.of(complexity_range)
        self._config = _config_of(distribution)
        self._distribution = _from_config(self._config)
        self._low, self._high = self._cumulative_probabilities(distribution)

    @classmethod
    def of(cls, distribution, complexity_range) -> "ComplexityDistribution | LogUniformComplexities":
        """Takes a `ComplexityDistribution`'s config or a TFP distribution; `"log_uniform"`, or None for the same."""
        if distribution is None or (isinstance(distribution, str) and distribution == _LOG_UNIFORM):
            return LogUniformComplexities(complexity_range)
        if isinstance(distribution, dict):
            distribution = _from_config(distribution)
        return cls(distribution, complexity_range)

    def sample(self, samples: int, seed):
        """Draws complexities, one from each of `samples` strata of equal probability.

        Args:
            samples: Number of complexities.
            seed: Integer tensor of shape (2,): the seed of a sequence of draws, and the place in it, a step.

        Returns:
            Float tensor of shape (samples,), ascending.
        """
        share = tf.cast(evenly_spread(samples, seed), self._distribution.dtype)
        complexity = self._distribution.quantile(self._low + share * (self._high - self._low))
        # Quantile functions round, and are steep in the tails.
        return tf.clip_by_value(tf.cast(complexity, tf.float32), self.complexity_range.low, self.complexity_range.high)

    def get_config(self):
        """Plain dict: `{"class_name": "LogNormal", "config": {"loc": 0.0, "scale": 1.0}}`."""
        return {**self._config, "config": dict(self._config["config"])}

    def _cumulative_probabilities(self, received):
        bounds = tf.constant([self.complexity_range.low, self.complexity_range.high], self._distribution.dtype)
        try:
            probabilities = self._distribution.cdf(bounds)
            quantiles = self._distribution.quantile(probabilities)
        except NotImplementedError:
            raise ValueError(
                "Expected `complexity_distribution` to have a `cdf` and a `quantile` function, by which it is cut "
                f"off at the ends of the range. Received: complexity_distribution={received}"
            ) from None
        low, high = probabilities.numpy()
        if not high > low or np.isnan(quantiles).any():
            raise ValueError(
                f"Expected `complexity_distribution` to have some probability in `complexity_range`, "
                f"[{self.complexity_range.low:g}, {self.complexity_range.high:g}]. "
                f"Received: complexity_distribution={received}, of probability {high - low:g} there"
            )
        return low, high


class LogUniformComplexities:
    """λ spread evenly over the logarithms of a range.

    Args:
        complexity_range: `ComplexityRange` or pair `(low, high)`.
    """

    def __init__(self, complexity_range):
        self.complexity_range = ComplexityRange.of(complexity_range)

    def sample(self, samples: int, seed):
        """As `ComplexityDistribution.sample`."""
        return self.complexity_range.sample(samples, seed)

    def get_config(self):
        """`"log_uniform"`."""
        return _LOG_UNIFORM


def _config_of(distribution):
    class_name = type(distribution).__name__
    is_known = isinstance(distribution, tfd.Distribution) and getattr(tfd, class_name, None) is type(distribution)
    if not is_known or distribution.batch_shape.rank != 0 or distribution.event_shape.rank != 0:
        raise ValueError(
            "Expected `complexity_distribution` to be None, 'log_uniform', a distribution of scalars from "
            f"`tfp.distributions`, or its config. Received: complexity_distribution={distribution!r}"
        )
    config = {}
    for name, value in distribution.parameters.items():
        if name not in ("name", "validate_args", "allow_nan_stats") and value is not None:
            config[name] = _as_plain_value(name, value, distribution)
    return {"class_name": class_name, "config": config}


def _as_plain_value(name, value, distribution):
    if isinstance(value, bool | str):
        return value
    number = np.asarray(value)
    if number.shape != () or number.dtype.kind not in "iuf":
        raise ValueError(
            "Expected `complexity_distribution` to have parameters that are numbers, since it is saved as these. "
            f"Received: complexity_distribution={distribution}, whose parameter {name!r} is {value!r}"
        )
    return float(number)


def _from_config(config):
    distribution_class = getattr(tfd, str(config.get("class_name")), None)
    if not (isinstance(distribution_class, type) and issubclass(distribution_class, tfd.Distribution)):
        raise ValueError(
            "Expected the config of `complexity_distribution` to name a class of `tfp.distributions`. "
            f"Received: complexity_distribution={config!r}"
        )
    try:
        return distribution_class(**config.get("config", {}))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"Expected the config of `complexity_distribution` to hold what {config['class_name']} takes. "
            f"Received: complexity_distribution={config!r} ({error})"
        ) from error
