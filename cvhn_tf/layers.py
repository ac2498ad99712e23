"""`Variational`: any Keras layer with λ-conditioned random weights."""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from keras import tree

from cvhn_tf import channels, estimators, parameterizations, priors
from cvhn_tf.complexity import ComplexityRange, batch_shares

# Adam moves every variable by the same distance a step. log σ moves by this share of it: where it follows the mean
# slowly, weights that carry nothing lose their mean instead of drowning it in noise, and can be pruned without loss.
_LOG_STDDEV_RATE = 0.25


@keras.saving.register_keras_serializable(package="cvhn_tf")
class Variational(keras.layers.Wrapper):
    """Wraps a Keras layer and replaces its trainable weights by a posterior N(mean(λ), stddev(λ)²).

    Called with several complexities, the layer shares the batch out between them in order: the first part
    of the batch passes through a network of the first complexity, and so on (`cvhn_tf.complexity.batch_shares`).

    Args:
        layer: The `keras.layers.Layer` to wrap. Its current weights, if it is built, become the initial means.
        complexity_range: `ComplexityRange` or pair `(low, high)`.
        parameterization: How the posterior depends on λ; see `cvhn_tf.parameterizations`.
        prior: What the description length is measured against; see `cvhn_tf.priors`.
        estimator: How noise enters in training; see `cvhn_tf.estimators`. Layers that are not linear in their
            weights use `WeightSampling` in the place of one that is for linear layers only.
        initial_stddev: Standard deviation of every weight before training.
        salt: Non-negative integer that sets the noise of this layer apart from that of others with the same seed.
        shared: What the layers of a model share: the result of `parameterization.create_shared`, made once for all
            of them. By default the layer makes its own.

    Raises:
        ValueError: If an argument is out of range, just one of `prior` and `estimator` is deterministic, or the
            layer cannot have random weights.

    Call arguments:
        inputs, *args: Inputs of the wrapped layer.
        complexity: Tensor of shape (complexities,), the λs.
        seed: Integer tensor of shape (2,) for the weight noise. Needed when training.
        training: Whether to draw noise (True) or to use the posterior means (False).
        options: Dict of the wrapped layer's arguments that are no tensors, such as `use_causal_mask`.
        **kwargs: Tensor arguments of the wrapped layer that are given by name.

    Returns:
        A pair: outputs of the wrapped layer, and the KL in nats, a tensor of shape (complexities,).

    Example:

    >>> layer = Variational(keras.layers.Dense(3))
    >>> outputs, kl = layer(np.ones((4, 2)), complexity=np.array([1.0]))
    >>> outputs.shape, kl.shape
    (TensorShape([4, 3]), TensorShape([1]))
    """

    def __init__(
        self,
        layer,
        complexity_range=(1e-2, 1e2),
        parameterization="hierarchical",
        prior="automatic_relevance",
        estimator="local_reparameterization",
        initial_stddev=1e-2,
        salt=0,
        shared=None,
        **kwargs,
    ):
        kwargs.setdefault("name", layer.name)
        # The wrapped layer casts its own inputs; λ must stay in float32 under mixed precision.
        super().__init__(layer, autocast=False, **kwargs)
        self.complexity_range = ComplexityRange.of(complexity_range)
        self.parameterization = parameterizations.get(parameterization)
        self.prior = priors.get(prior)
        self.estimator = estimators.get(estimator)
        self._check_determinism()
        if self.estimator.linear_only and not isinstance(layer, channels.LINEAR_LAYERS):
            self.estimator = estimators.WeightSampling()
        if not initial_stddev > 0:
            raise ValueError(f"Expected `initial_stddev` to be positive. Received: initial_stddev={initial_stddev}")
        self.initial_stddev = float(initial_stddev)
        self.salt = int(salt)
        self.shared = shared or self.parameterization.create_shared(self.prior.posterior_parameters)
        self.supports_masking = True
        self._activation = None
        if isinstance(layer, channels.LINEAR_LAYERS) and layer.activation is not None:
            # Noise enters before the activation, so this wrapper applies it.
            self._activation, layer.activation = layer.activation, keras.activations.linear

    def build(self, input_shape=None):
        super().build(input_shape)
        # The wrapped layer keeps its variables as placeholders: they are never read while this layer calls it.
        # Positions instead of the variables themselves, which Keras would track as weights of this layer too.
        trainable = {id(weight) for weight in self.layer.trainable_variables}
        self._replaced = [i for i, weight in enumerate(self.layer.variables) if id(weight) in trainable]
        self._means, self._log_stddevs = [], []
        for weight in self.replaced_weights():
            self._check(weight)
            name = weight.path.removeprefix(f"{self.layer.path}/").replace("/", "_")
            initial_mean = weight.numpy()
            initial_log_stddev = np.full_like(initial_mean, np.log(self.initial_stddev) / _LOG_STDDEV_RATE)
            self._means.append(self.parameterization.create(self, f"{name}_mean", initial_mean))
            if not self.prior.deterministic:
                self._log_stddevs.append(self.parameterization.create(self, f"{name}_log_stddev", initial_log_stddev))
            weight.trainable = False
        self.built = True

    def replaced_weights(self):
        """The variables of the wrapped layer whose place the posteriors take, in the order of `posteriors`."""
        variables = self.layer.variables
        return [variables[i] for i in self._replaced]

    def _check_determinism(self):
        if self.prior.deterministic != self.estimator.deterministic:
            raise ValueError(
                "Expected both `prior` and `estimator` to be deterministic, such as 'l2' and 'deterministic', or "
                f"neither. Received: prior={type(self.prior).__name__}, estimator={type(self.estimator).__name__}"
            )

    def _check(self, weight):
        problem = None
        if weight.constraint is not None:
            problem = f"weight '{weight.name}' has the constraint {weight.constraint}"
        elif not np.issubdtype(weight.numpy().dtype, np.floating):
            problem = f"weight '{weight.name}' has dtype {weight.dtype}"
        elif self.layer.activity_regularizer is not None:
            problem = f"it has the activity regularizer {self.layer.activity_regularizer}"
        elif getattr(self.layer, "stateful", False):
            problem = "it is stateful"
        if problem:
            raise ValueError(f"Layer '{self.name}' ({type(self.layer).__name__}) cannot be variational: {problem}.")

    def posteriors(self, complexity):
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
        stddevs = [tf.exp(_LOG_STDDEV_RATE * value) for value in self._evaluate(self._log_stddevs, complexity)]
        return [tfp.distributions.Normal(mean, stddev) for mean, stddev in zip(means, stddevs, strict=True)]

    def means(self, complexity):
        """The posterior means alone.

        Args:
            complexity: Tensor of shape (complexities,).

        Returns:
            List of tensors of shape (complexities, *weight_shape), in the order of `posteriors`.
        """
        return self._evaluate(self._means, complexity)

    def _evaluate(self, variables, complexity):
        encoded = self.complexity_range.encode(complexity)
        # The gradient of the loss grows with λ, by four orders of magnitude over the default range. Divided by
        # 1 + λ it is of one size everywhere, and at each λ still points the same way.
        gradient_scale = 1 / (1 + complexity)
        values = [self.parameterization.evaluate(variable, encoded) for variable in variables]
        scales = [tf.reshape(gradient_scale, [-1] + [1] * (len(value.shape) - 1)) for value in values]
        return [
            _scale_gradient(value, tf.cast(scale, value.dtype)) for value, scale in zip(values, scales, strict=True)
        ]

    def kl(self, posteriors, complexity):
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

    def call(self, inputs, *args, complexity, seed=None, training=False, options=None, **kwargs):
        complexity = tf.convert_to_tensor(complexity, tf.float32)
        posteriors = self.posteriors(complexity)
        kl = self.kl(posteriors, complexity)

        def function(inputs, weights):
            groups = _split_batch(inputs, complexity.shape[0])
            weights = zip(*[tf.unstack(weight) for weight in weights], strict=True)
            outputs = [self._call_layer(g, w, options or {}) for g, w in zip(groups, weights, strict=True)]
            return _concat_batches(outputs, tf.shape(tree.flatten(inputs)[0])[0])

        if training:
            if seed is None:
                raise ValueError(f"Layer '{self.name}' needs `seed` when training. Received: seed=None")
            seed = tf.random.experimental.stateless_fold_in(seed, self.salt)
            axes = channels.of_tensors(self.layer)
            outputs = self.estimator.sample(function, ((inputs, *args), kwargs), posteriors, seed, axes)
        else:
            outputs = function(((inputs, *args), kwargs), [posterior.loc for posterior in posteriors])
        return (outputs if self._activation is None else _with_mask_of(outputs, self._activation(outputs))), kl

    def _call_layer(self, inputs, weights, options):
        args, kwargs = inputs
        with keras.StatelessScope(zip(self.replaced_weights(), weights, strict=True)) as scope:
            outputs = self.layer(*args, **kwargs, **options)
        replaced = set(self._replaced)
        for i, variable in enumerate(self.layer.variables):
            # What the layer assigned to its other variables, such as the state of a dropout's seed.
            value = None if i in replaced else scope.get_current_value(variable)
            if value is not None:
                variable.assign(value)
        return outputs

    def compute_output_spec(self, inputs, *args, complexity, seed=None, training=False, options=None, **kwargs):
        outputs = self.layer.compute_output_spec(inputs, *args, **kwargs, **(options or {}))
        return outputs, keras.KerasTensor((complexity.shape[0],), dtype="float32")

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
        }


