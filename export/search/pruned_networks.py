"""The pruned networks of a hypernetwork, and what is known of them without making a file."""

import operator
import typing

import keras
import numpy as np

from cvhn_tf.export.compaction.compact import compact
from cvhn_tf.export.compaction.fast_sparse import fast_sparse_form
from cvhn_tf.export.compaction.polyphase import polyphase
from cvhn_tf.export.comparison.tables import choices_as_text
from cvhn_tf.export.conversion.frozen_graphs import FrozenGraphs
from cvhn_tf.export.evaluation.keras_outputs import BATCH, as_taken, joined
from cvhn_tf.export.evaluation.metric import ACCURACY
from cvhn_tf.export.networks.judges import Judges
from cvhn_tf.export.pruning.layer_statistics import layer_sparsity, snr_histogram, structure_probabilities
from cvhn_tf.export.pruning.prune import prune
from cvhn_tf.export.pruning.recalibrate import recalibrate
from cvhn_tf.export.pruning.repeated_pruning import RepeatedPruning
from cvhn_tf.export.pruning.weight_groups import STRUCTURES
from cvhn_tf.export.rounding.integer_grid import round_weights
from cvhn_tf.export.search.size_bound import least_bytes, least_gzip_bytes
from cvhn_tf.export.tflite.encodings import ENCODINGS

# Examples of a first estimate: enough to tell 98% from 97%. All examples decide where that leaves a doubt.
_PART = 2000


class Point(typing.NamedTuple):
    """A pruned network, by what makes it; as in `prune`."""

    complexity: float
    sparsity: float
    structure: str


