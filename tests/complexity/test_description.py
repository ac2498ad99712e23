"""Description length against λ: it falls, so that each length has its λ; where it does not, one sentence says so."""

import math

import keras
import numpy as np
import pytest
from repeated import repeated

import cvhn_tf
from cvhn_tf.complexity.description import complexity_of_length, describe_rise
from cvhn_tf.parameterizations import Gated

SHORT_NETWORKS = Gated(sharpness=4.0, threshold=1.3, stddev_power=0.25, stddev_gate=0.5, gradient_power=0.5)


def train(parameterization, repeats):
    keras.utils.set_random_seed(0)
    target = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(3, "softmax")])
    rng = np.random.default_rng(0)
    y = np.arange(64) % 3
    x = (rng.normal(size=(3, 8))[y] * 2 + rng.normal(size=(64, 8)) * 0.3).astype("float32")
    model = cvhn_tf.VariationalHypernetwork(target, parameterization=parameterization, train_size=64, seed=0)
    steps = {"steps_per_execution": 20}
    model.compile(cvhn_tf.default_optimizer(8 * 4 * repeats), "sparse_categorical_crossentropy", **steps)
    model.fit(*repeated((x, y), repeats), batch_size=16, epochs=8, verbose=0)
    return model


@pytest.fixture(scope="module")
def trained():
    return train(SHORT_NETWORKS, repeats=25)


# Gates as they are by default need more steps for it: at a few hundred the length rises behind λ = 10.
@pytest.mark.parametrize(
    "parameterization, repeats",
    [
        ("optimal_response", 25),
        pytest.param(SHORT_NETWORKS, 25, marks=pytest.mark.long),
        pytest.param("gated", 200, marks=pytest.mark.long),
    ],
)
def test_description_length_of_a_trained_model_does_not_rise_over_its_range(parameterization, repeats):
    model = train(parameterization, repeats)
    lengths = {complexity: model.description_length(complexity) for complexity in model.complexity_range.grid(17)}
    assert describe_rise(lengths) is None
    assert lengths[0.01] > 3 * min(lengths.values())  # and it says something


def test_each_length_has_its_complexity(trained):
    longest, shortest = trained.description_length(0.01), trained.description_length(100.0)
    previous = math.inf
    for bits in np.geomspace(longest, shortest, 7)[1:-1]:
        complexity = trained.complexity_for(description_length_bits=bits)
        assert 0.995 * bits <= trained.description_length(complexity) <= bits
        assert trained.description_length(0.99 * complexity) > bits
        assert bits < previous
        previous = bits
    assert trained.complexity_for(longest) == 0.01
    assert trained.complexity_for(shortest) == pytest.approx(100)
    assert trained.complexity_for(float(f"{longest:.5g}")) == pytest.approx(0.01, rel=0.01)  # as it is printed


@pytest.mark.parametrize("bits", [0, -1, math.nan, math.inf, 1e9, True, "100", None])
def test_a_length_that_the_model_does_not_have_is_refused_with_those_that_it_has(bits, trained):
    with pytest.raises(ValueError, match=r"between .* at λ = 100 and .* at λ = 0.01") as error:
        trained.complexity_for(bits)
    assert f"Received: description_length_bits={bits!r}" in str(error.value)


def test_of_a_length_that_falls_the_first_complexity_that_keeps_it_is_found():
    assert complexity_of_length(30, lambda complexity: 100 / complexity, 1, 100) == pytest.approx(100 / 30, rel=1e-5)
    assert complexity_of_length(200, lambda complexity: 100 / complexity, 1, 100) == 1


@pytest.mark.parametrize(
    ("lengths", "parts"),
    [
        ({}, None),
        ({1.0: 5.0}, None),
        ({0.1: 100.0, 1.0: 50.0, 10.0: 50.5}, None),  # within the tolerance
        ({10.0: 50.0, 0.1: 100.0, 1.0: 60.0}, None),  # in any order
        ({0.1: 100.0, 1.0: 50.0, 10.0: 80.0}, ("50 bits at λ = 1 ", "80 bits at λ = 10,", "more epochs")),
        ({0.1: 2000.0, 1.0: 1000.0, 10.0: 1015.0, 100.0: 1100.0}, ("1,000 bits at λ = 1 ", "1,100 bits at λ = 100,")),
        ({0.1: 0.0, 1.0: 9.0}, ("0 bits at λ = 0.1", "9 bits at λ = 1,")),
    ],
)
def test_a_rise_is_told_in_one_sentence(lengths, parts):
    told = describe_rise(lengths)
    assert (told is None) == (parts is None)
    for part in parts or ():
        assert part in told
