import keras
import numpy as np
import pytest

import cvhn_tf


@pytest.fixture(autouse=True)
def same_seed_for_every_test():
    keras.utils.set_random_seed(0)


@pytest.fixture
def target():
    return keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(3, "softmax")], name="target"
    )


@pytest.fixture
def data():
    """64 examples of three well separated classes."""
    rng = np.random.default_rng(0)
    y = np.arange(64) % 3
    x = rng.normal(size=(3, 8))[y] * 2 + rng.normal(size=(64, 8)) * 0.3
    return x.astype("float32"), y


@pytest.fixture
def compiled(target):
    """Makes a compiled hypernetwork of the small target."""

    def make(compile_arguments=None, **arguments):
        model = cvhn_tf.VariationalHypernetwork(target, **arguments)
        model.compile(
            cvhn_tf.PivotAdam(), "sparse_categorical_crossentropy", metrics=["accuracy"], **(compile_arguments or {})
        )
        return model

    return make
