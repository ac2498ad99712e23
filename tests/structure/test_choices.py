import keras
import numpy as np
import pytest
from keras import layers

import cvhn_tf


def branches(count=3, **arguments):
    x = keras.Input((4, 4, 2), **arguments)
    return x, [layers.Conv2D(2, 1 + 2 * i, padding="same")(x) for i in range(count)]


@pytest.mark.parametrize("kind,merge", [(cvhn_tf.Choice, "mean"), (cvhn_tf.OptionalPaths, "sum")])
def test_plain_layer_builds_fits_and_loads(kind, merge, tmp_path):
    inputs, paths = branches()
    model = keras.Model(inputs, kind(name="block")(paths))
    x = np.random.default_rng(0).normal(size=(8, 4, 4, 2)).astype("float32")
    each = np.stack(keras.Model(inputs, paths).predict(x, verbose=0))
    np.testing.assert_allclose(model.predict(x, verbose=0), getattr(each, merge)(axis=0), atol=1e-6)
    model.compile("adam", "mse")
    model.fit(x, x, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.get_layer("block"), kind)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


@pytest.mark.parametrize("kind", [cvhn_tf.Choice, cvhn_tf.OptionalPaths])
def test_bad_candidates(kind):
    inputs, paths = branches()
    with pytest.raises(ValueError, match=rf"at least two candidates for {kind.__name__} 'block'. Received: 1 of them"):
        kind(name="block")(paths[:1])
    with pytest.raises(ValueError, match=r"at least two candidates for .* 'block'. Received: inputs=<KerasTensor"):
        kind(name="block")(inputs)
    narrow = layers.Conv2D(1, 1)(inputs)
    with pytest.raises(ValueError, match=r"candidates of one shape .*\(None, 4, 4, 2\), \(None, 4, 4, 1\)"):
        kind(name="block")([paths[0], narrow])
    with pytest.raises(ValueError, match="candidates of one dtype"):
        kind(name="block")([paths[0], layers.Conv2D(2, 1, dtype="float16")(inputs)])


def test_mask_passes_through():
    inputs = keras.Input((5,), dtype="int32")
    x = layers.Embedding(7, 3, mask_zero=True)(inputs)
    x = cvhn_tf.Choice(name="choice")([layers.Dense(3, name="dense")(x), x])
    target = keras.Model(inputs, layers.LSTM(2)(x))
    tokens = np.array([[1, 2, 0, 0, 0], [3, 4, 5, 6, 1]])
    model = cvhn_tf.VariationalHypernetwork(target)
    of_model = [model.at(1.0, structure={"choice": path}).predict(tokens, verbose=0) for path in (0, 1)]
    expected = keras.Model(inputs, target.layers[-1](target.get_layer("dense")(target.layers[1].output)))
    np.testing.assert_allclose(of_model[0], expected.predict(tokens, verbose=0), atol=1e-6)
    model.complexity = 1.0
    index = int(model.structure(1.0)["choice"].mode())
    np.testing.assert_allclose(model.predict(tokens, verbose=0), of_model[index], atol=1e-6)


def test_candidates_that_differ_in_their_mask_are_refused():
    inputs = keras.Input((5,), dtype="int32")
    masked, plain = layers.Embedding(7, 3, mask_zero=True)(inputs), layers.Embedding(7, 3)(inputs)
    with pytest.raises(ValueError, match=r"same mask, or none, for Choice 'words'.*Received: 1 of 2 candidates with"):
        cvhn_tf.Choice(name="words")([masked, plain])
