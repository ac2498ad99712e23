"""Pruning by signal-to-noise ratio: weights that carry no information become zero."""

import numbers
from collections.abc import Iterable

import keras
import numpy as np
import tensorflow_probability as tfp

from cvhn_tf.checks.arguments import check_truth
from cvhn_tf.checks.finite_weights import check_finite_weights
from cvhn_tf.export.pruning import weight_groups
from cvhn_tf.export.pruning.units import stop_reading
from cvhn_tf.export.pruning.weight_groups import masks_of_highest_groups
from cvhn_tf.hypernetwork import VariationalHypernetwork
from cvhn_tf.tensors.paths import by_path

STRUCTURES = tuple(weight_groups.STRUCTURES)
"""What `prune` can drop as one: a weight, a unit or filter, a block of four weights, a weight of 1×1 convolutions."""


def prune(
    model: VariationalHypernetwork,
    complexity: float,
    sparsity: float | None = None,
    snr_threshold: float | None = None,
    scope: str = "global",
    include_biases: bool = False,
    structure: str = "weight",
    include_frozen: bool = False,
) -> keras.Model:
    """The plain network at a complexity with its weights of lowest SNR set to zero.

    A weight's signal-to-noise ratio is `SNR = |mean| / stddev` under the posterior; one of low SNR could take any
    value within its noise, zero included, without a loss of likelihood. After [Graves, 2011](
    https://papers.nips.cc/paper/4329-practical-variational-inference-for-neural-networks). Weights without noise (prior
    `"l2"`) are ranked by magnitude, |mean|.

    Whole units, too, can go: Dense units, filters of convolutions, and heads of attention. Where sums, products or
    depthwise convolutions tie channels, a unit is the channel in all layers that make it, so that `compact` can take it
    out. A unit without weights keeps its bias, which is a constant for what reads it. Or blocks of four weights in
    Dense kernels, which make sparse files in float32 smaller and faster. The SNR of a unit or block is the root mean
    square of its weights', over all layers. Or single weights of 1×1 convolutions alone, which `fast_sparse` makes
    faster on ARM and in WebAssembly from two thirds zeros on.

    Args:
        model: `cvhn_tf.VariationalHypernetwork`.
        complexity: λ of the network.
        sparsity: Share of the weights that is zero then, in [0, 1). Reached exactly, rounded to whole weights, unless
            more are zero at this λ, as under `OptimalResponse`, whose weights die. Units and blocks go in the order of
            their SNR as long as this is not exceeded. A weight counts for the unit that it makes; beyond this share,
            those that read what is left of a unit become zero where there is zero padding. With `"pointwise"` the share
            of the weights of 1×1 convolutions.
        snr_threshold: Instead of `sparsity`: weights with an SNR below this, at least 0, become zero. Not for weights
            without noise.
        scope: `"global"` ranks the weights of all layers together, `"layer"` each weight tensor by itself, or those
            together that have units in common.
        include_biases: Whether biases may be pruned too. Goes with single weights only.
        structure: What becomes zero as one. `"weight"`: single weights. `"unit"`: all weights of a unit, in all layers
            that make it; output layers keep theirs, every other kernel at least one unit, and layers without units,
            such as LSTM, all weights. Next to layers around which `compact` keeps channels, and between kernels that
            are pruned and those that are not, each kernel's units are its own. Of `keras.layers.MultiHeadAttention` the
            units are its heads. `"block"`: in Dense kernels the weights of a unit for four inputs in a row; elsewhere
            single weights. `"pointwise"`: single weights of 1×1 convolutions, but for those behind the last mean of
            maps; all others stay. For `fast_sparse` take a sparsity of 0.7 or more.
        include_frozen: Whether kernels that were frozen in the target (`trainable=False`), which have no posterior, are
            pruned too: to the same `sparsity`, ranked by magnitude among themselves. By default they stay as they are.

    Returns:
        Plain Keras model of the target's architecture.

    Raises:
        ValueError: If an argument is out of range, not just one of `sparsity` and `snr_threshold` is given, a
            threshold is given for weights without noise or frozen ones, `include_biases` with units or blocks, a weight
            is not finite, or there are no 1×1 convolutions for `"pointwise"`.
    """
    check_model(model)
    check_sparsity(sparsity, snr_threshold)
    if scope not in ("global", "layer"):
        raise ValueError(f"Expected `scope` to be 'global' or 'layer'. Received: scope={scope!r}")
    if snr_threshold is not None and model.prior.deterministic:
        raise ValueError(
            "Expected `sparsity` for a model whose weights have no noise, and so no SNR. "
            f"Received: snr_threshold={snr_threshold}"
        )
    check_structure(structure)
    if include_biases and structure != "weight":
        raise ValueError(
            "Expected `include_biases` for structure 'weight' only: the others are about kernels. "
            f"Received: include_biases={include_biases}, structure={structure!r}"
        )
    if check_truth("include_frozen", include_frozen) and sparsity is None:
        raise ValueError(
            "Expected `sparsity` with `include_frozen`: frozen weights have no noise, and so no SNR. "
            f"Received: snr_threshold={snr_threshold}"
        )
    network = model.at(complexity)
    check_finite_weights("model", network)
    snr = relevances(model, complexity, include_biases)
    frozen = magnitudes_of_frozen(network, model.posterior(complexity)) if include_frozen else {}
    kind = weight_groups.STRUCTURES[structure]
    if kind.choose_kernels is not None:
        chosen = kind.choose_kernels(network, {**snr, **frozen})
        snr, frozen = ({path: some[path] for path in chosen if path in some} for some in (snr, frozen))
    masks: dict[str, np.ndarray] = {}
    for part in filter(None, (snr, frozen)):
        masks |= _masks(network, part, kind, scope, sparsity, snr_threshold)
    for path, weight in by_path(network).items():
        if path in masks:
            weight.assign(np.where(masks[path], keras.ops.convert_to_numpy(weight), 0))
    if kind.ties_kernels:
        stop_reading(network, masks, {**snr, **frozen})
    return network