@tf.custom_gradient
def _scale_gradient(value, scale):
    return tf.identity(value), lambda gradient: (gradient * scale, None)


def _split_batch(inputs, parts):
    """Cuts every tensor of a nested structure along its first axis, as `batch_shares` has it, no part being empty.

    Where there are fewer examples than parts, as in a last batch, zeros stand for those that are missing: TensorFlow's
    convolutions on CPU fail without examples. `_concat_batches` drops what comes of them.
    """
    if parts == 1:
        return [inputs]
    tensors = tree.flatten(inputs)
    batch = tf.shape(tensors[0])[0]
    missing = tf.maximum(parts - batch, 0)
    beyond_one_each = tf.cast(batch + missing - parts, tf.float32)
    ends = tf.range(1, parts + 1) + tf.cast(
        tf.round(tf.cumsum(tf.constant(batch_shares(parts))) * beyond_one_each), tf.int32
    )
    sizes = ends - tf.concat([[0], ends[:-1]], 0)

    def cut(tensor):
        padded = tf.pad(tensor, [[0, missing], *[[0, 0]] * (len(tensor.shape) - 1)])
        return tf.split(padded, sizes, num=parts)

    split = []
    for tensor in tensors:
        pieces = cut(tensor)
        if getattr(tensor, "_keras_mask", None) is not None:
            for piece, mask in zip(pieces, cut(tensor._keras_mask), strict=True):
                piece._keras_mask = mask
        split.append(pieces)
    return [tree.pack_sequence_as(inputs, list(pieces)) for pieces in zip(*split, strict=True)]


def _concat_batches(parts, batch):
    """Puts the outputs of the parts together again: of the first `batch` examples, the others being padding."""
    if len(parts) == 1:
        return parts[0]

    def concat(*tensors):
        outputs = tf.concat(tensors, 0)[:batch]
        masks = [getattr(tensor, "_keras_mask", None) for tensor in tensors]
        if masks[0] is not None:
            outputs._keras_mask = tf.concat(masks, 0)[:batch]
        return outputs

    return tree.map_structure(concat, *parts)


def _with_mask_of(source, tensor):
    tensor._keras_mask = getattr(source, "_keras_mask", None)
    return tensor
