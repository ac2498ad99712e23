"""`VariationalHypernetwork`: one model that holds the target's posterior at every complexity.

The idea in five lines, for a step with complexities λ and a batch (x, y) of N training examples:

    λ  = complexity_distribution.sample(...)       # one per stratum
    y', kl = graph([x, λ, seed])                   # the target, its weights drawn from N(μ(λ), σ²(λ))
    loss = NLL(y, y') + mean(λ · kl) · β / N       # the negative evidence lower bound, weighted by prior.kl_weight(λ)
    at(λ)                                          # afterwards: a plain Keras model with the weights μ(λ)
    posterior(λ)                                   # and their distribution, for pruning by |μ| / σ
"""

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from cvhn_tf import agreement, estimators, parameterizations, predictive, priors
from cvhn_tf.architecture import make_network
from cvhn_tf.checks.arguments import check_initial_stddev, check_integer, check_truth
from cvhn_tf.checks.finite_weights import check_finite_variables
from cvhn_tf.complexity import ComplexityDistribution, ComplexityRange, batch_shares
from cvhn_tf.generating_model import GeneratingModel
from cvhn_tf.graph import variational_graph
from cvhn_tf.structure.arguments import StructureArguments
from cvhn_tf.tensors import noise
from cvhn_tf.tensors.counters import counter
from cvhn_tf.training.data import TrainingData, check_finite_others
from cvhn_tf.training.kl_warmup import check_kl_warmup, kl_warmup_weight
from cvhn_tf.workers import count_workers, of_chief