class Prunings:
    """Makes pruned networks, and remembers their figures.

    Args:
        model: `cvhn_tf.VariationalHypernetwork`.
        x: Array of examples, or a list of arrays.
        y: Their labels, as `metric.examples` gives them.
        representative_data: Training examples for the statistics of batch normalization, as in `recalibrate`; None
            leaves those of training.
        for_speed: Whether files are to be fast rather than small, by `polyphase`.
        sparse: Whether files may hold zeros in the sparse encoding.
        by_channels: Whether they may where XNNPACK computes them by channels alone. Then `fast_sparse` makes such
            networks for speed.
        metric: `Metric` that networks are judged by.
        include_frozen: As in `prune`.

    Raises:
        ValueError: If the network is no classifier of these labels.
    """

    def __init__(
        self,
        model,
        x,
        y,
        representative_data=None,
        for_speed=False,
        sparse=True,
        by_channels=False,
        metric=ACCURACY,
        include_frozen=False,
    ):
        self._model = RepeatedPruning(model)
        self._x, self._y, self._representative_data, self._for_speed = x, y, representative_data, for_speed
        self._sparse, self._by_channels = sparse, by_channels
        self._metric, self._include_frozen = metric, include_frozen
        self._bits, self._bounds, self._estimates, self._accuracies, self._parameters = {}, {}, {}, {}, {}
        self._histograms, self._layer_sparsities, self._structures = {}, {}, {}
        self._turn_to(None)
        self._examples = len(keras.tree.flatten(x)[0])
        self._part, self._part_examples = (x, y), self._examples
        if metric.is_share:  # of others it is not known how far a part may be off
            part = np.sort(np.random.default_rng(0).permutation(len(y))[:_PART])
            self._part = keras.tree.map_structure(lambda array: np.asarray(array)[part], x), y[part]
            self._part_examples = len(part)
        self._judges = Judges(model)
        judge = self._judges.at(model.complexity_range.low)
        if metric is ACCURACY and self._value_by(judge, *self._part) is None:
            raise ValueError(
                "Expected a classifier, with outputs of shape (examples, classes), and a label for each example. "
                f"Received: outputs of shape {judge.output_shape}, labels of shape {y.shape}"
            )

    @property
    def points(self) -> list[Point]:
        """All networks made so far."""
        return list(self._layer_sparsities)

    @property
    def histograms(self) -> list:
        """`SnrHistogram` of each complexity of a network made so far, in ascending order."""
        return [self._histograms[complexity] for complexity in sorted(self._histograms)]

    @property
    def layer_sparsities(self) -> list:
        """`LayerSparsity` of each network made so far, in the order of complexity, sparsity, structure."""
        return [self._layer_sparsities[point] for point in sorted(self._layer_sparsities)]

    @property
    def structures(self) -> list:
        """`StructureProbabilities` of each of these complexities, if the target has choices."""
        return [each for complexity in sorted(self._histograms) for each in self._structures[complexity]]

    def description_length_bits(self, complexity) -> float:
        """KL of the posterior at a complexity in bits."""
        if complexity not in self._bits:
            self._bits[complexity] = self._model.description_length(complexity)
        return self._bits[complexity]

    def choices(self, complexity) -> str:
        """What is chosen at a complexity, as text; empty if the target has no choices."""
        return choices_as_text(self._model.most_probable_structure(complexity))

    def shortest_description(self) -> tuple[float, float]:
        """Fewest bits of all complexities asked for so far, and the complexity."""
        return min((bits, complexity) for complexity, bits in self._bits.items())

    def pruned(self, point, bits=None):
        """The pruned Keras model, its batch normalization recalibrated if there is representative data.

        With `bits` its weights are those of `round_weights`. Networks of the last point only are kept.
        """
        if self._last_point != point:
            self._turn_to(point)
        if bits not in self._pruned:
            if bits is None:
                network = prune(self._model, point.complexity, point.sparsity, **self._pruned_by(point))
                if point not in self._layer_sparsities:
                    self._describe(point, network)
            else:
                self.pruned(point)  # every point is described, by its weights before rounding
                network = round_weights(
                    self._model, point.complexity, point.sparsity, bits=bits, **self._pruned_by(point)
                )
            if self._representative_data is not None:
                network = recalibrate(network, self._representative_data)
            self._pruned[bits] = network
        return self._pruned[bits]

    def compacted(self, point, bits=None):
        """The model of `pruned` after `compact`."""
        network = self.pruned(point, bits)
        if bits not in self._compacted:
            self._compacted[bits] = compact(network, bits or 32)
        return self._compacted[bits]

    def candidates(self, point, quantization=None) -> list:
        """The Keras models of which the one with the smaller file is to be taken.

        Where weights become integers, they are rounded by what the posterior knows of them.
        """
        bits = ENCODINGS[quantization].integer_bits
        networks = [self.compacted(point, bits)]  # which lets go of those of another point
        if bits not in self._candidates:
            if STRUCTURES[point.structure].broken_by_compact:
                networks.append(self.pruned(point, bits))
            self._candidates[bits] = list(map(polyphase, networks)) if self._for_speed else networks
        if self._for_speed and self._by_channels and quantization is None:
            return self._candidates[bits] + self._fast_sparse(point)
        return self._candidates[bits]

    def _fast_sparse(self, point):
        """The network in the form whose zeros take no time by channels, in a list; none if it does not fit."""
        if self._form is None:
            form = fast_sparse_form(self.compacted(point), self.pruned(point))
            self._form = [] if form is None else [form]
        return self._form

    def parameters(self, point, quantization) -> tuple[int, int]:
        """Number of parameters of the compacted network that is encoded, and of those of them that may take time.

        The second leaves zeros out where a file may be computed without them.
        """
        key = point, quantization
        if key not in self._parameters:
            network = self.compacted(point, ENCODINGS[quantization].integer_bits)
            parameters = kept = network.count_params()
            if self._sparse and quantization is None:
                kept = sum(int(np.count_nonzero(weight)) for weight in network.get_weights())
            self._parameters[key] = parameters, kept
        return self._parameters[key]

    def least_bytes(self, point, quantization, after_gzip=False) -> float:
        """Size below which no file of the network comes."""
        key = point, quantization
        if key not in self._bounds:
            networks = self.candidates(point, quantization)
            self._bounds[key] = (
                min(least_bytes(network, quantization, self._sparse) for network in networks),
                min(least_gzip_bytes(network, quantization) for network in networks),
            )
        return self._bounds[key][after_gzip]

    def estimate(self, point) -> float:
        """Accuracy of the pruned network in Keras on a part of the examples; another metric on all of them."""
        if point not in self._estimates:
            self._estimates[point] = self._value_of(point, *self._part)
        return self._estimates[point]

    def known_estimate(self, point) -> float | None:
        """`estimate`, if it has been made."""
        return self._estimates.get(point)

    def reaches(self, point, least_score) -> bool:
        """Whether the pruned network has a score in Keras, told from a part of the examples if that is certain."""
        estimate = self._metric.score_of(self.estimate(point))
        used, examples = self._part_examples, self._examples
        if used == examples:
            return estimate >= least_score
        # Two standard errors of the share of right answers in a part drawn without replacement.
        doubt = 2 * np.sqrt(max(estimate * (1 - estimate), 1 / used) / used * (1 - used / examples))
        if abs(estimate - least_score) > doubt:
            return estimate > least_score
        if point not in self._accuracies:
            self._accuracies[point] = self._value_of(point, self._x, self._y)
        return self._accuracies[point] >= least_score

    def _turn_to(self, point):
        """Lets go of the networks of the last point."""
        self._last_point, self._pruned, self._compacted, self._candidates = point, {}, {}, {}
        self._form = None
        self._model.take_back()
        self.frozen_graphs = FrozenGraphs()  # what the encodings of one network share

    def _describe(self, point, pruned):
        complexity = point.complexity
        if complexity not in self._histograms:
            bits = self.description_length_bits(complexity)
            self._histograms[complexity] = snr_histogram(self._model, complexity, bits)
            self._structures[complexity] = structure_probabilities(self._model, complexity)
        posterior = self._model.posterior(complexity) if self._include_frozen else None
        self._layer_sparsities[point] = layer_sparsity(pruned, *point, self._histograms[complexity].counts, posterior)

    def _pruned_by(self, point):
        return {"structure": point.structure, "include_frozen": self._include_frozen}

    def _value_of(self, point, x, y):
        judge = self._judges.at(point.complexity)
        judge.set_weights(self.pruned(point).get_weights())
        return self._value_by(judge, x, y)

    def _value_by(self, judge, x, y):
        x = as_taken(judge, x)
        batches = (slice(i, i + BATCH) for i in range(0, len(keras.tree.flatten(x)[0]), BATCH))
        outputs = (judge.predict_on_batch(keras.tree.map_structure(operator.itemgetter(b), x)) for b in batches)
        return self._metric.value(joined(outputs), y)
