"""A frozen backbone: no noise, no description length, the same values in all that comes after; pruned where asked."""

import keras
import numpy as np
import pytest

import cvhn_tf
from cvhn_tf import export


@pytest.fixture
def backbone():
    layers = [
        keras.layers.Conv2D(6, 3, activation="relu", name="features"),
        keras.layers.Conv2D(6, 1, activation="relu", name="mixed"),
        keras.layers.BatchNormalization(name="scaled"),
    ]
    model = keras.Sequential([keras.Input((8, 8, 1)), *layers], name="backbone")
    model.trainable = False
    return model


@pytest.fixture
def model(backbone):
    head = [keras.layers.Flatten(), keras.layers.Dense(3, "softmax", name="head")]
    target = keras.Sequential([keras.Input((8, 8, 1)), backbone, *head])
    model = cvhn_tf.VariationalHypernetwork(target, pretrained=True, seed=0)
    model.compile(cvhn_tf.PivotAdam(), "sparse_categorical_crossentropy")
    return model


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return rng.random((16, 8, 8, 1), dtype="float32"), np.arange(16) % 3


def frozen_kernels(network):
    return [weight.numpy() for weight in network.non_trainable_weights if len(weight.shape) > 1]


def test_what_is_frozen_has_no_posterior_and_keeps_its_values_to_the_file(backbone, model, images):
    expected = [weight.numpy() for weight in backbone.weights]
    model.fit(*images, epochs=2, verbose=0)
    assert {path.split("/")[-2] for path in model.posterior(1.0)} == {"head"}
    pruned = export.prune(model, 1.0, sparsity=0.5)
    compact = export.compact(export.finetune(pruned, images, epochs=1))
    for network in (model.at(1.0), pruned, compact):
        kept = [weight.numpy() for weight in network.weights if "head" not in weight.path]
        for ours, theirs in zip(kept, expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert export.to_tflite(compact, representative_data=images[0]).relative_error < 0.01


def test_frozen_kernels_lose_their_smallest_weights_where_that_is_asked_for(backbone, model, images):
    before = np.concatenate([np.abs(kernel).ravel() for kernel in frozen_kernels(backbone)])
    pruned = export.prune(model, 1.0, sparsity=0.75, include_frozen=True)
    after = np.concatenate([np.abs(kernel).ravel() for kernel in frozen_kernels(pruned)])
    dropped = after == 0
    assert dropped.sum() == round(0.75 * before.size)
    assert before[dropped].max() <= before[~dropped].min()
    np.testing.assert_array_equal(after[~dropped], before[~dropped])
    head = pruned.layers[-1].kernel.numpy()
    np.testing.assert_array_equal(head, export.prune(model, 1.0, sparsity=0.75).layers[-1].kernel.numpy())
    finetuned = export.finetune(pruned, images, epochs=1)
    for ours, theirs in zip(frozen_kernels(finetuned), frozen_kernels(pruned), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_whole_frozen_filters_go_and_are_cut_out(model):
    pruned = export.prune(model, 1.0, sparsity=0.6, structure="unit", scope="layer", include_frozen=True)
    filters = [np.any(kernel != 0, axis=(0, 1, 2)).sum() for kernel in frozen_kernels(pruned)]
    assert filters == [3, 3]
    assert export.compact(pruned).count_params() < pruned.count_params()


def test_a_threshold_does_not_go_with_frozen_weights(model):
    with pytest.raises(ValueError, match=r"`sparsity` with `include_frozen`.*snr_threshold=1"):
        export.prune(model, 1.0, snr_threshold=1.0, include_frozen=True)
    with pytest.raises(ValueError, match=r"`include_frozen` to be True or False.*'all'"):
        export.prune(model, 1.0, sparsity=0.5, include_frozen="all")


def test_files_that_are_compared_may_have_frozen_kernels_pruned(model, images):
    settings = {"complexities": [1.0], "sparsities": [0.3, 0.75], "quantizations": [None], "client": "cpu"}
    usual, pruned = (export.compare(model, images, include_frozen=each, **settings) for each in (False, True))
    for row, other in zip(usual, pruned, strict=True):
        network = export.prune(model, 1.0, other.sparsity, include_frozen=True)
        assert other.parameters_kept == sum(np.count_nonzero(weight) for weight in network.get_weights())
        assert other.parameters_kept < row.parameters_kept
    shown = [len(each.layers) for comparison in (usual, pruned) for each in comparison.layer_sparsities]
    assert shown == [1, 1, 3, 3]
    kernels = [weight for weight in network.get_weights() if weight.ndim > 1]
    zeros = [1 - np.count_nonzero(kernel) / kernel.size for kernel in kernels]
    assert sorted(pruned.layer_sparsities[1].layers.values()) == sorted(zeros)


def test_frozen_kernels_are_taken_back_between_networks(model, images):
    falling = {"complexities": [1.0], "sparsities": [0.75, 0.0], "quantizations": [None], "include_frozen": True}
    _, dense = export.compare(model, images, **falling)
    assert dense.parameters_kept == sum(np.count_nonzero(weight) for weight in model.at(1.0).get_weights())


@pytest.mark.parametrize("quantization", [None, "dynamic_range"])
def test_search_may_prune_frozen_kernels(quantization, model, images):
    settings = {"complexities": [1.0], "sparsities": [0.9], "structures": ["weight"], "quantizations": [quantization]}
    sizes = []
    for include_frozen in (False, True):
        found = export.best(
            model, images, max_gzip_bytes=10**6, include_frozen=include_frozen, **settings, labels=["a", "b", "c"]
        )
        sizes.append(found.chosen.gzip_bytes)
        assert len(found.layer_sparsities[0].layers) == (3 if include_frozen else 1)
        assert found.chosen.accuracy == export.evaluate_tflite(found.artifact, *images).accuracy
    assert sizes[1] < sizes[0]


def test_rounding_leaves_the_values_of_frozen_kernels(model):
    pruned = export.prune(model, 1.0, 0.5, include_frozen=True)
    rounded = export.round_weights(model, 1.0, 0.5, include_frozen=True)
    for ours, theirs in zip(frozen_kernels(rounded), frozen_kernels(pruned), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_comparison_and_search_refuse_what_is_no_truth(model, images):
    with pytest.raises(ValueError, match=r"`include_frozen` to be True or False.*'all'"):
        export.compare(model, images, include_frozen="all")
    with pytest.raises(ValueError, match=r"`include_frozen` to be True or False.*1"):
        export.best(model, images, max_bytes=10, include_frozen=1)
