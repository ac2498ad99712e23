"""`Variational`: any Keras layer with λ-conditioned random weights."""

import random
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from keras import tree

from cvhn_tf import estimators, priors
from cvhn_tf.checks.arguments import check_initial_stddev, check_integer
from cvhn_tf.complexity.batch_parts import concat_batches, split_batch
from cvhn_tf.complexity.range import ComplexityRange, batch_shares
from cvhn_tf.estimators import Estimator
from cvhn_tf.layers.arguments import check_call, check_determinism, check_train_size
from cvhn_tf.layers.complexity_once import encoded_once, scale_at
from cvhn_tf.layers.gradient_scale import stddev_of
from cvhn_tf.layers.initial_stddev import initial_log_stddev
from cvhn_tf.layers.substitution import call_under, symbolic_outputs
from cvhn_tf.layers.wrappable import check_wrappable
from cvhn_tf.parameterizations import Parameterization
from cvhn_tf.parameterizations.by_name import get_for
from cvhn_tf.priors import Prior
from cvhn_tf.tensors import channels, noise
from cvhn_tf.tensors.counters import counter
from cvhn_tf.tensors.gradients import scale_gradient
from cvhn_tf.tensors.linear import is_linear
from cvhn_tf.tensors.masks import with_mask_of


@keras.saving.register_keras_serializable(package="cvhn_tf")
class Variational(keras.layers.Wrapper):
    """Wraps a Keras layer and replaces its trainable weights by a posterior N(mean(λ), stddev(λ)²).

    With a `complexity` of its own it is a layer like any other, in a functional, Sequential or subclassed model: it
    takes and gives what the wrapped layer does, and adds `λ · KL / N` to the losses. One λ for all layers of a
    model, drawn anew in each step, takes a model that hands it to them, as `VariationalHypernetwork` or a subclassed
    one of yours does: without `complexity`, λ is an argument of the call, and the KL a second output.

    Called with several complexities, the layer shares the batch out between them in order: the first part
    of the batch passes through a network of the first complexity, and so on (`cvhn_tf.complexity.batch_shares`).

    Args:
        layer: The `keras.layers.Layer` to wrap, which then belongs to this one. Its current weights, if it is built,
            become the initial means.
        complexity_range: `ComplexityRange` or pair `(low, high)`.
        parameterization: How the posterior depends on λ; see `cvhn_tf.parameterizations`. By default
            `"optimal_response"` or `"gated"`, as in `VariationalHypernetwork`, and `"constant"` where `complexity` is
            fixed.
        prior: What the description length is measured against; see `cvhn_tf.priors`.
        estimator: How noise enters in training; see `cvhn_tf.estimators`. Layers that are not linear in their
            weights use `WeightSampling` in the place of one that is for linear layers only.
        initial_stddev: Standard deviation of the weights before training, as in `VariationalHypernetwork`.
        salt: Non-negative integer that sets this layer's noise apart from others' of the same seed; random by default.
        shared: What the layers of a model share: the result of `parameterization.create_shared`, made once for all
            of them. By default the layer makes its own.
        complexity: λ, a number in `complexity_range`, where it is fixed.
        train_size: Number of training examples N, which scales the KL in the loss. Goes with `complexity`.

    Raises:
        ValueError: If an argument is out of range, just one of `prior` and `estimator` is deterministic, or the
            layer cannot have random weights.

    Call arguments:
        inputs, *args: Inputs of the wrapped layer.
        complexity: Tensor of shape (complexities,), the λs. Not where `complexity` is fixed.
        seed: Integer tensor of shape (2,) for the weight noise. Needed when training. Not where `complexity` is
            fixed: there each call draws noise of its own, from a counter that is saved with the weights.
        training: Whether to draw noise (True) or to use the posterior means (False).
        options: Dict of the wrapped layer's arguments that are no tensors, such as `use_causal_mask`.
        **kwargs: Tensor arguments of the wrapped layer that are given by name.

    Returns:
        Outputs of the wrapped layer where `complexity` is fixed; otherwise a pair of these and the KL in nats, a
        tensor of shape (complexities,).

    Examples:

    >>> layer = Variational(keras.layers.Dense(3), complexity=1.0, train_size=1000)
    >>> layer(np.ones((4, 2))).shape, len(layer.losses)
    (TensorShape([4, 3]), 1)

    >>> layer = Variational(keras.layers.Dense(3))
    >>> outputs, kl = layer(np.ones((4, 2)), complexity=np.array([1.0]))
    >>> outputs.shape, kl.shape
    (TensorShape([4, 3]), TensorShape([1]))
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        complexity_range: ComplexityRange | tuple[float, float] = (1e-2, 1e2),
        parameterization: str | dict[str, Any] | Parameterization | None = None,
        prior: str | dict[str, Any] | Prior = "automatic_relevance",
        estimator: str | dict[str, Any] | Estimator = "local_reparameterization",
        initial_stddev: float | str | None = None,
        salt: int | None = None,
        shared: keras.layers.Layer | None = None,
        complexity: float | None = None,
        train_size: int | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(layer, keras.layers.Layer):
            raise ValueError(f"Expected `layer` to be a `keras.layers.Layer`. Received: layer={layer!r}")
        kwargs.setdefault("name", layer.name)
        # The wrapped layer casts its own inputs; λ must stay in float32 under mixed precision.
        super().__init__(layer, autocast=False, **kwargs)
        self.complexity_range = ComplexityRange.of(complexity_range)
        self.complexity = None if complexity is None else self.complexity_range.check(complexity)
        self.train_size = check_train_size(self.complexity, train_size)
        self.prior = priors.get(prior)
        if parameterization is None and complexity is not None:
            parameterization = "constant"
        self.parameterization = get_for(self.prior, parameterization)
        self.estimator = estimators.get(estimator)
        check_determinism(self.prior, self.estimator)
        if self.estimator.linear_only and not is_linear(layer):
            self.estimator = estimators.WeightSampling()
        if initial_stddev is None:
            initial_stddev = self.parameterization.initial_stddev
        self.initial_stddev = check_initial_stddev(initial_stddev)
        self.salt = random.randint(0, 2**31 - 1) if salt is None else check_integer("salt", salt, 0, below=2**31)
        self.shared = shared or self.parameterization.create_shared(self.prior.posterior_parameters)
        self.supports_masking = True
        self._activation = self._kl_loss = None
        self._replaced: list[int] | None = None  # positions in the layer's variables, once it is built
        if is_linear(layer) and layer.activation is not None:
            # Noise enters before the activation, so this wrapper applies it.
            self._activation, layer.activation = layer.activation, keras.activations.linear

    def build(self, input_shape=None):
        super().build(input_shape)
        # The wrapped layer keeps its variables as placeholders: they are never read while this layer calls it.
        # Positions instead of the variables themselves, which Keras would track as weights of this layer too.
        if self._replaced is None:
            trainable = {id(weight) for weight in self.layer.trainable_variables}
            self._replaced = [i for i, weight in enumerate(self.layer.variables) if id(weight) in trainable]
        for i, weight in enumerate(self.layer.variables):
            weight.trainable = weight.trainable and i in self._replaced  # no config says that one weight is frozen
        check_wrappable(self.layer, self.replaced_weights())
        if self.estimator.linear_only and len(self._replaced) < len(self.layer.variables):
            self.estimator = estimators.WeightSampling()  # a part is frozen, and has no noise to be propagated
        self._means, self._log_stddevs = [], []
        for weight in self.replaced_weights():
            name = weight.path.removeprefix(f"{self.layer.path}/").replace("/", "_")
            with tf.init_scope():  # a subclassed model may be built while TensorFlow traces its call
                initial_mean = np.asarray(weight.value)
            log_stddev = initial_log_stddev(initial_mean, self.initial_stddev)
            self._means.append(self.parameterization.create(self, f"{name}_mean", initial_mean))
            if not self.prior.deterministic:
                self._log_stddevs.append(self.parameterization.create(self, f"{name}_log_stddev", log_stddev))
            weight.trainable = False
        if self.complexity is not None:  # as the counter of `VariationalHypernetwork`: each replica's own, and saved
            self._step = counter("step", 0, dtype="int64", synchronization="on_read")
        self.built = True

    def replaced_weights(self) -> list[keras.Variable]:
        """The variables of the wrapped layer whose place the posteriors take, in the order of `posteriors`."""
        return [self.layer.variables[i] for i in self._replaced or ()]

    def draw_for_several_calls(self) -> None:
        """Lets all calls of a step have the same weights, for a layer that is called more than once in it."""
        if not self.estimator.draws_weights:
            self.estimator = estimators.Flipout()

    def posteriors(self, complexity: tf.Tensor) -> list[tfp.distributions.Distribution]:
        """One `tfp.distributions.Normal` of shape (complexities, *weight_shape) for each trainable weight.

        Under a deterministic prior it is a `tfp.distributions.Deterministic`, of stddev 0.

        Args:
            complexity: Tensor of shape (complexities,).

        Returns:
            List in the order of the wrapped layer's `trainable_variables`.
        """
        means = self.means(complexity)
        if self.prior.deterministic:
            return [tfp.distributions.Deterministic(mean) for mean in means]
        values = self._evaluate(self._log_stddevs, complexity)
        stddevs = [stddev_of(value, self._gradient_scale(complexity, value)) for value in values]
        return [tfp.distributions.Normal(mean, stddev) for mean, stddev in zip(means, stddevs, strict=True)]

    def means(self, complexity: tf.Tensor) -> list[tf.Tensor]:
        """The posterior means alone.

        Args:
            complexity: Tensor of shape (complexities,).

        Returns:
            List of tensors of shape (complexities, *weight_shape), in the order of `posteriors`.
        """
        values = self._evaluate(self._means, complexity)
        return [scale_gradient(value, self._gradient_scale(complexity, value)) for value in values]

    def _evaluate(self, variables, complexity):
        encoded = encoded_once(self.complexity_range, tf.convert_to_tensor(complexity))
        return [self.parameterization.evaluate(variable, encoded) for variable in variables]

    def _gradient_scale(self, complexity, value):
        """What the gradient of `value` is multiplied by, for each complexity."""
        if self.complexity is not None:
            return tf.ones((), value.dtype)
        return scale_at(tf.convert_to_tensor(complexity), value)

    def kl(self, posteriors: list[tfp.distributions.Distribution], complexity: tf.Tensor) -> tf.Tensor:
        """KL of all weights together, as `prior` has it.

        Args:
            posteriors: What `posteriors(complexity)` returned.
            complexity: Tensor of shape (complexities,).

        Returns:
            Tensor of shape (complexities,), in nats.
        """
        kls = [
            self.prior.kl(posterior, complexity, channels.of_weight(self.layer, weight))
            for posterior, weight in zip(posteriors, self.replaced_weights(), strict=True)
        ]
        return tf.add_n([tf.cast(kl, tf.float32) for kl in kls])

    def call(self, inputs, *args, complexity=None, seed=None, training=False, options=None, **kwargs):
        check_call(self, complexity, seed)
        if self.complexity is None:
            return self._call_at(complexity, seed, training, options, inputs, *args, **kwargs)
        step = tf.identity(self._step.value)
        if training:
            self._step.assign_add(1)
        seed = noise.of_replica(noise.of_step(0, step))
        outputs, kl = self._call_at([self.complexity], seed, training, options, inputs, *args, **kwargs)
        if not any(loss is self._kl_loss for loss in self._get_own_losses()):  # one called twice is described once
            self._kl_loss = self.prior.kl_weight(tf.constant(self.complexity)) * kl[0] / self.train_size
            self.add_loss(self._kl_loss)
        return outputs

    def _call_at(self, complexity, seed, training, options, inputs, *args, **kwargs):
        complexity = tf.convert_to_tensor(complexity, tf.float32)
        posteriors = self.posteriors(complexity)
        kl = self.kl(posteriors, complexity)

        def function(inputs, weights):
            groups = split_batch(inputs, complexity.shape[0])
            weights = zip(*[tf.unstack(weight) for weight in weights], strict=True)
            shares = batch_shares(complexity.shape[0])
            outputs = [self._call_layer(*part, options or {}) for part in zip(groups, weights, shares, strict=True)]
            return concat_batches(outputs, tf.shape(tree.flatten(inputs)[0])[0])

        if training:
            if seed is None:
                raise ValueError(f"Layer '{self.name}' needs `seed` when training. Received: seed=None")
            seed = tf.random.experimental.stateless_fold_in(seed, self.salt)
            axes = channels.of_tensors(self.layer)
            outputs = self.estimator.sample(function, ((inputs, *args), kwargs), posteriors, seed, axes)
        else:
            outputs = function(((inputs, *args), kwargs), [posterior.loc for posterior in posteriors])
        return (outputs if self._activation is None else with_mask_of(outputs, self._activation(outputs))), kl

    def _call_layer(self, inputs, weights, share, options):
        args, kwargs = inputs
        outputs, losses = call_under(self.layer, self._replaced, weights, *args, **kwargs, **options)
        for loss in losses:  # a mean over a part of the batch counts by the size of the part
            self.add_loss(share * loss)
        return outputs

    def compute_output_spec(self, inputs, *args, complexity=None, seed=None, training=False, options=None, **kwargs):
        check_call(self, complexity, seed)
        outputs = symbolic_outputs(self.layer, inputs, *args, **kwargs, **(options or {}))
        if self.complexity is not None:
            return outputs
        shape = complexity.shape if hasattr(complexity, "shape") else np.shape(complexity)
        return outputs, keras.KerasTensor((shape[0],), dtype="float32")

    def compute_mask(self, inputs, previous_mask):
        return None  # the wrapped layer has set the mask of its outputs itself

    def get_config(self):
        config = super().get_config()
        if self._activation is not None:
            config["layer"]["config"]["activation"] = keras.activations.serialize(self._activation)
        return {
            **config,
            "complexity_range": (self.complexity_range.low, self.complexity_range.high),
            "parameterization": keras.saving.serialize_keras_object(self.parameterization),
            "prior": keras.saving.serialize_keras_object(self.prior),
            "estimator": keras.saving.serialize_keras_object(self.estimator),
            "initial_stddev": self.initial_stddev,
            "salt": self.salt,
            "complexity": self.complexity,
            "train_size": self.train_size,
            "replaced": None if self._replaced is None else list(self._replaced),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        replaced = config.pop("replaced", None)  # which files of earlier versions lack
        layer = super().from_config(config, custom_objects)
        layer._replaced = replaced
        return layer
