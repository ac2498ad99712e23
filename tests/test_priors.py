import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from cvhn_tf import priors

tfd = tfp.distributions


@pytest.fixture
def posterior():
    rng = np.random.default_rng(0)
    return tfd.Normal(
        rng.normal(size=(2, 3, 4)).astype("float32"), np.exp(rng.normal(size=(2, 3, 4)).astype("float32") - 1)
    )


def test_normal_kl_matches_monte_carlo(posterior):
    prior = tfd.Normal(0.0, 0.7)
    weights = posterior.sample(200_000, seed=(1, 2))
    log_ratio = tf.reduce_sum(posterior.log_prob(weights) - prior.log_prob(weights), [2, 3])
    standard_error = tf.math.reduce_std(log_ratio, 0) / np.sqrt(200_000)
    error = priors.Normal(0.7).kl(posterior, tf.ones(2)) - tf.reduce_mean(log_ratio, 0)
    assert np.all(np.abs(error) < 5 * standard_error)


def test_automatic_relevance_kl_is_the_least_over_all_prior_variances(posterior):
    kl = priors.AutomaticRelevance().kl(posterior, tf.ones(2))
    fitted = tfd.Normal(0.0, tf.sqrt(posterior.loc**2 + posterior.scale**2))
    np.testing.assert_allclose(kl, tf.reduce_sum(tfd.kl_divergence(posterior, fitted), [1, 2]), rtol=1e-5)
    for factor in (0.9, 1.1):
        other = tfd.Normal(0.0, fitted.scale * factor)
        assert np.all(kl < tf.reduce_sum(tfd.kl_divergence(posterior, other), [1, 2]))


def test_kl_is_zero_for_a_posterior_that_equals_the_prior():
    posterior = tfd.Normal(tf.zeros((1, 5)), 0.3 * tf.ones((1, 5)))
    np.testing.assert_allclose(priors.Normal(0.3).kl(posterior, tf.ones(1)), [0.0], atol=1e-6)
    np.testing.assert_allclose(priors.AutomaticRelevance().kl(posterior, tf.ones(1)), [0.0], atol=1e-6)


@pytest.mark.parametrize("prior", [priors.Normal(0.5), priors.AutomaticRelevance()])
def test_prior_survives_its_config(prior):
    copy = priors.get(keras.saving.serialize_keras_object(prior))
    assert type(copy) is type(prior) and copy.get_config() == prior.get_config()


@pytest.mark.parametrize("stddev", [0, -1.0, float("nan")])
def test_bad_stddev_is_refused(stddev):
    with pytest.raises(ValueError, match="Received: stddev="):
        priors.Normal(stddev)


@pytest.mark.parametrize("identifier", ["gaussian", 3, None, {"class_name": "Dense"}])
def test_unknown_prior_is_refused(identifier):
    with pytest.raises(ValueError, match="prior"):
        priors.get(identifier)
