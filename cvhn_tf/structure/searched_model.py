"""A model whose target may have choices: what they add to its inputs, to its loss and to what is asked of it.

With z the choices, β the weight of the warm-up and N the number of training examples,

    loss = NLL + λ · β · [Σ_layers P(layer is used | λ) · KL_layer(λ) + KL(q(z | λ) ‖ p(z))] / N
         + λ · β · price · max(0, E_q[cost(z)] − budget) / cost of all paths

A choice within a candidate counts by the probability that it is used, by the chain rule of the KL.

Logits learn by a loss that has temperature · KL(q(z | λ) ‖ p(z)) beside it, whose least q(z | λ) is that of Gibbs,
∝ exp(−loss(z) / temperature): what learns fastest is ahead at first, and as the temperature falls, what is best.

Reference: [Rose, 1998](https://doi.org/10.1109/5.726788), deterministic annealing.
"""

import keras
import tensorflow as tf

from cvhn_tf import parameterizations
from cvhn_tf.complexity import ComplexityRange
from cvhn_tf.structure.arguments import StructureArguments
from cvhn_tf.structure.baseline import Baseline
from cvhn_tf.structure.choices import OptionalPaths
from cvhn_tf.structure.costs import Costs
from cvhn_tf.structure.one_path import run_one_path
from cvhn_tf.structure.posterior import StructurePosterior
from cvhn_tf.structure.usage import Usage
from cvhn_tf.tensors.counters import counter
from cvhn_tf.training.graph_model import GraphModel


class SearchedModel(GraphModel):
    """Base class: a subclass has the attributes below, and then calls `_search_structure`."""

    complexity_range: ComplexityRange
    complexity_samples: int
    _structure: StructurePosterior | None = None
    _baseline: Baseline | None = None
    _drawn: tuple | None = None  # λ and log q(z | λ) of a call, for the loss of the same step
    _step: keras.Variable

    def _search_structure(self, usage: Usage | None, arguments: StructureArguments, parameterization) -> None:
        """Makes the posterior of the choices, if there are any.

        Args:
            usage: Of the target; None if it has no choices.
            arguments: What the user said.
            parameterization: That of the weights.
        """
        self._structure_arguments = arguments
        if usage is None:
            arguments.check_none_given()
            return
        self._structure_arguments = arguments = arguments.with_defaults(self.complexity_samples)
        self._usage = usage
        self._drawn_inputs = 3
        self._costs = Costs(usage, arguments.structure_cost)
        # A gate would close on logits of zero, where all paths are alike, and what layers share is shaped by weights.
        constant = isinstance(parameterization, parameterizations.Constant)
        self._structure = StructurePosterior(
            [choice.name for choice in usage.choices],
            usage.sizes,
            [isinstance(choice, OptionalPaths) for choice in usage.choices],
            self.complexity_range,
            parameterization if constant else parameterizations.Hierarchical(),
            arguments.paths == "one",
            name="structure",
        )
        self._structure.build()
        self._temperature_steps = counter("temperature_steps", 0)
        if arguments.paths == "one":
            self._baseline = Baseline(name="baseline")
            self._baseline.build()
        self._cost_metric = keras.metrics.Mean("structure_cost")

    def _plan_temperature(self, data, epochs: int) -> None:
        """Lets the temperature fall over a `fit`; once it has fallen, it stays low.

        Args:
            data: `TrainingData` of the fit.
            epochs: Number of epochs.

        Raises:
            ValueError: If the number of steps cannot be told from the data.
        """
        if self._structure is not None and not 0 < self._temperature_steps.numpy() <= self._step.numpy():
            self._temperature_steps.assign(epochs * data.count_batches("the temperature of choices falls over"))

    def _structure_inputs(self, complexities, seed, training, speed=1.0) -> list:
        """What the graph takes of the structure: a draw in training, else the most probable one.

        Args:
            complexities: Tensor of shape (complexities,).
            seed: Integer tensor of shape (2,).
            training: Whether to draw.
            speed: Factor of the gradients of the logits.
        """
        self._drawn = None
        if self._structure is None:
            return []
        if not training:
            return [self._structure.mode(complexities)]
        if self._baseline is not None:
            draw, log_probability = self._structure.sample_one(complexities, seed, speed)
            self._drawn = complexities, log_probability
            return [draw]
        return [self._structure.sample(complexities, seed, speed)]

    def _annealing(self, complexities, step, speed):
        """Zero, with the gradient of the temperature times the KL of the choices.

        Args:
            complexities: Tensor of shape (complexities,).
            step: Integer tensor, the number of the step.
            speed: Factor of the gradients of the logits.
        """
        first, last = self._structure_arguments.temperature
        steps = self._temperature_steps.value
        progress = tf.where(steps > 0, tf.minimum(tf.cast(step, tf.float32) / tf.maximum(steps, 1.0), 1.0), 1.0)
        kl = tf.reduce_mean(tf.add_n(self._structure.kls(complexities, speed)))
        loss = first * (last / first) ** progress * kl
        return loss - tf.stop_gradient(loss)

    def _run_graph(self, inputs, training):
        """Outputs and KLs of the graph; under `paths="one"` only what the draw reads is computed."""
        if self._baseline is None:
            return self._graph(inputs, training=training)
        outputs, losses = run_one_path(self._graph, inputs, training)
        for loss in losses:
            self.add_loss(loss)
        return outputs

    def _with_gradient_of_draw(self, loss, nll):
        """The loss, with a gradient of the logits where the loss itself has none, of one path that was drawn.

        Args:
            loss: Scalar tensor.
            nll: Its part that depends on the draw, in nats for each example.
        """
        drawn, self._drawn = self._drawn, None
        if drawn is None:
            return loss
        complexities, log_probability = drawn
        advantage = self._baseline.advantage(nll, self.complexity_range.encode(complexities))
        surrogate = tf.reduce_sum(tf.cast(advantage, loss.dtype) * tf.cast(log_probability, loss.dtype))
        return loss + (surrogate - tf.stop_gradient(surrogate)) / tf.distribute.get_strategy().num_replicas_in_sync

    def _describe(self, kls, complexities, speed=1.0):
        """The whole KL in nats and what the structure costs, two tensors of shape (complexities,).

        Args:
            kls: KL of each layer, in the order of the graph.
            complexities: Tensor of shape (complexities,).
            speed: Factor of the gradients of the logits.
        """
        if self._structure is None:
            return tf.add_n(kls), None
        of_paths = [tf.unstack(part, axis=-1) for part in self._structure.probabilities(complexities, speed)]
        of_layers, of_calls = self._usage.probabilities(of_paths)
        choices = [self._usage.places[id(choice)] for choice in self._usage.choices]
        kls = [*kls, *(tf.cast(kl, kls[0].dtype) for kl in self._structure.kls(complexities, speed))]
        described = zip([*self._usage.described, *choices], kls, strict=True)
        kl = tf.add_n([tf.cast(of_layers[place], kl.dtype) * kl for place, kl in described])
        return kl, self._costs.expected(of_layers, of_calls) * tf.ones_like(complexities)

    def _describe_choices(self) -> str:
        """One more line for the end of a summary; empty if the target has no choices."""
        if self._structure is None:
            return ""
        choices = ", ".join(
            f"'{n}' of {size}" for n, size in zip(self._structure.names, self._usage.sizes, strict=True)
        )
        return f"\n Choices: {choices} paths"

    def _price(self, cost):
        """What a structure's cost adds to the loss at λ = 1, in nats for each example."""
        arguments = self._structure_arguments
        return arguments.price * tf.nn.relu(cost - arguments.budget) / self._costs.total
