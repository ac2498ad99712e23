"""How sure a prediction is: networks drawn from the posterior, and how far their outputs agree.

Classification, with probabilities p₁ … p_S of S drawn networks, everything in nats:

    entropy            = H(mean p)               # all that is unsure about the class
    mutual information = H(mean p) − mean H(p)   # the part that knowing the weights would settle

What is left, mean H(p), is noise in the data itself, which no further training examples would take away.
"""

import dataclasses
import random
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from cvhn_tf.checks.arguments import check_integer
from cvhn_tf.checks.arrays import as_input_arrays
from cvhn_tf.checks.finite_weights import check_finite_weights
from cvhn_tf.complexity import ComplexityRange
from cvhn_tf.tensors.paths import by_path

OUTPUTS = ("probabilities", "logits", "values")


class _HasPosterior(Protocol):
    """What predictions are drawn from: a `VariationalHypernetwork`, which stands above this module."""

    complexity: float
    complexity_range: ComplexityRange

    def at(self, complexity: float, structure: Mapping[str, Any] | None = None) -> keras.Model: ...

    def posterior(
        self, complexity: float, structure: Mapping[str, Any] | None = None
    ) -> dict[str, tfp.distributions.Normal]: ...

    def structure(self, complexity: float) -> dict[str, tfp.distributions.Distribution]: ...


@dataclasses.dataclass(frozen=True)
class ClassPrediction:
    """Prediction of a class, averaged over networks drawn from the posterior.

    Args:
        mean: Mean probabilities, shape (examples, …, classes), or (examples, …, 1) for the probability of class 1.
        entropy: Entropy of `mean` in nats, shape (examples, …): from 0 to log(classes).
        mutual_information: Between class and weights, in nats, shape (examples, …): from 0 to `entropy`.
    """

    mean: np.ndarray
    entropy: np.ndarray
    mutual_information: np.ndarray


@dataclasses.dataclass(frozen=True)
class ValuePrediction:
    """Prediction of real values, averaged over networks drawn from the posterior.

    Args:
        mean: Mean output, shape (examples, …).
        variance: Variance of the output over the posterior, shape (examples, …), in the squared unit of the output.
            It is the uncertainty about the weights alone: the variance of the noise in the data adds to it.
    """

    mean: np.ndarray
    variance: np.ndarray


def predict_distribution(
    model: _HasPosterior,
    x: Any,
    complexity: float | None = None,
    samples: int = 32,
    *,
    outputs: str = "probabilities",
    batch_size: int = 256,
    seed: int | None = None,
) -> ClassPrediction | ValuePrediction:
    """Averages the predictions of networks drawn from the posterior at a complexity.

    Each draw sets the weights of one plain network, which predicts all of `x`: what layers do in training, such as
    dropout, takes no part. Where the target has choices, each draw has a structure of its own.

    Args:
        model: `cvhn_tf.VariationalHypernetwork`.
        x: Array of examples, or a list or dict of arrays for several inputs.
        complexity: λ of the posterior; `model.complexity` by default.
        samples: Number of networks, at least 2.
        outputs: What the target gives: `"probabilities"` or `"logits"` of classes on its last axis (one column means
            those of class 1 against class 0), or real `"values"`.
        batch_size: Examples per step.
        seed: Non-negative integer: equal seeds give equal draws. Drawn at random by default.

    Returns:
        `ClassPrediction`, or `ValuePrediction` where `outputs="values"`.

    Raises:
        ValueError: If an argument is out of range, `x` does not fit the model, it or a weight is not finite, or the
            model has several outputs, all before a network is drawn; or if outputs that should be probabilities are
            none.

    Reference: [Houlsby et al., 2011](https://arxiv.org/abs/1112.5745) on mutual information between class and weights,
    [Depeweg et al., 2018](https://arxiv.org/abs/1710.07283) on what the two parts of the uncertainty mean.
    """
    complexity = model.complexity if complexity is None else model.complexity_range.check(complexity)
    if outputs not in OUTPUTS:
        raise ValueError(f"Expected `outputs` to be one of {OUTPUTS}. Received: outputs={outputs!r}")
    check_integer("samples", samples, at_least=2)
    check_integer("batch_size", batch_size, at_least=1)
    if seed is not None:
        check_integer("seed", seed, at_least=0)
    network = model.at(complexity)
    check_finite_weights("model", network)
    if len(network.outputs) != 1:
        raise ValueError(f"Expected a target with one output. Received: a target with {len(network.outputs)} outputs")
    as_input_arrays(network, x, "x")
    seed = random.randint(0, 2**31 - 1) if seed is None else int(seed) % 2**31
    draws = _predictions(model, network, complexity, x, samples, batch_size, seed)
    if outputs == "values":
        return summarize_values(draws)
    return summarize_classes(_probabilities(draw, outputs) for draw in draws)


