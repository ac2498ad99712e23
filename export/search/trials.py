"""Files tried against budgets, the cheapest checks first, and the record of what came of each."""

import dataclasses
import math

import numpy as np

from cvhn_tf.export.clients.table import as_client
from cvhn_tf.export.conversion.convert import to_tflite_from
from cvhn_tf.export.delivery.metadata import annotate
from cvhn_tf.export.evaluation.evaluate import evaluate_tflite
from cvhn_tf.export.evaluation.latency import latency_of
from cvhn_tf.export.search.candidate import Candidate
from cvhn_tf.export.search.size_bound import dense_bytes
from cvhn_tf.export.verification import micro
from cvhn_tf.export.verification.verify import ConversionError
from cvhn_tf.structure.costs import multiply_adds_of

# Share of the least that a file took beside its weights which the next ones are taken to take too.
_SURE_OVERHEAD = 0.8
# As of `Client.sparse_cost`: what was seen for the largest kernels, which fit no cache.
_LEAST_SPARSE_COST = 6.0


class Trials:
    """Makes files and measures them, as far as it takes to know whether one is better than the best so far.

    Args:
        prunings: `Prunings`.
        budgets: `Budgets`.
        quantizations: Those that files may have, as in `to_tflite`.
        x: Array of examples, or a list of arrays.
        y: Their labels.
        representative_data: As in `to_tflite`.
        labels: As in `annotate`.
        client: As in `to_tflite`.
    """

    def __init__(self, prunings, budgets, quantizations, x, y, representative_data=None, labels=None, client="any"):
        self.prunings, self.budgets, self.quantizations = prunings, budgets, quantizations
        self.metric = budgets.metric
        self.trace = []
        self.best = self.artifact = None
        # The best file so far, or the accurate one that breaks the budgets by least: finer searches start from here.
        self.nearest = None
        self._x, self._y, self._representative_data, self._labels = x, y, representative_data, labels
        self._client = as_client(client)
        self._refused_networks = set()
        self._tried = {}
        self._slow = {}
        self._overhead = math.inf

    def fits(self, complexity) -> bool:
        """Whether the description length keeps its budget. If not, this is recorded."""
        candidate = Candidate(complexity, description_length_bits=self.prunings.description_length_bits(complexity))
        reason = self.budgets.exceeded_by(candidate)
        if reason is not None and complexity not in self._refused_networks:
            self._refused_networks.add(complexity)
            self._refuse(candidate, reason)
        return reason is None

    def reaches(self, point, least_score) -> bool:
        """Whether a network is accurate enough in Keras. If not, this is recorded."""
        if self.prunings.reaches(point, least_score):
            return True
        if point not in self._refused_networks:
            self._refused_networks.add(point)
            self._refuse(self._candidate(point), f"in Keras {self.metric.worse_than(least_score)}")
        return False

    def can_be_better(self, point) -> bool:
        """Whether some file of a network may be smaller than the best so far."""
        return any(self._no_better(self._bound(point, quantization)) is None for quantization in self.quantizations)

    def by_size(self, point) -> list:
        """The quantizations, those first whose files are likely to be smallest."""
        after_gzip = self.budgets.max_bytes is None and self.budgets.max_gzip_bytes is not None
        return sorted(self.quantizations, key=lambda q: self.prunings.least_bytes(point, q, after_gzip))

    def attempt(self, point, quantization) -> Candidate:
        """Makes and measures a file, until it is refused or accepted."""
        key = point, quantization
        if key not in self._tried:
            self._tried[key] = self._attempt(point, quantization)
        return self._tried[key]

    def measure(self, point, quantization) -> Candidate | None:
        """All figures of a file, whatever the budgets; None if none works."""
        try:
            artifact, network = self._convert(point, quantization)
        except ConversionError:
            return None
        return self._evaluate(self._weigh(self._candidate(point, quantization), artifact, network), artifact)

    def _attempt(self, point, quantization):
        candidate = self._candidate(point, quantization)
        reason = self._foreseen(point, quantization)
        if reason is not None:
            return self._refuse(candidate, reason)
        try:
            artifact, network = self._convert(point, quantization)
        except ConversionError as error:
            return self._refuse(candidate, str(error))
        candidate = self._weigh(candidate, artifact, network)
        reason = self._no_better(candidate)
        if reason is not None:
            return self._refuse(candidate, reason)
        candidate = self._evaluate(candidate, artifact)
        self._remember_slow(point, quantization, candidate.latency_ms)
        reason = self.budgets.exceeded_by(candidate)
        if reason is None:
            candidate = dataclasses.replace(candidate, accepted=True)
        is_good = self.budgets.seek_smallest and self.metric.score(candidate) >= self.budgets.least_score
        if reason is None or is_good:
            self._keep_if_better(candidate, artifact)
        return self._refuse(candidate, reason) if reason is not None else self._record(candidate)

    def _keep_if_better(self, candidate, artifact):
        if self.nearest is None or self.budgets.rank(candidate) < self.budgets.rank(self.nearest):
            self.nearest = candidate
            if candidate.accepted:
                self.best, self.artifact = candidate, artifact

    def _foreseen(self, point, quantization):
        """Why a file need not be made; None if it must."""
        for parameters, latency_ms in self._slow.get((point.structure, quantization), ()):
            if all(np.greater_equal(self.prunings.parameters(point, quantization), parameters)):
                return f"of no fewer parameters than a file that took {latency_ms:.4g} ms"
        return self._no_better(self._bound(point, quantization), bound=True)

    def _no_better(self, candidate, bound=False):
        """Why a file of at least these sizes is not needed; None if it may be."""
        exceeded = self.budgets.exceeded_by(candidate, bound)
        if not self.budgets.seek_smallest:
            return exceeded
        if self.nearest is None or self.budgets.rank(candidate) < self.budgets.rank(self.nearest):
            return None
        least = "at least " if bound else ""
        return exceeded or f"{least}{candidate.size_bytes:,.0f} bytes, no fewer than {self.nearest.size_bytes:,}"

    def _bound(self, point, quantization):
        """A candidate with the least sizes that it can have, if all files take alike beside their weights."""
        overhead = 0 if math.isinf(self._overhead) else _SURE_OVERHEAD * self._overhead
        return Candidate(
            *point,
            size_bytes=self.prunings.least_bytes(point, quantization) + overhead,
            gzip_bytes=self.prunings.least_bytes(point, quantization, after_gzip=True),
        )

    def _remember_overhead(self, artifact, network):
        """Keeps the least that a file took beside its weights; only of dense ones is their size known."""
        if not artifact.sparse:
            overhead = artifact.size_bytes - dense_bytes(network, artifact.quantization)
            self._overhead = max(0, min(self._overhead, overhead))

    def _remember_slow(self, point, quantization, latency_ms):
        if self.budgets.max_latency_ms is None or latency_ms <= self.budgets.max_latency_ms:
            return
        slow = self._slow.setdefault((point.structure, quantization), [])
        slow.append((self.prunings.parameters(point, quantization), latency_ms))

    def _candidate(self, point, quantization="none"):
        return Candidate(
            *point,
            encoding=None if quantization == "none" else quantization or "float32",
            description_length_bits=self.prunings.description_length_bits(point.complexity),
            choices=self.prunings.choices(point.complexity),
            **{f"estimated_{self.metric.field}": self.prunings.known_estimate(point)},
        )

    def _convert(self, point, quantization):
        made, failure = [], None
        for network in self.prunings.candidates(point, quantization):
            try:
                made.append((self._made(network, quantization), network))
            except ConversionError as error:
                failure = error
        if not made:
            raise failure
        artifact, network = min(made, key=lambda pair: pair[0].size_bytes)
        artifact = annotate(artifact, point.complexity, point.sparsity, point.structure, self._labels)
        self._remember_overhead(artifact, network)
        return artifact, network

    def _made(self, network, quantization):
        """The file of a network. Within a latency budget the faster one, where layers may read sparse weights."""
        graphs, data, client = self.prunings.frozen_graphs, self._representative_data, self._client
        artifact = to_tflite_from(graphs, network, quantization, "auto", data, client)
        may_be_faster = artifact.sparse and quantization is None and client.sparse_cost is not None
        if self.budgets.max_latency_ms is None or not may_be_faster:
            return artifact
        eager = dataclasses.replace(client, sparse_cost=_LEAST_SPARSE_COST)
        try:
            other = to_tflite_from(graphs, network, quantization, True, data, eager)
        except ConversionError:  # which the given file needs not share
            return artifact
        if other.content == artifact.content:
            return artifact
        return min(artifact, other, key=lambda each: latency_of(each.content, self._x, client).ms)

    def _weigh(self, candidate, artifact, network):
        return dataclasses.replace(
            candidate,
            sparse=artifact.sparse,
            size_bytes=artifact.size_bytes,
            gzip_bytes=artifact.gzip_bytes,
            unquantized_bytes=artifact.unquantized_bytes,
            arena_bytes=None if self.budgets.max_arena_bytes is None else micro.arena_bytes(artifact.content),
            multiply_adds=multiply_adds_of(network),
        )

    def _evaluate(self, candidate, artifact):
        measured = evaluate_tflite(artifact, self._x, self._y, client=self._client, metric=self.metric)
        return dataclasses.replace(
            candidate,
            latency_ms=measured.latency_ms,
            latency_client=measured.latency_client,
            accuracy=measured.accuracy,
            metric=measured.metric,
            calibration_error=measured.calibration_error,
        )

    def _refuse(self, candidate, reason):
        return self._record(dataclasses.replace(candidate, reason=reason))

    def _record(self, candidate):
        self.trace.append(candidate)
        return candidate
