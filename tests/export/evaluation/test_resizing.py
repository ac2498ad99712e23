"""Files for a single example are measured on many at a time, where that gives the same."""

import keras
import numpy as np
import pytest

from cvhn_tf import export
from cvhn_tf.export.verification.litert import LiteRTModel


@pytest.fixture
def invocations(monkeypatch):
    """Numbers of examples that interpreters are given at a time."""
    sizes = []
    invoke = LiteRTModel._invoke
    monkeypatch.setattr(
        LiteRTModel, "_invoke", lambda self, inputs: sizes.append(len(inputs[0])) or invoke(self, inputs)
    )
    return sizes


def measure(network, x):
    """Mean squared difference of a file from its network."""
    artifact = export.to_tflite(network)
    return export.evaluate_tflite(artifact, x, keras.ops.convert_to_numpy(network(x)), loss="mse").loss


def test_many_examples_at_a_time(invocations):
    network = keras.Sequential([keras.Input((6, 4)), keras.layers.Flatten(), keras.layers.Dense(3)])
    x = np.random.default_rng(0).normal(size=(2500, 6, 4)).astype("float32")
    assert measure(network, x) < 1e-10
    assert {1000, 500} <= set(invocations)
    assert len(invocations) < 100


def test_one_by_one_where_sizes_stand_in_the_file(invocations):
    network = keras.Sequential([keras.Input((6, 4)), keras.layers.LSTM(5), keras.layers.Dense(3)])
    x = np.random.default_rng(0).normal(size=(40, 6, 4)).astype("float32")
    assert measure(network, x) < 1e-10
    assert invocations.count(1) >= 40