def check_model(model):
    """Raises a `ValueError` unless it is a hypernetwork."""
    if not hasattr(model, "posterior"):
        raise ValueError(f"Expected `model` to be a `VariationalHypernetwork`. Received: model={model!r}")


def check_sparsity(sparsity, snr_threshold=None, name="sparsity"):
    """Raises a `ValueError` unless just one of the two is given and lies in its range.

    Args:
        sparsity, snr_threshold: As in `prune`.
        name: Name of the user's argument for the sparsity.
    """
    if (sparsity is None) == (snr_threshold is None):
        raise ValueError(
            "Expected just one of `sparsity` and `snr_threshold`. "
            f"Received: sparsity={sparsity}, snr_threshold={snr_threshold}"
        )
    if sparsity is not None and not (_is_number(sparsity) and 0 <= sparsity < 1):
        raise ValueError(f"Expected `{name}` to lie in [0, 1). Received: {name}={sparsity!r}")
    if snr_threshold is not None and not (_is_number(snr_threshold) and snr_threshold >= 0):
        raise ValueError(f"Expected `snr_threshold` to be at least 0. Received: snr_threshold={snr_threshold!r}")


def as_list(name, values):
    """A list of the values that a search goes through, None if they are.

    Raises:
        ValueError: If it is no sequence, or an empty one.
    """
    if values is None:
        return None
    if isinstance(values, str) or not isinstance(values, Iterable) or not list(values):
        raise ValueError(f"Expected `{name}` to be a list of at least one. Received: {name}={values!r}")
    return list(values)


def check_structure(structure):
    """Raises a `ValueError` if there is no such structure."""
    names = tuple(weight_groups.STRUCTURES)
    if structure not in names:
        raise ValueError(f"Expected `structure` to be one of {names}. Received: structure={structure!r}")


def relevances(model, complexity, include_biases=False):
    """What weights are ranked by: their SNR, or |mean| where they have no noise.

    Args:
        model: `cvhn_tf.VariationalHypernetwork`.
        complexity: λ of the network.
        include_biases: Whether biases take part beside kernels.

    Returns:
        Dict from the path of a weight in `model.at(complexity)` to an array of its shape.
    """
    return {
        path: _relevance(posterior)
        for path, posterior in model.posterior(complexity).items()
        if include_biases or _is_kernel(path, posterior)
    }


def masks_of_highest(snr, sparsity):
    """Marks the weights to keep.

    Args:
        snr: Dict from path to array of SNRs.
        sparsity: Share of all these weights to drop, in [0, 1).

    Returns:
        Dict from path to boolean array, True for kept weights.
    """
    flat = np.concatenate([values.ravel() for values in snr.values()])
    kept = np.ones(flat.size, bool)
    # By rank, not by a threshold, so that ties do not change the number of zeros.
    kept[np.argsort(flat, kind="stable")[: round(sparsity * flat.size)]] = False
    ends = np.cumsum([values.size for values in snr.values()])
    parts = np.split(kept, ends[:-1])
    return {path: part.reshape(values.shape) for (path, values), part in zip(snr.items(), parts, strict=True)}


def _masks(network, snr, kind, scope, sparsity, snr_threshold):
    """Dict from path to boolean array, True for kept weights; arguments as in `prune`, but for SNRs and `Structure`."""
    groups = kind.number_groups(network, snr) if kind.number_groups else {}
    if not kind.ties_kernels:
        groups = weight_groups.set_apart(groups)
    masks = {}
    for paths in [list(snr)] if scope == "global" else weight_groups.tied_paths(snr, groups):
        part = {path: snr[path] for path in paths}
        if kind.number_groups is None:
            masks |= _masks_of_weights(part, sparsity, snr_threshold)
        else:
            present = {path: groups[path] for path in part if path in groups}
            masks |= masks_of_highest_groups(part, present, sparsity, snr_threshold, kind.spares_best)
    return masks


def _masks_of_weights(snr, sparsity, snr_threshold):
    if snr_threshold is not None:
        return {path: values >= snr_threshold for path, values in snr.items()}
    return masks_of_highest(snr, sparsity)


def _relevance(posterior):
    """SNR, or |mean| where there is no noise and every SNR is infinite."""
    magnitude = np.abs(posterior.loc.numpy())
    is_point = isinstance(posterior, tfp.distributions.Deterministic)
    return magnitude if is_point else magnitude / posterior.scale.numpy()


def magnitudes_of_frozen(network, posterior):
    """Dict from the paths of kernels without a posterior to arrays of their magnitudes."""
    return {
        path: np.abs(keras.ops.convert_to_numpy(weight))
        for path, weight in by_path(network).items()
        if path not in posterior and len(weight.shape) > 1 and keras.backend.is_float_dtype(weight.dtype)
    }


def _is_kernel(path, posterior):
    return len(posterior.loc.shape) > 1 and not path.split("/")[-1].startswith("bias")


def _is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool)
