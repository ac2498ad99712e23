import json

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import cvhn_tf
from cvhn_tf.complexity.distribution import ComplexityDistribution

tfd = tfp.distributions


@pytest.mark.parametrize(
    "distribution",
    [tfd.LogNormal(0.0, 2.0), tfd.Uniform(-1.0, 5.0), tfd.Gamma(0.5, rate=0.1), tfd.HalfCauchy(0.0, 3.0)],
    ids=lambda distribution: distribution.name,
)
def test_draws_follow_the_distribution_cut_off_at_the_range_with_one_in_each_stratum(distribution):
    complexities = ComplexityDistribution(distribution, (0.1, 10))
    draws = np.stack([complexities.sample(4, tf.constant([1, i])) for i in range(60)])
    assert draws.min() >= np.float32(0.1) and draws.max() <= 10
    low, high = distribution.cdf([0.1, 10.0])
    share = (distribution.cdf(draws) - low) / (high - low)  # uniform if the draws are right
    np.testing.assert_array_equal(np.floor(np.clip(share, 1e-4, 1 - 1e-4) * 4), np.broadcast_to(np.arange(4), (60, 4)))
    assert abs(np.mean(share) - 0.5) < 5 / np.sqrt(12 * 240) / 4


def test_equal_seeds_give_equal_draws():
    sample = ComplexityDistribution(tfd.LogNormal(0.0, 1.0), (0.1, 10)).sample
    np.testing.assert_array_equal(sample(3, tf.constant([1, 2])), sample(3, tf.constant([1, 2])))
    assert np.all(sample(3, tf.constant([1, 2])) != sample(3, tf.constant([1, 3])))


def test_model_trains_on_its_draws_and_keeps_them_in_its_file(target, data, tmp_path):
    x, y = data
    distribution = tfd.TruncatedNormal(5.0, 0.01, 4.9, 5.1)
    model = cvhn_tf.VariationalHypernetwork(target, complexity_distribution=distribution)
    model.compile(cvhn_tf.PivotAdam(), "sparse_categorical_crossentropy", run_eagerly=True)
    assert 4.9 < model.fit(x, y, verbose=0).history["complexity"][0] < 5.1
    model.save(tmp_path / "model.keras")
    loaded = cvhn_tf.load_model(tmp_path / "model.keras")
    seed = tf.constant([1, 2])
    expected = model.complexity_distribution.sample(3, seed)
    np.testing.assert_array_equal(loaded.complexity_distribution.sample(3, seed), expected)


def test_config_is_the_name_of_the_class_and_its_numbers():
    parameters = {"loc": np.float32(0.5), "scale": tf.constant(2.0)}
    config = ComplexityDistribution(tfd.LogNormal(**parameters), (0.1, 10)).get_config()
    assert json.loads(json.dumps(config)) == {"class_name": "LogNormal", "config": {"loc": 0.5, "scale": 2.0}}
    assert ComplexityDistribution.of(config, (0.1, 10)).get_config() == config


def test_default_has_a_third_as_many_steps_at_the_largest_complexity_as_below_the_middle(target):
    distribution = cvhn_tf.VariationalHypernetwork(target, complexity_range=(0.1, 1000)).complexity_distribution
    draws = np.concatenate([distribution.sample(1, tf.constant([1, i])) for i in range(2000)])
    tenths = np.histogram(np.log10(draws), bins=10, range=(-1, 3))[0]
    assert tenths[9] < tenths[3] / 3 + 20 and tenths[3] == pytest.approx(tenths.max(), rel=0.05)
    assert tenths[9] > tenths[3] / 4


@pytest.mark.parametrize("bounds", [(100.0, 100.0001), (1.0, 1.002), (1e-12, 1e-11), (1e-30, 1e30)])
def test_default_has_draws_in_narrow_and_wide_ranges(target, bounds):
    distribution = cvhn_tf.VariationalHypernetwork(target, complexity_range=bounds).complexity_distribution
    draws = np.concatenate([distribution.sample(1, tf.constant([1, i])) for i in range(50)])
    low, high = np.float32(bounds[0]), np.float32(bounds[1])
    assert np.all((draws >= low * (1 - 1e-6)) & (draws <= high * (1 + 1e-6))) and len(np.unique(draws)) > 2


@pytest.mark.parametrize("arguments", [{"complexity_distribution": "log_uniform"}, {"parameterization": "gated"}])
def test_log_uniform_is_asked_for_or_the_default_of_gates_and_stays_in_the_config(target, arguments):
    model = cvhn_tf.VariationalHypernetwork(target, complexity_range=(0.1, 10), **arguments)
    config = json.loads(json.dumps(model.get_config()))
    assert config["complexity_distribution"] == "log_uniform"
    loaded = cvhn_tf.VariationalHypernetwork.from_config(config)
    draws = loaded.complexity_distribution.sample(3, tf.constant([1, 2]))
    np.testing.assert_array_equal(draws, loaded.complexity_range.sample(3, tf.constant([1, 2])))


@pytest.mark.parametrize(
    "distribution, problem",
    [
        (tfd.Pareto(1.0, 1.0), "`quantile` function"),
        (tfd.Uniform(20.0, 30.0), "of probability 0"),
        (tfd.LogNormal([0.0, 1.0], 1.0), "scalars"),
        (tfd.MultivariateNormalDiag([0.0], [1.0]), "scalars"),
        (tfd.TransformedDistribution(tfd.Uniform(-1.0, 1.0), tfp.bijectors.Exp()), "parameter 'distribution'"),
        (keras.layers.Dense(2), "`tfp.distributions`"),
        (3.0, "`tfp.distributions`"),
        ("log_normal", "`tfp.distributions`"),
        ({"class_name": "Bijector", "config": {}}, "name a class"),
        ({"class_name": "RegisterKL", "config": {}}, "name a class"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_cannot_be_drawn_from_or_saved_is_refused(target, distribution, problem):
    with pytest.raises(ValueError, match=f"`complexity_distribution`.*{problem}|{problem}.*complexity_distribution="):
        cvhn_tf.VariationalHypernetwork(target, complexity_range=(0.1, 10), complexity_distribution=distribution)
