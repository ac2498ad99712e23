"""Hypernetworks of trained networks: what was learned before is there after the first epoch."""

import keras
import numpy as np
import pytest
from long import long_but

import cvhn_tf
from cvhn_tf import datasets


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


@pytest.fixture(scope="module")
def trained(digits):
    """64-300-100-10, as good as plain Keras makes it."""
    keras.utils.set_random_seed(0)
    network = cvhn_tf.targets.lenet_300_100(digits.input_shape, digits.num_classes)
    network.compile("adam", "sparse_categorical_crossentropy")
    network.fit(digits.x_train, digits.y_train, batch_size=32, epochs=15, verbose=0)
    return network


def accuracy_of(network, digits):
    return np.mean(network(digits.x_test).numpy().argmax(axis=-1) == digits.y_test)


@pytest.mark.parametrize("planned", [1, 20])
@pytest.mark.parametrize("seed", long_but({0}.__contains__, [0, 1]))
def test_first_epoch_costs_a_trained_network_three_thousandths_of_its_accuracy_at_most(planned, seed, trained, digits):
    """Whether it is all of the training or only the beginning of it."""
    before = accuracy_of(trained, digits)
    assert before > 0.96
    model = cvhn_tf.VariationalHypernetwork(trained, pretrained=True, seed=seed)
    batches = -(-len(digits.x_train) // 32)
    model.compile(cvhn_tf.default_optimizer(planned * batches, pretrained=True), "sparse_categorical_crossentropy")
    keras.utils.set_random_seed(seed)
    model.fit(digits.x_train, digits.y_train, batch_size=32, verbose=0)
    assert accuracy_of(model.at(0.1), digits) >= before - 0.003


def test_noise_is_relative_to_each_tensor_and_as_ever_where_it_is_zero():
    target = keras.Sequential([keras.Input((50,)), keras.layers.Dense(40), keras.layers.Dense(2)])
    wide, bias = np.random.default_rng(0).normal(0, 3, (50, 40)), np.full(40, 1e-3)
    target.layers[0].set_weights([wide, bias])
    model = cvhn_tf.VariationalHypernetwork(target, pretrained=True, parameterization="gated")
    stddevs = {path: distribution.stddev().numpy() for path, distribution in model.posterior(1.0).items()}
    kernel, offset, _, zeros = stddevs.values()
    np.testing.assert_allclose(kernel, 0.05 * np.sqrt(np.mean(wide**2)), rtol=1e-4)
    np.testing.assert_allclose(offset, 5e-5, rtol=1e-4)
    np.testing.assert_allclose(zeros, 0.004, rtol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, "relative"),
        ({"parameterization": "gated"}, 0.004),
        ({"pretrained": True}, "relative"),
        ({"pretrained": True, "initial_stddev": 0.02}, 0.02),
    ],
)
def test_noise_that_is_named_counts_and_files_keep_what_was_said(arguments, expected, target, tmp_path):
    model = cvhn_tf.VariationalHypernetwork(target, **arguments)
    assert model.initial_stddev == expected
    model.save(tmp_path / "model.keras")
    loaded = cvhn_tf.load_model(tmp_path / "model.keras")
    assert (loaded.pretrained, loaded.initial_stddev) == (arguments.get("pretrained", False), expected)
    for ours, theirs in zip(model.posterior(1.0).values(), loaded.posterior(1.0).values(), strict=True):
        np.testing.assert_array_equal(ours.stddev(), theirs.stddev())


def test_summary_says_that_weights_are_trained(target):
    for pretrained in (False, True):
        lines = []
        cvhn_tf.VariationalHypernetwork(target, pretrained=pretrained).summary(print_fn=lines.append)
        assert ("Pretrained: starts from the target's weights" in "\n".join(lines)) == pretrained
