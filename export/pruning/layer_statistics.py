"""What weights and choices look like at a complexity, and what pruning leaves of layers: figures for the report."""

import dataclasses

import numpy as np
import tensorflow_probability as tfp

from cvhn_tf.export.pruning.prune import magnitudes_of_frozen, relevances
from cvhn_tf.tensors.paths import by_path

tfd = tfp.distributions

# log₁₀ SNR; what lies outside is counted in the first or the last bin.
_EDGES = np.linspace(-4, 3, 57)


@dataclasses.dataclass(frozen=True)
class SnrHistogram:
    """How the weights of each kernel are spread over the signal-to-noise ratio at one complexity.

    Args:
        complexity: λ.
        description_length_bits: KL of the posterior at this λ in bits, before pruning.
        edges: Edges of the bins in log₁₀ SNR, or in log₁₀ |mean| where weights have no noise.
        counts: Dict from the path of a kernel to the number of its weights in each bin.
    """

    complexity: float
    description_length_bits: float
    edges: list[float]
    counts: dict[str, list[int]]


@dataclasses.dataclass(frozen=True)
class LayerSparsity:
    """Share of zeros in each kernel of one pruned network.

    Args:
        complexity: λ.
        sparsity: Share of zeros that was asked for.
        structure: As in `prune`.
        layers: Dict from the path of a kernel to its share of zeros.
    """

    complexity: float
    sparsity: float
    structure: str
    layers: dict[str, float]


@dataclasses.dataclass(frozen=True)
class StructureProbabilities:
    """The posterior of a target's choices at one complexity.

    Args:
        complexity: λ.
        probabilities: Dict from the name of each choice to the probability of each of its paths.
        cost: What the most probable structure costs, in the unit of the hypernetwork's `structure_cost`.
    """

    complexity: float
    probabilities: dict[str, list[float]]
    cost: float


def snr_histogram(model, complexity, description_length_bits) -> SnrHistogram:
    """Counts the weights of each kernel by their SNR at one complexity."""
    counts = {}
    for path, snr in relevances(model, complexity).items():
        logs = np.log10(np.maximum(snr, 10.0 ** _EDGES[0]))
        counts[path] = np.histogram(np.minimum(logs, _EDGES[-1]), _EDGES)[0].tolist()
    return SnrHistogram(complexity, description_length_bits, _EDGES.tolist(), counts)


def structure_probabilities(model, complexity) -> list[StructureProbabilities]:
    """The choices at one complexity, a list of one; empty if the target has none."""
    structure = model.structure(complexity)
    if not structure:
        return []
    # Bernoulli distributions of optional paths are wrapped in one event, whose mean is their probabilities.
    probabilities = {
        name: (q.mean() if isinstance(q, tfd.Independent) else q.probs_parameter()).numpy().tolist()
        for name, q in structure.items()
    }
    return [StructureProbabilities(complexity, probabilities, model.structure_cost(complexity))]


def layer_sparsity(network, complexity, sparsity, structure, paths, posterior=None) -> LayerSparsity:
    """Counts the zeros of each kernel in `paths` of a pruned network.

    With the posterior of its complexity kernels that have none, frozen ones, count too.
    """
    paths = paths if posterior is None else {*paths, *magnitudes_of_frozen(network, posterior)}
    shares = {}
    for path, weight in by_path(network).items():
        if path in paths:
            values = weight.numpy()
            shares[path] = 1 - np.count_nonzero(values) / values.size
    return LayerSparsity(complexity, sparsity, structure, shares)
