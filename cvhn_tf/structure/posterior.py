"""The posterior q(z | λ) of a target's choices z, beside that of its weights."""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from cvhn_tf import parameterizations
from cvhn_tf.complexity import ComplexityRange
from cvhn_tf.layers.gradient_scale import scale_gradient

tfd = tfp.distributions

# Adam moves every variable as far in a step. A logit has to come from 0 to some 5 where a weight moves by 0.1.
_LOGIT_SPEED = 10.0


class StructurePosterior(keras.layers.Layer):
    """Independent distributions of all choices at any λ: categorical, or Bernoulli for paths that are optional.

    The prior p(z) is uniform: each path of a `Choice` alike, each of `OptionalPaths` there or not with one half.

    Args:
        names: Name of each choice.
        sizes: Number of paths of each.
        optional: For each whether its paths are optional.
        complexity_range: `ComplexityRange`.
        parameterization: How logits depend on λ: an instance from `cvhn_tf.parameterizations` that shares nothing.

    Reference: [Maddison et al., 2016](https://arxiv.org/abs/1611.00712): draws of choices, relaxed by a temperature so
    that gradients pass.
    """

    def __init__(
        self,
        names: list[str],
        sizes: list[int],
        optional: list[bool],
        complexity_range: ComplexityRange,
        parameterization: parameterizations.Parameterization,
        **kwargs,
    ) -> None:
        super().__init__(dtype="float32", autocast=False, **kwargs)  # in full precision under mixed precision
        self.names, self.sizes, self.optional = list(names), list(sizes), list(optional)
        self.complexity_range, self.parameterization = complexity_range, parameterization

    def build(self, input_shape=None):
        self._logits = [
            self.parameterization.create(self, f"{name}_logits", np.zeros(size, "float32"))
            for name, size in zip(self.names, self.sizes, strict=True)
        ]
        self.built = True

    def distributions(self, complexity: tf.Tensor) -> list[tfp.distributions.Distribution]:
        """q(z | λ) of each choice, of batch shape (complexities,).

        Args:
            complexity: Tensor of shape (complexities,).
        """
        return [
            tfd.Independent(tfd.Bernoulli(logits), 1) if optional else tfd.Categorical(logits)
            for logits, optional in zip(self._logits_at(complexity), self.optional, strict=True)
        ]

    def probabilities(self, complexity: tf.Tensor) -> list[tf.Tensor]:
        """Probability of each path, tensors of shape (complexities, paths), one for each choice."""
        return [
            tf.sigmoid(logits) if optional else tf.nn.softmax(logits)
            for logits, optional in zip(self._logits_at(complexity), self.optional, strict=True)
        ]

    def kls(self, complexity: tf.Tensor) -> list[tf.Tensor]:
        """KL(q(z | λ) ‖ p(z)) of each choice in nats, tensors of shape (complexities,)."""
        priors = [
            tfd.Independent(tfd.Bernoulli(tf.zeros(size)), 1) if optional else tfd.Categorical(tf.zeros(size))
            for size, optional in zip(self.sizes, self.optional, strict=True)
        ]
        posteriors = self.distributions(complexity)
        return [q.kl_divergence(p) for q, p in zip(posteriors, priors, strict=True)]

    def sample(self, complexity: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor) -> tf.Tensor:
        """A relaxed draw of the structure: of each `Choice` weights that sum to one, of `OptionalPaths` each in [0, 1].

        Args:
            complexity: Tensor of shape (complexities,).
            seed: Integer tensor of shape (2,).
            temperature: Scalar tensor: towards 0 the draws come near 0 and 1.

        Returns:
            Tensor of shape (complexities, paths of all choices).
        """
        draws = []
        for i, (logits, optional) in enumerate(zip(self._logits_at(complexity), self.optional, strict=True)):
            relaxed = tfd.RelaxedBernoulli if optional else tfd.RelaxedOneHotCategorical
            own_seed = tf.random.experimental.stateless_fold_in(seed, i)
            draws.append(relaxed(temperature, logits=logits).sample(seed=own_seed))
        return tf.concat(draws, -1)

    def mode(self, complexity: tf.Tensor) -> tf.Tensor:
        """The most probable structure as zeros and ones, of the shape of `sample`."""
        return tf.concat(
            [
                tf.cast(logits > 0, tf.float32)
                if optional
                else tf.one_hot(tf.argmax(logits, -1), logits.shape[-1], dtype=tf.float32)
                for logits, optional in zip(self._logits_at(complexity), self.optional, strict=True)
            ],
            -1,
        )

    def _logits_at(self, complexity):
        encoded = self.complexity_range.encode(complexity)
        scale = tf.reshape(1 / (1 + complexity), [-1, 1])  # as that of weights
        return [
            scale_gradient(_LOGIT_SPEED * self.parameterization.evaluate(logits, encoded), scale)
            for logits in self._logits
        ]
