import keras
import numpy as np
import pytest
from keras import layers
from structure.random_choices import WIDTH, random_target, structures, weights_of

import cvhn_tf
from cvhn_tf.structure.usage import Usage


@pytest.mark.parametrize("seed", range(12))
def test_probabilities_are_those_of_all_structures_together(seed):
    usage = Usage(random_target(seed))
    rng = np.random.default_rng(seed)
    of_paths = [
        list(rng.dirichlet(np.ones(size))) if isinstance(choice, cvhn_tf.Choice) else list(rng.uniform(size=size))
        for choice, size in zip(usage.choices, usage.sizes, strict=True)
    ]
    expected_layers, expected_calls, total = np.zeros(len(usage.layers)), np.zeros(len(usage.calls)), 0.0
    for structure in structures(usage):
        probability = 1.0
        for choice, paths, shares in zip(usage.choices, structure, of_paths, strict=True):
            optional = isinstance(choice, cvhn_tf.OptionalPaths)
            factors = [share if i in paths else (1 - share if optional else 1) for i, share in enumerate(shares)]
            probability *= np.prod(factors)
        used_layers, used_calls = usage.probabilities(weights_of(structure, usage.sizes))
        assert set(used_layers) <= {0.0, 1.0}
        expected_layers += probability * np.array(used_layers)
        expected_calls += probability * np.array(used_calls)
        total += probability
    assert total == pytest.approx(1.0)
    of_layers, of_calls = usage.probabilities(of_paths)
    np.testing.assert_allclose(np.array(of_layers, float), expected_layers, atol=1e-12)
    np.testing.assert_allclose(np.array(of_calls, float), expected_calls, atol=1e-12)


def test_layer_of_two_candidates_is_used_if_either_is():
    inputs = keras.Input((WIDTH,))
    shared = layers.Dense(WIDTH, name="shared")
    x = cvhn_tf.Choice(name="choice")([shared(inputs), layers.Dense(WIDTH, name="other")(inputs), shared(inputs)])
    usage = Usage(keras.Model(inputs, x))
    of_layers, _ = usage.probabilities([[0.2, 0.5, 0.3]])
    named = {layer.name: share for layer, share in zip(usage.layers, of_layers, strict=True)}
    assert named["shared"] == pytest.approx(0.5) and named["other"] == pytest.approx(0.5)
    assert named["choice"] == 1.0


def test_many_paths_side_by_side_take_no_more_than_their_number():
    inputs = keras.Input((WIDTH,))
    columns = [layers.Dense(WIDTH)(inputs) for _ in range(3)]
    for layer in range(12):  # 2^84 structures
        columns = [
            cvhn_tf.OptionalPaths(name=f"node_{layer}_{i}")(
                [layers.Dense(WIDTH)(x) for x in columns[max(i - 1, 0) : i + 2]]
            )
            for i in range(3)
        ]
    usage = Usage(keras.Model(inputs, layers.Concatenate()(columns)))
    of_layers, _ = usage.probabilities([[0.5] * size for size in usage.sizes])
    assert min(of_layers) > 0 and max(of_layers) == 1.0


def test_too_many_paths_side_by_side_are_refused():
    inputs = keras.Input((WIDTH,))
    columns = [layers.Dense(WIDTH)(inputs) for _ in range(14)]
    chosen = cvhn_tf.OptionalPaths(name="all")(columns)
    with pytest.raises(ValueError, match=r"few paths side by side.*Received: more than 5,000"):
        Usage(keras.Model(inputs, chosen))


def test_choices_of_one_name_are_refused():
    inputs = keras.Input((WIDTH,))
    inner = keras.Input((WIDTH,))
    nested = keras.Model(inner, cvhn_tf.Choice(name="same")([inner, layers.Dense(WIDTH)(inner)]))
    x = cvhn_tf.Choice(name="same")([inputs, layers.Dense(WIDTH)(inputs)])
    with pytest.raises(ValueError, match=r"a name of its own. Received: several named 'same'"):
        Usage(keras.Model(inputs, nested(x)))


def test_choice_that_no_output_reads_is_refused():
    inputs, inner = keras.Input((WIDTH,)), keras.Input((WIDTH,))
    chosen = cvhn_tf.Choice(name="unread")([inner, layers.Dense(WIDTH)(inner)])
    nested = keras.Model(inner, [layers.Dense(1)(inner), chosen])
    with pytest.raises(ValueError, match=r"take part in its outputs. Received: 'unread'"):
        Usage(keras.Model(inputs, nested(inputs)[0]))
