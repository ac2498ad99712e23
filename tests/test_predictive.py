"""Predictive uncertainty: laws of the decomposition, closed forms, and what data does to it."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from repeated import repeated

import cvhn_tf
from cvhn_tf import predictive


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 6), st.integers(2, 5), st.integers(0, 2**31), st.floats(-3, 3))
def test_parts_are_never_negative_and_never_more_than_the_whole(draws, classes, seed, log_sharpness):
    logits = np.random.default_rng(seed).normal(size=(draws, 7, classes)) * np.exp(log_sharpness)
    probabilities = np.exp(logits - logits.max(-1, keepdims=True))
    probabilities /= probabilities.sum(-1, keepdims=True)
    prediction = predictive.summarize_classes(probabilities)
    np.testing.assert_allclose(prediction.mean, probabilities.mean(0))
    assert (prediction.mutual_information >= 0).all()
    assert (prediction.mutual_information <= prediction.entropy + 1e-12).all()
    assert (prediction.entropy <= np.log(classes) + 1e-12).all()


def test_networks_that_contradict_each_other_and_networks_that_agree_to_know_nothing():
    certain = predictive.summarize_classes(np.eye(4)[:, None])
    np.testing.assert_allclose([certain.entropy, certain.mutual_information], np.log(4))
    unsure = predictive.summarize_classes(np.full((4, 1, 4), 0.25))
    np.testing.assert_allclose(unsure.entropy, np.log(4))
    np.testing.assert_allclose(unsure.mutual_information, 0, atol=1e-12)


def test_one_column_is_the_probability_of_class_1():
    p = np.array([[[0.9], [0.5]], [[0.1], [0.5]], [[1.0], [0.0]]])
    one, two = predictive.summarize_classes(p), predictive.summarize_classes(np.concatenate([1 - p, p], -1))
    np.testing.assert_allclose(one.entropy, two.entropy)
    np.testing.assert_allclose(one.mutual_information, two.mutual_information)
    assert one.mean.shape == (2, 1)


def test_small_variance_beside_a_large_mean_is_not_lost():
    draws = 1e8 + np.random.default_rng(0).normal(size=(1000, 3))
    values = predictive.summarize_values(draws)
    np.testing.assert_allclose(values.variance, draws.var(axis=0, ddof=1), rtol=1e-6)


def test_linear_model_has_the_mean_and_variance_of_the_closed_form():
    model = cvhn_tf.VariationalHypernetwork(
        keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]), initial_stddev=0.5
    )
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    kernel, bias = model.posterior(3.0).values()
    mean = x @ kernel.mean() + bias.mean()
    variance = x**2 @ np.square(kernel.stddev()) + np.square(bias.stddev())
    samples = 1000
    values = model.predict_distribution(x, 3.0, samples, outputs="values", seed=0)
    # Five standard errors of a mean and of a variance.
    assert (np.abs(values.mean - mean) < 5 * np.sqrt(variance / samples)).all()
    assert (np.abs(values.variance / variance - 1) < 5 * np.sqrt(2 / samples)).all()


def test_weights_without_noise_leave_the_entropy_of_the_one_network(compiled, data):
    x, _ = data
    model = compiled(prior="l2", estimator="deterministic")
    prediction = model.predict_distribution(x, 1.0, 2)
    probabilities = model.at(1.0)(x).numpy()
    np.testing.assert_allclose(prediction.mean, probabilities, atol=1e-6)
    np.testing.assert_allclose(prediction.entropy, -(probabilities * np.log(probabilities)).sum(-1), atol=1e-5)
    np.testing.assert_allclose(prediction.mutual_information, 0, atol=1e-6)


def test_equal_seeds_give_equal_draws_whatever_the_batch_size(compiled, data):
    model, x = compiled(initial_stddev=0.3), data[0]
    first = model.predict_distribution(x, samples=4, seed=7)
    same = model.predict_distribution(x, samples=4, seed=7, batch_size=5)
    other = model.predict_distribution(x, samples=4, seed=8)
    np.testing.assert_allclose(first.mean, same.mean, atol=1e-6)
    assert np.abs(first.mean - other.mean).max() > 1e-3


def test_default_complexity_is_that_of_the_model(compiled, data):
    model, x = compiled(initial_stddev=0.3), data[0]
    model.fit(*data, epochs=2, verbose=0)
    model.complexity = 0.1
    np.testing.assert_array_equal(
        model.predict_distribution(x, seed=1).mean, model.predict_distribution(x, 0.1, seed=1).mean
    )
    assert np.any(model.predict_distribution(x, 10.0, seed=1).mean != model.predict_distribution(x, 0.1, seed=1).mean)


def test_logits_and_probabilities_are_two_ways_to_say_the_same(target, data):
    logits = keras.Sequential([*target.layers[:-1], keras.layers.Dense(3)])
    logits.build((None, 8))
    logits.set_weights(target.get_weights())
    predictions = [
        cvhn_tf.VariationalHypernetwork(network, initial_stddev=0.3).predict_distribution(
            data[0], 1.0, 8, outputs=outputs, seed=0
        )
        for network, outputs in ((target, "probabilities"), (logits, "logits"))
    ]
    for field in ("mean", "entropy", "mutual_information"):
        np.testing.assert_allclose(*(getattr(prediction, field) for prediction in predictions), atol=1e-5)


def test_inputs_far_from_the_examples_are_the_unsure_ones(compiled, data):
    x, y = data
    model = compiled(complexity_samples=2, train_size=64)
    model.fit(*repeated(data, 25), batch_size=16, epochs=4, verbose=0)
    between = np.stack([x[y == a].mean(0) + x[y == b].mean(0) for a, b in ((0, 1), (0, 2), (1, 2))]) / 2
    known, unknown = (model.predict_distribution(inputs, 1.0, seed=0) for inputs in (x, between))
    assert np.mean(known.mean.argmax(-1) == y) > 0.95
    assert unknown.entropy.min() > np.median(known.entropy)
    assert unknown.mutual_information.mean() > known.mutual_information.mean()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"samples": 1}, "`samples`.*Received: samples=1"),
        ({"samples": 2.5}, "`samples`.*Received: samples=2.5"),
        ({"complexity": 1000.0}, "Received: complexity=1000"),
        ({"outputs": "odds"}, "`outputs`.*Received: outputs='odds'"),
        ({"seed": -1}, "`seed`.*Received: seed=-1"),
        ({"batch_size": 0}, "`batch_size`.*Received: batch_size=0"),
        ({"x": np.ones((3, 7))}, r"\('examples', 8\).*Received: x of shapes \[\(3, 7\)\]"),
        ({"x": np.ones(8)}, r"Received: x of shapes \[\(8,\)\]"),
        ({"x": np.ones((0, 8))}, "at least one example"),
        ({"x": [np.ones((2, 8)), np.ones((2, 8))]}, "Received: x of shapes"),
        ({"x": np.full((2, 8), np.nan)}, "16 NaN or infinite"),
        ({"x": np.full((2, 8), "a")}, "numbers"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused_before_a_network_is_drawn(compiled, arguments, problem, monkeypatch):
    model = compiled()
    monkeypatch.setattr(predictive, "_predictions", None)
    with pytest.raises(ValueError, match=problem):
        model.predict_distribution(**{"x": np.ones((2, 8)), **arguments})


def test_outputs_that_are_no_probabilities_are_refused(data):
    model = cvhn_tf.VariationalHypernetwork(keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)]))
    with pytest.raises(ValueError, match=r"probabilities.*logits.*Received: outputs between"):
        model.predict_distribution(data[0])


def test_several_outputs_are_refused_and_several_inputs_work():
    left, right = keras.Input((2,), name="left"), keras.Input((3,), name="right")
    joined = keras.layers.Concatenate()([left, right])
    one = keras.layers.Dense(2, "softmax")(joined)
    model = cvhn_tf.VariationalHypernetwork(keras.Model([left, right], one), initial_stddev=0.3)
    arrays = [np.ones((4, 2), "float32"), np.ones((4, 3), "float32")]
    by_position = model.predict_distribution(arrays, seed=0)
    by_name = model.predict_distribution(dict(zip(("left", "right"), arrays, strict=True)), seed=0)
    np.testing.assert_array_equal(by_position.mean, by_name.mean)
    two = cvhn_tf.VariationalHypernetwork(keras.Model([left, right], [one, keras.layers.Dense(1)(joined)]))
    with pytest.raises(ValueError, match=r"one output.*Received: a target with 2"):
        two.predict_distribution(arrays)
