"""What cannot be done is refused at once, by an error that names the argument and what was received."""

import keras
import numpy as np
import pytest
from keras import layers

import cvhn_tf


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(2)

    def call(self, inputs):
        return self.dense(inputs)


def frozen():
    target = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    target.trainable = False
    return target


@pytest.mark.parametrize(
    "make_target, problem",
    [
        (lambda: keras.Sequential([layers.Dense(2)]), "not built"),
        (Subclassed, "functional or Sequential"),
        (lambda: layers.Dense(2), "functional or Sequential"),
        (lambda: None, "functional or Sequential"),
        (lambda: keras.Sequential([keras.Input((4,)), layers.Flatten()]), "trainable weights"),
        (lambda: keras.Sequential([keras.Input((4,)), layers.BatchNormalization()]), "trainable weights"),
        (frozen, "trainable weights"),
    ],
)
def test_targets_that_cannot_be_generated(make_target, problem):
    with pytest.raises(ValueError, match=problem):
        cvhn_tf.VariationalHypernetwork(make_target())


@pytest.mark.parametrize(
    "arguments",
    [
        {"complexity_range": (1, 0.1)},
        {"parameterization": "cubic"},
        {"prior": "horseshoe"},
        {"estimator": "guess"},
        {"complexity_samples": 0},
        {"complexity_samples": 1.5},
        {"train_size": 0},
        {"train_size": -3},
        {"kl_warmup": 1.5},
        {"kl_warmup": -1},
        {"kl_warmup": "slow"},
        {"initial_stddev": 0.0},
    ],
    ids=str,
)
def test_bad_arguments(target, arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"`{name}`.*Received"):
        cvhn_tf.VariationalHypernetwork(target, **arguments)


@pytest.mark.parametrize("complexity", [1e-3, 1e3, -1.0, float("nan"), "1", [1.0, 2.0], np.ones(2)])
@pytest.mark.parametrize("method", ["at", "posterior", "description_length"])
def test_complexities_outside_the_range(compiled, method, complexity):
    with pytest.raises(ValueError, match="Received: complexity="):
        getattr(compiled(), method)(complexity)


def test_complexity_outside_the_range_in_a_call_or_as_default(compiled, data):
    model = compiled()
    with pytest.raises(ValueError, match="Received: complexity=1000"):
        model(data[0], complexity=1000.0)
    with pytest.raises(ValueError, match="Received: complexity=1000"):
        model.complexity = 1000.0
    assert model.complexity == 1.0


def test_files_that_hold_no_hypernetwork(target, tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        cvhn_tf.load_model(tmp_path / "missing.keras")
    (tmp_path / "text.keras").write_text("no model")
    with pytest.raises(ValueError, match="cannot load"):
        cvhn_tf.load_model(tmp_path / "text.keras")
    target.save(tmp_path / "target.keras")
    with pytest.raises(ValueError, match="holds a Sequential"):
        cvhn_tf.load_model(tmp_path / "target.keras")


def test_truncated_file_is_refused(compiled, tmp_path):
    compiled().save(tmp_path / "model.keras")
    content = (tmp_path / "model.keras").read_bytes()
    (tmp_path / "half.keras").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="cannot load"):
        cvhn_tf.load_model(tmp_path / "half.keras")