@keras.saving.register_keras_serializable(package="cvhn_tf")
class VariationalHypernetwork(GeneratingModel):
    """Trains the posterior of all weights of a Keras model, for a whole range of complexities at once.

    Args:
        target: Built functional or Sequential Keras model. It is copied, not changed; its weights become the
            initial posterior means.
        pretrained: Whether the target's weights are trained, and to be kept in the first steps: their noise then begins
            relative to what they are. `default_optimizer(..., pretrained=True)` goes with it.
        complexity_range: Pair `(low, high)` of the complexities λ to train on, 0 < low < high. λ weighs the
            description length in the loss; λ = 1 is the evidence lower bound itself.
        complexity_distribution: Distribution of λ in training, cut off at the ends of the range: a distribution
            from `tfp.distributions` that has scalar parameters and a quantile function, or its config; or
            `"log_uniform"`, the default but under `OptimalResponse`, which has a log-normal one.
        parameterization: How the posterior depends on λ: `"optimal_response"`, the default; `"gated"`, that of priors
            without `response`, as `"group_relevance"`; `"hierarchical"`, `"piecewise_linear"`, `"linear"`,
            `"constant"`, `"low_rank"`, `"generated"`; or an instance from `cvhn_tf.parameterizations`.
        prior: `"automatic_relevance"`, `"group_relevance"`, `"normal"`, `"scaled_normal"`, `"log_uniform"`, `"l2"`, or
            an instance from `cvhn_tf.priors`.
        estimator: `"local_reparameterization"`, `"flipout"`, `"weight_sampling"`, `"deterministic"` (with the prior
            `"l2"` and no other), or an instance from `cvhn_tf.estimators`.
        complexity_samples: Number of complexities per training step; steps in a row spread them evenly over the range.
            The batch is shared out between several, the smallest getting twice as much as the largest.
        train_size: Number of training examples N. By default `fit` takes it from its data. Loops of your own need it:
            until N is known, the loss is the NLL alone.
        kl_warmup: Share of the training steps over which the weight β of the KL grows linearly from 0 to 1,
            or a number of steps if it is an integer. 0 turns the warm-up off. A share counts in `fit`, which knows how
            many steps there are; loops of your own and `train_on_batch` take a number.
        initial_stddev: Standard deviation of every weight before training, in [1e-8, 1e4], or `"relative"`: 0.05 times
            the root mean square of each tensor, or under `OptimalResponse` half of what its formula says. By default
            `"relative"` there and where `pretrained`, else 0.004. It is that of the geometric middle of the range.
        seed: Seed of the complexities and the weight noise; drawn at random by default.
        structure_cost: What a structure costs, where the target has choices: `"multiply_adds"` for one example, the
            default; `"parameters"`; or a dict of what a call of each layer costs, such as milliseconds on a device.
        price: Nats for each example that all paths of all choices together cost at λ = 1; 0.05 by default. λ and the
            warm-up weigh it as they weigh the KL.
        budget: Cost below which a structure pays nothing, in the unit of `structure_cost`; 0 by default.
        temperature: Pair, of the first and the last step of the first `fit`, in nats; (0.3, 0.001) by default. It falls
            geometrically. A path that is worse by one temperature, in loss and price, is drawn a third as often.
        paths: `"all"`, the default, computes every path of a choice in every step, and choices learn from how the loss
            changes with each; `"one"` computes only those of a draw, which takes the time and memory of one network,
            and choices learn from the loss of the step.

    Raises:
        ValueError: If an argument is out of range, the target cannot be generated, or just one of `prior` and
            `estimator` is deterministic, or choices are given a cost that cannot be told.

    Example:

    ```python
    target = keras.Sequential([keras.Input((64,)), keras.layers.Dense(300, "relu"), keras.layers.Dense(10)])
    model = cvhn_tf.VariationalHypernetwork(target)
    model.compile(cvhn_tf.PivotAdam(), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, epochs=10)
    small = model.at(complexity=10.0)
    ```

    Reference: O. Grebenkova, O. Bakhteev, V. Strijov, "Variational deep learning model optimization with
    complexity control"; for the structure [Veniat & Denoyer, 2018](https://arxiv.org/abs/1706.00046) and
    [Xie et al., 2018](https://arxiv.org/abs/1812.09926).
    """

    def __init__(
        self,
        target: keras.Model,
        *,
        pretrained: bool = False,
        complexity_range: ComplexityRange | tuple[float, float] = (1e-2, 1e2),
        complexity_distribution: Any = None,
        parameterization: str | dict[str, Any] | parameterizations.Parameterization | None = None,
        prior: str | dict[str, Any] | priors.Prior = "automatic_relevance",
        estimator: str | dict[str, Any] | estimators.Estimator = "local_reparameterization",
        complexity_samples: int = 1,
        train_size: int | None = None,
        kl_warmup: int | float = 0.3,
        initial_stddev: float | str | None = None,
        seed: int | None = None,
        structure_cost: str | Mapping[str, float] | None = None,
        price: float | None = None,
        budget: float | None = None,
        temperature: Sequence[float] | None = None,
        paths: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.complexity_range = ComplexityRange.of(complexity_range)
        self.prior = priors.get(prior)
        self.parameterization = parameterizations.by_name.get_for(self.prior, parameterization)
        if complexity_distribution is None:
            complexity_distribution = self.parameterization.complexity_distribution(self.complexity_range)
        self.complexity_distribution = ComplexityDistribution.of(complexity_distribution, self.complexity_range)
        self.estimator = estimators.get(estimator)
        self.complexity_samples = check_integer("complexity_samples", complexity_samples)
        self.train_size = None if train_size is None else check_integer("train_size", train_size)
        self.kl_warmup = check_kl_warmup(kl_warmup)
        self.pretrained = check_truth("pretrained", pretrained)
        if initial_stddev is None:
            initial_stddev = "relative" if pretrained else self.parameterization.initial_stddev
        self.initial_stddev = check_initial_stddev(initial_stddev)
        seed = random.randint(1, 2**31 - 1) if seed is None else check_integer("seed", seed, at_least=0, below=2**31)
        self.seed = int(of_chief(self.distribute_strategy, seed))  # λ is drawn jointly

        arguments = StructureArguments(structure_cost, price, budget, temperature, paths)
        self._graph, self._target, usage = variational_graph(
            target,
            complexity_range=self.complexity_range,
            parameterization=self.parameterization,
            prior=self.prior,
            estimator=self.estimator,
            initial_stddev=self.initial_stddev,
            shared=self.parameterization.create_shared(self.prior.posterior_parameters),
        )
        self._search_structure(usage, arguments, self.parameterization)
        agreement.check_agreement(target, self._graph, usage)
        self.input_names = [tensor.name for tensor in self.inputs]
        self.output_names = self._target.output_names
        # Each replica counts by itself: a count in common would make replicas take turns within `call`, and mix up
        # the losses that they have added.
        self._step = counter("step", 0, dtype="int64", synchronization="on_read")
        # Weights, not Python numbers: traced functions see their changes, and they are saved.
        self._complexity = counter("complexity", self.complexity_range.default_complexity)
        self._train_size = counter("train_size", self.train_size or 0)
        self._warmup_steps = counter("warmup_steps", self.kl_warmup if isinstance(self.kl_warmup, int) else 0)
        self._complexity_metric = keras.metrics.Mean("complexity")
        self._kl_metric = keras.metrics.Mean("kl_bits")
        self._nll_metric = keras.metrics.Mean("nll")
        self.built = True

    @property
    def complexity(self) -> float:
        """The λ that `predict`, `evaluate` and calls without `complexity` use: 1 at first, where in the range."""
        return float(self._complexity.numpy())

    @complexity.setter
    def complexity(self, value):
        self._complexity.assign(self.complexity_range.check(value))

    def call(self, inputs, complexity=None, training=False):
        """Outputs of the target network.

        Args:
            inputs: Inputs of the target.
            complexity: λ, a number in the range. By default `self.complexity`, or when training a draw of
                `complexity_samples` λs, among which the batch is shared out.
            training: Whether to draw the weights (True) or to use the posterior means (False).
        """
        step = tf.identity(self._step.value)
        seed = noise.of_step(self.seed, step)
        if complexity is not None:
            complexities = tf.reshape(self.complexity_range.as_tensor(complexity), [1])
        elif training:
            complexities = self.complexity_distribution.sample(self.complexity_samples, seed)
        else:
            complexities = tf.reshape(self._complexity.value, [1])
        noise_seed = noise.of_replica(seed)  # λ in contrast is drawn jointly
        beta = kl_warmup_weight(step, self._warmup_steps.value)
        # What is chosen before its weights have learned is what learns fastest: choices wait until β is 1.
        speed = tf.cast(beta >= 1, tf.float32)
        drawn = [complexities, noise_seed, *self._structure_inputs(complexities, noise_seed, training, speed)]
        outputs, kls = self._run_graph([*self._target.flatten_inputs(inputs), *drawn], training)
        kl, cost = self._describe(kls, complexities, speed)
        shares = tf.constant(batch_shares(complexities.shape[0]))  # the NLL has the same
        kl_loss = tf.reduce_sum(shares * self.prior.kl_weight(complexities) * kl) * beta
        # N is unknown when a model is evaluated that was never fitted; its loss is then the NLL alone.
        self.add_loss(tf.math.divide_no_nan(kl_loss, self._train_size.value))
        if cost is not None:
            paid = tf.reduce_sum(shares * complexities * self._price(cost)) * beta
            self.add_loss(paid + self._annealing(complexities, step, speed))
            self._cost_metric.update_state(cost, shares)
        self._complexity_metric.update_state(complexities, shares)
        self._kl_metric.update_state(kl / math.log(2), shares)
        if training:
            self._step.assign_add(1)
        return outputs

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        # Keras has divided its sum by the number of replicas; the KL stands in `losses` undivided. They are empty where
        # Keras only builds its metrics.
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        examples = tf.shape(keras.tree.flatten(y_pred)[0])[0]
        nll = loss * replicas - sum(tf.cast(added, loss.dtype) for added in self.losses)
        self._nll_metric.update_state(nll, examples)
        return self._with_gradient_of_draw(loss, nll)

    def fit(self, x=None, y=None, *, batch_size=None, epochs=1, validation_split=0.0, steps_per_epoch=None, **kwargs):
        """As `keras.Model.fit`, with N and the warm-up taken from the data.

        Raises:
            ValueError: If N cannot be known from the data and `train_size` was not given, or if the warm-up is
                a share of a number of steps that cannot be known, or if an argument is out of range, or if arrays hold
                NaN or infinity, do not fit the target's inputs, or are labels of classes that there are not, or if a
                weight is not finite. All before the first step.
        """
        workers = count_workers(self.distribute_strategy)
        check_integer("epochs", epochs)
        check_finite_variables("model", self, self.trainable_variables)
        data = TrainingData(x, y, batch_size, validation_split, steps_per_epoch, workers)
        data.check_inputs(self.inputs, self._target.flatten_inputs)
        data.check_labels(getattr(self, "loss", None), self.outputs, kwargs.get("validation_data"))
        check_finite_others(**kwargs)
        self._train_size.assign(self.train_size or data.count_examples())
        is_over = 0 < self._warmup_steps.numpy() <= self._step.numpy()  # a second `fit` does not lower β again
        if not isinstance(self.kl_warmup, int) and not is_over:
            self._warmup_steps.assign(math.ceil(self.kl_warmup * epochs * data.count_batches()))
        self._plan_temperature(data, epochs)
        kwargs |= {"validation_split": validation_split, "steps_per_epoch": steps_per_epoch}
        return super().fit(x, y, batch_size=batch_size, epochs=epochs, **kwargs)

    def train_on_batch(self, *args, **kwargs):
        """As `keras.Model.train_on_batch`; needs `train_size`, or a `fit` before it."""
        if not self._train_size.numpy():
            raise ValueError(
                "The number of training examples N, which scales the description length, cannot be told from one "
                "batch. Expected `train_size` in `VariationalHypernetwork(...)`. Received: train_size=None"
            )
        return super().train_on_batch(*args, **kwargs)

    def export(self, *args, **kwargs):
        """Refused: there is one network for each complexity, and `at(complexity)` is a plain model that exports."""
        raise ValueError("Expected one network. Received: a hypernetwork; export `model.at(complexity)` instead")

    def summary(self, line_length=None, positions=None, print_fn=None, expand_nested=True, **kwargs):
        """As `keras.Model.summary`, with the target's layers, and how large target and hypernetwork are."""
        super().summary(line_length, positions, print_fn, expand_nested, **kwargs)
        told = self._target.describe_parameters(self._graph, self.parameterization, self.pretrained)
        told += self._describe_choices()
        (print_fn or print)(told)

    def predict_distribution(
        self, x: Any, complexity: float | None = None, samples: int = 32, **kwargs: Any
    ) -> predictive.ClassPrediction | predictive.ValuePrediction:
        """Predictions averaged over networks drawn from the posterior, and how sure they are.

        As `cvhn_tf.predictive.predict_distribution(self, x, complexity, samples, **kwargs)`, where the arguments and
        errors are described: a `ClassPrediction` of mean probabilities, entropy and mutual information, or, where
        `outputs="values"`, a `ValuePrediction` of mean and variance.
        """
        return predictive.predict_distribution(self, x, complexity, samples, **kwargs)

    def get_config(self):
        return {
            "name": self.name,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
            "target": self._target.config,
            "pretrained": self.pretrained,
            "complexity_range": (self.complexity_range.low, self.complexity_range.high),
            "complexity_distribution": self.complexity_distribution.get_config(),
            "parameterization": keras.saving.serialize_keras_object(self.parameterization),
            "prior": keras.saving.serialize_keras_object(self.prior),
            "estimator": keras.saving.serialize_keras_object(self.estimator),
            "complexity_samples": self.complexity_samples,
            "train_size": self.train_size,
            "kl_warmup": self.kl_warmup,
            "initial_stddev": self.initial_stddev,
            "seed": self.seed,
            **self._structure_arguments.get_config(),
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        with agreement.granted():
            return cls(make_network(config.pop("target")), **config)
