import keras
import numpy as np
import pytest
from keras import layers

import cvhn_tf
from cvhn_tf import export


@pytest.fixture
def model():
    target = keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Conv2D(4, 3), layers.BatchNormalization(), layers.Flatten(), layers.Dense(5)]
    )
    model = cvhn_tf.VariationalHypernetwork(target)
    rng = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign_add(rng.normal(size=variable.shape) * 0.3)
    return model


def kernels(network):
    return {weight.path: weight.numpy() for weight in network.trainable_weights if len(weight.shape) > 1}


def snr_of(model, complexity):
    return {path: np.abs(q.loc) / q.scale for path, q in model.posterior(complexity).items()}


@pytest.mark.parametrize("sparsity", [0.0, 0.123, 0.5, 0.98, 0.9999])
def test_sparsity_is_exact_and_takes_the_lowest_snr(model, sparsity):
    pruned = kernels(export.prune(model, 1.0, sparsity))
    values = np.concatenate([kernel.ravel() for kernel in pruned.values()])
    snr = np.concatenate([snr_of(model, 1.0)[path].numpy().ravel() for path in pruned])
    assert np.count_nonzero(values == 0) == round(sparsity * values.size)
    if 0 < np.count_nonzero(values) < values.size:
        assert snr[values == 0].max() <= snr[values != 0].min()


def test_layer_scope_prunes_each_kernel_alike(model):
    for kernel in kernels(export.prune(model, 1.0, 0.75, scope="layer")).values():
        assert np.count_nonzero(kernel == 0) == round(0.75 * kernel.size)


def test_threshold_is_a_limit_on_the_snr(model):
    for path, kernel in kernels(export.prune(model, 1.0, snr_threshold=20.0)).items():
        np.testing.assert_array_equal(kernel != 0, snr_of(model, 1.0)[path] >= 20)


def test_kept_weights_and_all_others_are_those_of_the_plain_network(model):
    plain, pruned = model.at(1.0), export.prune(model, 1.0, 0.5)
    for ours, theirs in zip(pruned.weights, plain.weights, strict=True):
        kept = ours.numpy() != 0 if len(ours.shape) > 1 else slice(None)
        np.testing.assert_array_equal(ours.numpy()[kept], theirs.numpy()[kept])


def test_biases_are_pruned_only_when_asked(model):
    assert np.all(export.prune(model, 1.0, 0.99).layers[-1].bias.numpy() != 0)
    network = export.prune(model, 1.0, snr_threshold=1e9, include_biases=True)
    assert not np.any(network.layers[-1].bias.numpy())


def test_tied_snrs_do_not_change_the_number_of_zeros(target):
    model = cvhn_tf.VariationalHypernetwork(target)
    for variable in model.trainable_variables:
        variable.assign(np.ones(variable.shape))
    zeros = sum(np.count_nonzero(kernel == 0) for kernel in kernels(export.prune(model, 1.0, 0.3)).values())
    assert zeros == round(0.3 * (8 * 16 + 16 * 3))


@pytest.mark.parametrize(
    "arguments, name",
    [
        ({"sparsity": 1.0}, "sparsity"),
        ({"sparsity": -0.1}, "sparsity"),
        ({"sparsity": float("nan")}, "sparsity"),
        ({"sparsity": "0.5"}, "sparsity"),
        ({"snr_threshold": -1.0}, "snr_threshold"),
        ({}, "sparsity"),
        ({"sparsity": 0.5, "snr_threshold": 1.0}, "sparsity"),
        ({"sparsity": 0.5, "scope": "filter"}, "scope"),
        ({"sparsity": 0.5, "complexity": 1e5}, "complexity"),
    ],
)
def test_bad_arguments_are_refused(model, arguments, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        export.prune(model, **{"complexity": 1.0, **arguments})


def test_other_models_are_refused(target):
    with pytest.raises(ValueError, match="VariationalHypernetwork"):
        export.prune(target, 1.0, 0.5)
