"""What a file loses is said in the file, and by what was measured beside it."""

import keras
import numpy as np
import pytest
from keras import layers

from cvhn_tf import export


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((20,)), layers.Dense(64, "relu"), layers.Dense(5, "softmax")])


@pytest.fixture(scope="module")
def data(network):
    x = np.random.default_rng(0).normal(size=(400, 20)).astype("float32")
    return x, network(x).numpy().argmax(1)


def far_from(network):
    """A network that is wrong about most examples."""
    other = keras.models.clone_model(network)
    other.set_weights([-weight for weight in network.get_weights()])
    return other


def test_accuracies_stand_beside_each_other_and_a_loss_is_a_caveat(network, data):
    other = far_from(network)
    for model, lost in ((network, False), (other, True)):
        artifact = export.check_accuracy(export.to_tflite(model), network, data)
        assert artifact.keras_accuracy == 1.0 and artifact.latency_ms > 0
        assert artifact.accuracy == export.evaluate_tflite(artifact, *data).accuracy
        assert len(artifact.caveats) == lost
        annotated = export.annotate(artifact)
        assert annotated.metadata.get("caveats", []) == list(artifact.caveats)
        assert annotated.accuracy == artifact.accuracy
    assert f"{artifact.accuracy:.4f}" in artifact.caveats[0] and "1.0000" in artifact.caveats[0]


def test_a_loss_within_the_tolerance_is_none(network, data):
    artifact = export.to_tflite(far_from(network))
    assert export.check_accuracy(artifact, network, data, max_accuracy_loss=1.0).caveats == ()


@pytest.mark.parametrize("loss", [-0.1, 1.1])
def test_tolerance_is_a_share(network, data, loss):
    with pytest.raises(ValueError, match="max_accuracy_loss"):
        export.check_accuracy(export.to_tflite(network), network, data, loss)


def test_smallest_says_what_its_file_loses_and_how_long_it_takes(network, data):
    artifact = export.smallest(network, data=data, max_accuracy_loss=0.05)
    assert artifact.keras_accuracy - 0.05 <= artifact.accuracy <= artifact.keras_accuracy == 1.0
    assert artifact.latency_ms > 0 and artifact.caveats == ()
    assert export.smallest(network).latency_ms > 0