def summarize_classes(draws: Iterable[np.ndarray]) -> ClassPrediction:
    """Mean, entropy and mutual information of some predictions of classes.

    Args:
        draws: Iterable of float arrays of equal shape (…, classes), the probabilities of one network each; or
            (…, 1), the probability of class 1.
    """
    mean, mean_entropy = np.zeros(()), np.zeros(())
    for count, probabilities in enumerate(draws, 1):
        mean = mean + (probabilities - mean) / count
        mean_entropy = mean_entropy + (_entropy(probabilities) - mean_entropy) / count
    entropy = _entropy(mean)
    # Rounding may leave a difference of equal numbers below zero.
    return ClassPrediction(mean, entropy, np.maximum(entropy - mean_entropy, 0.0))


def summarize_values(draws: Iterable[np.ndarray]) -> ValuePrediction:
    """Mean and variance of some predictions of real values.

    Args:
        draws: Iterable of at least two float arrays of equal shape, the outputs of one network each.

    Reference: [Welford, 1962](https://doi.org/10.1080/00401706.1962.10490022), which needs each draw once and does not
    lose a small variance beside a large mean.
    """
    mean, squares = np.zeros(()), np.zeros(())
    for count, values in enumerate(draws, 1):
        difference = values - mean
        mean = mean + difference / count
        squares = squares + difference * (values - mean)
    return ValuePrediction(mean, squares / (count - 1))


def _predictions(model, network, complexity, x, samples, batch_size, seed):
    """Gives the outputs of each drawn network, one array in float64 after the other."""
    choices = model.structure(complexity)
    networks = {} if choices else {(): _with_posteriors(network, model.posterior(complexity))}
    examples = len(keras.tree.flatten(x)[0])
    batches = [
        keras.tree.map_structure(lambda array, start=start: np.asarray(array)[start : start + batch_size], x)
        for start in range(0, examples, batch_size)
    ]
    for sample in range(samples):
        structure = {
            # Of seeds apart from those of the weights.
            name: q.sample(seed=tf.random.experimental.stateless_fold_in([seed, sample], -1 - i)).numpy()
            for i, (name, q) in enumerate(choices.items())
        }
        key = tuple(np.concatenate([np.ravel(chosen) for chosen in structure.values()])) if structure else ()
        if key not in networks:
            of_structure = complexity, structure
            networks[key] = _with_posteriors(model.at(*of_structure), model.posterior(*of_structure))
        network, draw = networks[key]
        draw(tf.constant([seed, sample]))
        outputs = [keras.tree.flatten(network.predict_on_batch(batch))[0] for batch in batches]
        yield np.concatenate(outputs).astype("float64")


def _with_posteriors(network, posteriors):
    """A network, and a function that draws its weights by a seed: traced, since it runs many times."""
    drawn = [(variable, posteriors[path]) for path, variable in by_path(network).items() if path in posteriors]

    @tf.function(autograph=False)
    def draw(seed):
        for i, (variable, posterior) in enumerate(drawn):
            variable.assign(posterior.sample(seed=tf.random.experimental.stateless_fold_in(seed, i)))

    return network, draw


def _probabilities(draw, outputs):
    if outputs == "logits":
        return _sigmoid(draw) if draw.shape[-1] == 1 else _softmax(draw)
    off_by = np.abs(draw.sum(axis=-1) - 1).max() if draw.shape[-1] > 1 else 0.0
    if not (draw.min() >= 0 and draw.max() <= 1 + 1e-3 and off_by <= 1e-2):  # float16 rounds
        raise ValueError(
            "Expected the model to give probabilities, between 0 and 1 and with a sum of 1 over the classes; pass "
            '`outputs="logits"` or `outputs="values"` if it gives something else. '
            f"Received: outputs between {draw.min():g} and {draw.max():g}"
        )
    return draw / draw.sum(axis=-1, keepdims=True) if draw.shape[-1] > 1 else np.minimum(draw, 1.0)


def _entropy(probabilities):
    if probabilities.shape[-1] == 1:
        probabilities = np.concatenate([probabilities, 1 - probabilities], axis=-1)
    logarithms = np.log(probabilities, out=np.zeros_like(probabilities), where=probabilities > 0)
    return -(probabilities * logarithms).sum(axis=-1)


def _softmax(logits):
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def _sigmoid(logits):
    return 0.5 * (1 + np.tanh(0.5 * logits))
