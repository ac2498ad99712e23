"""What a trained hypernetwork gives at a complexity: networks, and the posterior of their weights and structure."""

import math
import numbers
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from cvhn_tf.checks.arguments import is_finite_number
from cvhn_tf.complexity.description import complexity_of_length
from cvhn_tf.structure.searched_model import SearchedModel
from cvhn_tf.target import Target

# Of so many structures the configs are kept, those that were asked for last.
_KEPT = 32


class GeneratingModel(SearchedModel):
    """Base class: a `SearchedModel` that has a `Target` whose weights its layers generate."""

    _target: Target
    _decided: tuple = ()  # pairs of the paths of a structure and its `Target`

    def posterior(
        self, complexity: float, structure: Mapping[str, Any] | None = None
    ) -> dict[str, tfp.distributions.Normal]:
        """The posterior N(μ(λ), σ²(λ)) of each weight, by the weight's path in `at(complexity, structure)`.

        Where nested models have layers of the same name, paths are made distinct by `_2`, `_3` and so on.

        Under a deterministic prior each is a `tfp.distributions.Deterministic`: its stddev is 0.

        Raises:
            ValueError: If `complexity` is no number in the range, or `structure` is none of the target.
        """
        complexities = tf.constant([self.complexity_range.check(complexity)], tf.float32)
        target = self._target_at(complexity, structure)
        posteriors = target.of_each_weight(lambda layer: layer.posteriors(complexities))
        return {path: posterior[0] for path, posterior in posteriors.items()}

    def at(self, complexity: float, structure: Mapping[str, Any] | None = None) -> keras.Model:
        """A new plain Keras model of the target's architecture that holds the posterior means at a λ in the range.

        Of a target with choices it has the most probable structure: neither `Choice` and `OptionalPaths` layers nor
        what only paths need that were not chosen.

        Args:
            complexity: λ.
            structure: Another structure: a dict from the names of some choices to the index of a `Choice`'s path, or
                to a truth value for each path of `OptionalPaths`. Those that it does not name are the most probable.

        Raises:
            ValueError: If `complexity` is no number in the range, or `structure` is none of the target.
        """
        complexities = tf.constant([self.complexity_range.check(complexity)], tf.float32)
        target = self._target_at(complexity, structure)
        means = target.of_each_weight(lambda layer: layer.means(complexities))
        return target.make_network({path: mean[0] for path, mean in means.items()}, complexities)

    def description_length(self, complexity: float) -> float:
        """KL(q(w | λ) ‖ p(w)) of the whole posterior in bits.

        Under a fixed prior this is the bits-back code length of the weights. Under `AutomaticRelevance` and
        `GroupRelevance`, whose priors are fitted to the weights, and under `LogUniform`, which is improper, it measures
        information but is no code length. Under `L2` it is the penalty `Σ w² / (2 stddev²)` in the same unit, which
        compares networks with each other only: the code of a number without noise has no end.
        """
        complexities = tf.constant([self.complexity_range.check(complexity)], tf.float32)
        kls = [layer.kl(layer.posteriors(complexities), complexities) for layer in self._target.described]
        return float(self._describe([tf.cast(kl, tf.float64) for kl in kls], complexities)[0][0]) / math.log(2)

    def complexity_for(self, description_length_bits: float) -> float:
        """The λ whose posterior has a wanted description length, before pruning.

        Halves the range in log λ, since the length falls as λ grows. Where it does not fall everywhere, as after too
        short a training, the λ that is found still has at most the wanted length, but need not be the smallest one.

        Args:
            description_length_bits: Wanted length in bits, between those at both ends of `complexity_range`.

        Returns:
            λ, of which `description_length` is at most what is wanted, and nearly that.

        Raises:
            ValueError: If it is no number, or the model has no such length in its range.
        """
        bits, bounds = description_length_bits, self.complexity_range
        longest, shortest = self.description_length(bounds.low), self.description_length(bounds.high)
        # What is printed of an end is that end: a thousandth beyond it counts as it.
        if not is_finite_number(bits) or not 0.999 * shortest <= bits <= 1.001 * longest or longest < shortest:
            raise ValueError(
                f"Expected `description_length_bits` between {shortest:,.1f} at λ = {bounds.high:g} and "
                f"{longest:,.1f} at λ = {bounds.low:g}, the lengths that this model has. "
                f"Received: description_length_bits={bits!r}"
            )
        return complexity_of_length(bits, self.description_length, bounds.low, bounds.high)

    def structure(self, complexity: float) -> dict[str, tfp.distributions.Distribution]:
        """The posterior q(z | λ) of each choice of the target, by the name of its layer; empty if it has none.

        Returns:
            Dict of `tfp.distributions.Categorical` over the inputs of a `Choice`, and of a vector of
            `tfp.distributions.Bernoulli`, made one event by `Independent`, for `OptionalPaths`.

        Raises:
            ValueError: If `complexity` is no number in the range.
        """
        complexities = tf.constant([self.complexity_range.check(complexity)], tf.float32)
        if self._structure is None:
            return {}
        distributions = self._structure.distributions(complexities)
        return {name: q[0] for name, q in zip(self._structure.names, distributions, strict=True)}

    def most_probable_structure(self, complexity: float) -> dict[str, int | tuple[bool, ...]]:
        """What `at(complexity)` has of each choice: the index of a `Choice`'s path, truth values for `OptionalPaths`.

        Args:
            complexity: λ, a number in the range.

        Returns:
            Dict by the names of the choices, such as `at` takes; empty if the target has none.
        """
        if self._structure is None:
            return {}
        paths = self._paths_at(complexity, None)
        parts = zip(self._structure.names, self._structure.sizes, self._structure.optional, strict=True)
        return {
            name: tuple(path in paths[name] for path in range(size)) if optional else paths[name][0]
            for name, size, optional in parts
        }

    def structure_cost(self, complexity: float, structure: Mapping[str, Any] | None = None) -> float:
        """What one structure costs, in the unit of the argument `structure_cost`.

        Args:
            complexity: λ, a number in the range.
            structure: As that of `at`.

        Raises:
            ValueError: If the target has no choices, or an argument is out of range.
        """
        paths = self._paths_at(complexity, structure)
        chosen = [
            [float(path in of_choice) for path in range(size)]
            for of_choice, size in zip(paths.values(), self._usage.sizes, strict=True)
        ]
        return float(self._costs.expected(*self._usage.probabilities(chosen)))

    def _paths_at(self, complexity, structure) -> dict[str, tuple[int, ...]]:
        """The indices of the paths that are there, by the names of the choices."""
        complexities = tf.constant([self.complexity_range.check(complexity)], tf.float32)
        if self._structure is None:
            raise ValueError(
                "Expected a `target` with `Choice` or `OptionalPaths` layers. "
                f"Received: structure={structure!r} and a target without choices"
            )
        if not isinstance(structure, Mapping | None):
            raise ValueError(
                f"Expected `structure` to be a dict from the names of choices. Received: structure={structure!r}"
            )
        given = dict(structure or {})
        mode = tf.split(self._structure.mode(complexities)[0], self._structure.sizes)
        parts = zip(self._structure.names, self._structure.sizes, self._structure.optional, mode, strict=True)
        paths = {
            name: _paths_of(name, given.pop(name), size, optional) if name in given else _indices(most_probable.numpy())
            for name, size, optional, most_probable in parts
        }
        if given:
            raise ValueError(
                f"Expected `structure` to name choices of the target, {self._structure.names}. "
                f"Received: structure={structure!r}"
            )
        return paths

    def _target_at(self, complexity, structure):
        """The `Target` of the network at a λ: the whole one if it has no choices."""
        if self._structure is None and structure is None:
            return self._target
        paths = self._paths_at(complexity, structure)
        decided = next((target for of_paths, target in self._decided if of_paths == paths), None)
        if decided is None:
            decided = self._target.decided(paths)
            self._decided = (*self._decided[1 - _KEPT :], (paths, decided))
        return decided


def _paths_of(name, chosen, size, optional):
    """Indices of the paths that a user names."""
    if not optional:
        if isinstance(chosen, bool) or not isinstance(chosen, numbers.Integral) or not 0 <= chosen < size:
            raise ValueError(
                f"Expected `structure` to have the index of a path for '{name}', an integer in [0, {size}). "
                f"Received: structure[{name!r}]={chosen!r}"
            )
        return (int(chosen),)
    flags = np.asarray(chosen)
    if flags.shape != (size,) or not np.isin(flags, (0, 1)).all():
        raise ValueError(
            f"Expected `structure` to have {size} truth values for '{name}', one for each path. "
            f"Received: structure[{name!r}]={chosen!r}"
        )
    return _indices(flags)


def _indices(flags):
    return tuple(int(path) for path in np.flatnonzero(flags))
