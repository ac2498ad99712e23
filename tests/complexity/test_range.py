import numpy as np
import pytest
import tensorflow as tf

from cvhn_tf.complexity.range import ComplexityRange, batch_shares


def test_encoding_is_linear_in_the_logarithm_and_hits_the_ends():
    encoded = ComplexityRange(1e-2, 1e2).encode(tf.constant([1e-2, 1e-1, 1.0, 10.0, 1e2]))
    np.testing.assert_allclose(encoded, [0, 0.25, 0.5, 0.75, 1], atol=1e-6)


def test_samples_are_log_uniform_with_one_in_each_stratum():
    complexity_range = ComplexityRange(1e-2, 1e2)
    draws = np.stack([complexity_range.sample(4, tf.constant([1, i])) for i in range(500)])
    encoded = complexity_range.encode(draws).numpy()
    assert np.all(np.floor(encoded * 4) == np.arange(4))
    # The mean of 2,000 stratified uniform draws stands within five of its standard errors.
    assert abs(encoded.mean() - 0.5) < 5 / np.sqrt(12 * 2000) / 4
    assert abs(np.var(encoded * 4 % 1) - 1 / 12) < 0.01


@pytest.mark.parametrize("samples", [1, 3])
def test_steps_in_a_row_cover_each_stratum_evenly(samples):
    complexity_range = ComplexityRange(1e-2, 1e2)
    draws = np.stack([complexity_range.sample(samples, tf.constant([7, 1000 + i])) for i in range(20)])
    places = np.sort(complexity_range.encode(draws).numpy() * samples % 1, axis=0)
    # 20 independent draws leave a gap of 0.17 on average, and none above 0.1 in a fiftieth of all cases only.
    assert np.max(np.diff(places, axis=0)) < 0.1


def test_a_step_is_uniform_over_the_seeds():
    complexity_range = ComplexityRange(1e-2, 1e2)
    draws = np.concatenate([complexity_range.sample(1, tf.constant([seed, 2**31 - 1])) for seed in range(500)])
    quantiles = np.sort(complexity_range.encode(draws).numpy())
    assert np.max(np.abs(quantiles - np.arange(500) / 500)) < 0.08  # Kolmogorov and Smirnov's distance, p = 0.003


def test_equal_seeds_give_equal_samples():
    sample = ComplexityRange().sample
    np.testing.assert_array_equal(sample(3, tf.constant([1, 2])), sample(3, tf.constant([1, 2])))
    assert np.all(sample(3, tf.constant([1, 2])) != sample(3, tf.constant([1, 3])))


def test_grid_is_even_in_the_logarithm_and_ends_in_the_range():
    complexity_range = ComplexityRange(1e-2, 1e2)
    np.testing.assert_allclose(complexity_range.grid(5), [0.01, 0.1, 1, 10, 100])
    assert [complexity_range.check(value) for value in complexity_range.grid(9)]


def test_default_is_the_evidence_lower_bound_where_the_range_has_it():
    assert ComplexityRange(0.1, 100).default_complexity == 1.0
    assert ComplexityRange(10, 1000).default_complexity == pytest.approx(100)


@pytest.mark.parametrize(
    "bounds", [(1, 0.1), (0, 1), (-1, 1), (1, 1), (1, float("inf")), (float("nan"), 1), 3, (1, 2, 3)]
)
def test_bad_ranges_are_refused(bounds):
    with pytest.raises(ValueError, match="complexity_range"):
        ComplexityRange.of(bounds)


@pytest.mark.parametrize("complexities", [1, 2, 4, 7])
def test_batch_shares_sum_to_one_and_halve_from_the_smallest_complexity_to_the_largest(complexities):
    shares = batch_shares(complexities)
    assert len(shares) == complexities and sum(shares) == pytest.approx(1)
    assert shares == sorted(shares, reverse=True)
    if complexities > 1:
        assert shares[0] == pytest.approx(2 * shares[-1])


@pytest.mark.parametrize("complexity", [0.009, 101.0, -1.0, 0, float("nan"), float("inf"), "1", [1.0, 2.0], None, True])
def test_bad_complexities_are_refused_and_named(complexity):
    with pytest.raises(ValueError, match="Received: complexity="):
        ComplexityRange(1e-2, 1e2).check(complexity)
