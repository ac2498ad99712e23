"""The posterior q(z | λ) of a target's choices z, beside that of its weights."""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from cvhn_tf import parameterizations
from cvhn_tf.complexity import ComplexityRange
from cvhn_tf.tensors.gradients import scale_gradient

tfd = tfp.distributions

# Adam moves every variable as far in a step. A logit has to come from 0 to some 5 where a weight moves by 0.1; where it
# follows the score function, whose gradients are noisier, it should not come there by chance.
_SPEED_OF_ALL, _SPEED_OF_ONE = 10.0, 5.0
# Before training optional paths are there with 95%: of few that are there by chance, hardly any leads to the outputs.
_OPTIONAL_LOGIT = 3.0


class StructurePosterior(keras.layers.Layer):
    """Independent distributions of all choices at any λ: categorical, or Bernoulli for paths that are optional.

    The prior p(z) is uniform: each path of a `Choice` alike, each of `OptionalPaths` there or not with one half. Before
    training the paths of a `Choice` are alike too, and those of `OptionalPaths` are there with 95%.

    Args:
        names: Name of each choice.
        sizes: Number of paths of each.
        optional: For each whether its paths are optional.
        complexity_range: `ComplexityRange`.
        parameterization: How logits depend on λ: an instance from `cvhn_tf.parameterizations` that shares nothing.
        draws_one: Whether logits learn by `sample_one`.

    Reference: [Liu et al., 2023](https://arxiv.org/abs/2304.08612), formula 7: the gradient of a draw.
    """

    def __init__(
        self,
        names: list[str],
        sizes: list[int],
        optional: list[bool],
        complexity_range: ComplexityRange,
        parameterization: parameterizations.Parameterization,
        draws_one: bool = False,
        **kwargs,
    ) -> None:
        super().__init__(dtype="float32", autocast=False, **kwargs)  # in full precision under mixed precision
        self.names, self.sizes, self.optional = list(names), list(sizes), list(optional)
        self.complexity_range, self.parameterization = complexity_range, parameterization
        self._speed = _SPEED_OF_ONE if draws_one else _SPEED_OF_ALL

    def build(self, input_shape=None):
        self._logits = [
            self.parameterization.create(
                self, f"{name}_logits", np.full(size, _OPTIONAL_LOGIT / self._speed if optional else 0.0, "float32")
            )
            for name, size, optional in zip(self.names, self.sizes, self.optional, strict=True)
        ]
        self.built = True

    def distributions(
        self, complexity: tf.Tensor, speed: tf.Tensor | float = 1.0
    ) -> list[tfp.distributions.Distribution]:
        """q(z | λ) of each choice, of batch shape (complexities,).

        Args:
            complexity: Tensor of shape (complexities,).
            speed: As in `probabilities`.
        """
        return [
            tfd.Independent(tfd.Bernoulli(logits), 1) if optional else tfd.Categorical(logits)
            for logits, optional in zip(self._logits_at(complexity, speed), self.optional, strict=True)
        ]

    def probabilities(self, complexity: tf.Tensor, speed: tf.Tensor | float = 1.0) -> list[tf.Tensor]:
        """Probability of each path, tensors of shape (complexities, paths), one for each choice.

        Args:
            complexity: Tensor of shape (complexities,).
            speed: Factor of the gradients of the logits, as in all that follows: 0 holds them where they are.
        """
        return [
            tf.sigmoid(logits) if optional else tf.nn.softmax(logits)
            for logits, optional in zip(self._logits_at(complexity, speed), self.optional, strict=True)
        ]

    def kls(self, complexity: tf.Tensor, speed: tf.Tensor | float = 1.0) -> list[tf.Tensor]:
        """KL(q(z | λ) ‖ p(z)) of each choice in nats, tensors of shape (complexities,)."""
        priors = [
            tfd.Independent(tfd.Bernoulli(tf.zeros(size)), 1) if optional else tfd.Categorical(tf.zeros(size))
            for size, optional in zip(self.sizes, self.optional, strict=True)
        ]
        posteriors = self.distributions(complexity, speed)
        return [q.kl_divergence(p) for q, p in zip(posteriors, priors, strict=True)]

    def sample(self, complexity: tf.Tensor, seed: tf.Tensor, speed: tf.Tensor | float = 1.0) -> tf.Tensor:
        """A draw of the structure as zeros and ones, whose gradient is right to the second order.

        With values between them the weights would learn for mixtures of paths, of which no network is made.

        Args:
            complexity: Tensor of shape (complexities,).
            seed: Integer tensor of shape (2,).
            speed: As in `probabilities`.

        Returns:
            Tensor of shape (complexities, paths of all choices).
        """
        draws = []
        for i, (logits, optional) in enumerate(zip(self._logits_at(complexity, speed), self.optional, strict=True)):
            # A path that is there or not is a choice of the two.
            of_each = tf.stack([logits, tf.zeros_like(logits)], -1) if optional else logits
            draw = _with_gradient(of_each, tf.random.experimental.stateless_fold_in(seed, i))
            draws.append(draw[..., 0] if optional else draw)
        return tf.concat(draws, -1)

    def sample_one(
        self, complexity: tf.Tensor, seed: tf.Tensor, speed: tf.Tensor | float = 1.0
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """A draw of the structure as zeros and ones, of the shape of `sample`, and its log-probability in nats.

        Args:
            complexity: Tensor of shape (complexities,).
            seed: Integer tensor of shape (2,).
            speed: As in `probabilities`.
        """
        draws, log_probability = [], tf.zeros_like(complexity)
        for i, q in enumerate(self.distributions(complexity, speed)):
            draw = q.sample(seed=tf.random.experimental.stateless_fold_in(seed, i))
            log_probability += q.log_prob(draw)
            draws.append(tf.cast(draw, tf.float32) if self.optional[i] else tf.one_hot(draw, self.sizes[i]))
        return tf.concat(draws, -1), log_probability

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

    def _logits_at(self, complexity, speed=1.0):
        encoded = self.complexity_range.encode(complexity)
        scale = speed * tf.reshape(1 / (1 + complexity), [-1, 1])  # as that of weights
        return [
            scale_gradient(self._speed * self.parameterization.evaluate(logits, encoded), scale)
            for logits in self._logits
        ]


def _with_gradient(logits, seed):
    """One-hot draws of categorical distributions, with ReinMax's gradients of their logits."""
    draw = tf.one_hot(tfd.Categorical(tf.stop_gradient(logits)).sample(seed=seed), logits.shape[-1])
    probabilities = tf.nn.softmax(logits)
    middle = tf.stop_gradient(tf.math.log((draw + probabilities) / 2) - logits) + logits
    gradient = 2 * tf.nn.softmax(middle) - probabilities / 2
    return draw + (gradient - tf.stop_gradient(gradient))
