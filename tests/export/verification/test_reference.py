"""What Keras gives is computed once for all files of a network."""

import keras
import numpy as np
import pytest

from cvhn_tf.export.conversion.convert import to_tflite_from
from cvhn_tf.export.conversion.frozen_graphs import FrozenGraphs
from cvhn_tf.export.verification import reference
from cvhn_tf.export.verification.reference import Reference


@pytest.fixture
def network():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(3)])


@pytest.fixture
def computed(monkeypatch):
    """Numbers of examples for which Keras was asked."""
    sizes = []
    outputs_of = reference.outputs_of
    monkeypatch.setattr(
        reference, "outputs_of", lambda model, inputs: sizes.append(len(inputs[0])) or outputs_of(model, inputs)
    )
    return sizes


def test_files_of_a_network_share_what_keras_gives(network, computed):
    x = np.random.default_rng(0).normal(size=(300, 4)).astype("float32")
    graphs = FrozenGraphs()
    for quantization in (None, "float16", "dynamic_range"):
        assert to_tflite_from(graphs, network, quantization, representative_data=x).verified_examples == 300
    assert sum(computed) == 300


def test_outputs_of_many_numbers_are_not_kept(network, computed, monkeypatch):
    monkeypatch.setattr(reference, "_MOST_NUMBERS", 256 * 3)
    shared = Reference(network, [np.ones((300, 4), "float32")])
    for _ in range(2):
        for start in (0, 256):
            np.testing.assert_array_equal(shared.outputs(start), [network(shared.batch(start)[0])])
    assert computed == [256, 44, 44]


def test_further_inputs_are_the_same_for_each_file_and_end_before_what_is_not_finite(computed):
    inputs = keras.Input((1,))
    network = keras.Model(inputs, keras.ops.exp(inputs * keras.ops.exp(inputs)))  # infinite from some 4.5 on
    shared = Reference(network, [np.full((16, 1), 0.5, "float32")])
    first = next(shared.further())  # of a file that needs one only
    others = list(shared.further())
    assert others[0] is first
    assert len(others) == len(list(shared.further())) < 6
    assert all(np.isfinite(further.outputs(0)).all() for further in others)
