"""Extremes leave all numbers finite; where a training does diverge, it ends with words and its last good backup."""

import keras
import numpy as np
import pytest
from keras import layers
from long import long_but

import cvhn_tf
from cvhn_tf import export
from cvhn_tf.training.resumption import NonFiniteWeights


def make_target(scale=1.0):
    target = keras.Sequential([keras.Input((8,)), layers.Dense(16, "relu"), layers.Dense(3, "softmax")], name="target")
    target.set_weights([weight * scale for weight in target.get_weights()])
    return target


def train(x, y, target=None, **arguments):
    """A hypernetwork after a short training without warm-up, in which the description length counts in full."""
    model = cvhn_tf.VariationalHypernetwork(target or make_target(), seed=0, kl_warmup=0, **arguments)
    # The same numbers as in a graph, without seconds of tracing.
    model.compile(cvhn_tf.PivotAdam(), "sparse_categorical_crossentropy", run_eagerly=True)
    history = model.fit(x, y, epochs=2, batch_size=32, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    return model


def assert_finite(model, x):
    for variable in model.trainable_variables:
        assert np.isfinite(np.asarray(variable.numpy(), "float64")).all(), variable.path
    for complexity in (model.complexity_range.low, model.complexity_range.high):
        assert np.isfinite(model.description_length(complexity))
        assert np.isfinite(model.at(complexity)(x).numpy().astype("float64")).all()


WIDE = {"complexity_range": (1e-6, 1e6)}


@pytest.mark.parametrize(
    "arguments",
    [
        {"prior": "automatic_relevance"},
        {"prior": "group_relevance", "estimator": "weight_sampling"},
        {"prior": "log_uniform", "estimator": "flipout"},
        {"prior": "scaled_normal"},
        {"prior": "l2", "estimator": "deterministic"},
        {"parameterization": "generated"},
        {"parameterization": "low_rank"},
        {"parameterization": "piecewise_linear"},
    ],
    ids=str,
)
def test_twelve_orders_of_magnitude_of_complexity(data, arguments):
    assert_finite(train(*data, **WIDE, **arguments), data[0])


@pytest.mark.parametrize("scale", long_but({0.0, 1e10}.__contains__, [0.0, 1e-30, 1e-10, 1e10]))
def test_tiny_and_huge_weights(data, scale):
    assert_finite(train(*data, make_target(scale)), data[0])


@pytest.mark.parametrize("factor", [0.0, 1e-30, 1e15])
def test_inputs_without_variance_tiny_and_huge(data, factor):
    x, y = data
    assert_finite(train(x * np.float32(factor), y), x)


@pytest.mark.parametrize(
    "prior",
    long_but({"automatic_relevance"}.__contains__, ["automatic_relevance", "group_relevance", "log_uniform", "normal"]),
)
@pytest.mark.parametrize("stddev", [1e-8, 1e4])
def test_standard_deviations_at_the_ends_of_what_is_taken(data, prior, stddev):
    assert_finite(train(*data, prior=prior, initial_stddev=stddev), data[0])


@pytest.mark.parametrize(
    "policy", long_but({"mixed_float16"}.__contains__, ["mixed_float16", "mixed_bfloat16", "float64"])
)
@pytest.mark.parametrize(
    "parameterization", long_but({"low_rank"}.__contains__, ["hierarchical", "generated", "low_rank"])
)
def test_other_precisions(data, policy, parameterization):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        assert_finite(train(*data, parameterization=parameterization, **WIDE), data[0])
    finally:
        keras.config.set_dtype_policy(before)


class Poison(keras.callbacks.Callback):
    """Makes the learning rate infinite from an epoch on: the next step leaves no number behind."""

    def __init__(self, epoch):
        super().__init__()
        self._epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self._epoch:
            self.model.optimizer.learning_rate = np.inf


def test_backup_is_never_of_a_model_that_has_diverged(compiled, data, tmp_path):
    model, path = compiled(), tmp_path / "backup.keras"
    backup = cvhn_tf.Backup(path)
    message = r"Training has diverged: '.*dense.*' holds NaN or infinity after epoch 2, step 4.*backup of epoch 1 stays"
    with pytest.raises(NonFiniteWeights, match=message):
        model.fit(*data, epochs=5, batch_size=32, verbose=0, callbacks=[Poison(1), backup])
    assert [file.name for file in tmp_path.iterdir()] == ["backup.keras"]
    again = compiled()
    assert cvhn_tf.Backup(path).restore(again) == 1
    assert_finite(again, data[0])


def test_divergence_in_the_first_epoch_leaves_no_backup(compiled, data, tmp_path):
    with pytest.raises(NonFiniteWeights, match="no backup"):
        compiled().fit(*data, verbose=0, callbacks=[Poison(0), cvhn_tf.Backup(tmp_path / "backup.keras")])
    assert list(tmp_path.iterdir()) == []


def test_terminate_on_nan_stops_within_the_epoch(compiled, data, tmp_path):
    model, path = compiled(), tmp_path / "backup.keras"
    callbacks = [Poison(1), keras.callbacks.TerminateOnNaN(), cvhn_tf.Backup(path)]
    with pytest.raises(NonFiniteWeights, match="after epoch 2"):
        model.fit(*data, epochs=5, batch_size=4, verbose=0, callbacks=callbacks)
    assert model.optimizer.iterations.numpy() < 2 * 16
    assert cvhn_tf.Backup(path).restore(compiled()) == 1


def test_nothing_is_made_of_a_model_that_has_diverged(compiled, data):
    model = compiled()
    model.fit(*data, verbose=0, callbacks=[Poison(0)])
    for act in (lambda: export.prune(model, 1.0, 0.5), lambda: export.pack(model, 1.0, 0.5), lambda: model.fit(*data)):
        with pytest.raises(ValueError, match="NaN or infinity in"):
            act()
