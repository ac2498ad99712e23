import collections
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from repeated import repeated
from tensorflow.python.framework import func_graph

import cvhn_tf
from cvhn_tf.layers.variational import Variational
from cvhn_tf.parameterizations import PiecewiseLinear
from cvhn_tf.training.kl_warmup import kl_warmup_weight


def weights_of(model):
    return [variable.numpy() for variable in model.trainable_variables]


def assert_same_weights(first, second):
    for ours, theirs in zip(weights_of(first), weights_of(second), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_loss_is_nll_plus_weighted_kl(compiled, data):
    x, y = data
    model = compiled(train_size=50, kl_warmup=0)
    model.complexity = 20.0
    logs = model.evaluate(x, y, return_dict=True, verbose=0)
    probabilities = model.at(20.0)(x).numpy()[np.arange(64), y]
    assert logs["nll"] == pytest.approx(-np.log(probabilities).mean(), rel=1e-4)
    assert logs["kl_bits"] == pytest.approx(model.description_length(20.0), rel=1e-4)
    assert logs["complexity"] == 20.0
    expected = logs["nll"] + 20.0 * logs["kl_bits"] * np.log(2) / 50
    assert logs["loss"] == pytest.approx(expected, rel=1e-4)


def test_a_prior_says_what_its_kl_is_weighed_by(compiled, data):
    model = compiled(prior="scaled_normal", train_size=50, kl_warmup=0)
    model.complexity = 20.0
    logs = model.evaluate(*data, return_dict=True, verbose=0)
    assert logs["loss"] == pytest.approx(logs["nll"] + logs["kl_bits"] * np.log(2) / 50, rel=1e-4)


def test_description_length_falls_with_complexity_and_accuracy_holds_after_training(compiled, data):
    x, y = data
    model = compiled(complexity_samples=2, train_size=64)
    model.fit(*repeated(data, 25), batch_size=16, epochs=4, verbose=0)
    lengths = [model.description_length(complexity) for complexity in (0.01, 0.1, 1.0, 10.0)]
    assert lengths == sorted(lengths, reverse=True), lengths
    assert np.mean(model.predict(x, verbose=0).argmax(1) == y) > 0.95


def test_warmup_grows_over_its_share_of_the_steps_and_is_not_repeated(compiled, data):
    x, y = data
    model = compiled(kl_warmup=0.5)
    model.fit(x, y, batch_size=16, epochs=5, verbose=0)  # 20 steps
    weights = [
        float(kl_warmup_weight(tf.constant(step, "int64"), model._warmup_steps.value)) for step in (0, 5, 10, 20)
    ]
    np.testing.assert_allclose(weights, [0, 0.5, 1, 1])
    model.fit(x, y, batch_size=16, epochs=1, verbose=0)
    assert float(kl_warmup_weight(model._step.value, model._warmup_steps.value)) == 1


def test_call_takes_a_complexity_and_predict_the_default_one(compiled, data):
    x, _ = data
    model = compiled()
    model.fit(*data, epochs=2, verbose=0)
    assert model.complexity == 1.0
    np.testing.assert_allclose(model.predict(x, verbose=0), model(x, complexity=1.0), atol=1e-6)
    model.complexity = 0.1  # the traced predict function sees the change
    np.testing.assert_allclose(model.predict(x, verbose=0), model(x, complexity=0.1), atol=1e-6)
    assert np.abs(model(x, complexity=0.1) - model(x, complexity=1.0)).max() > 1e-4


def test_posterior_has_the_paths_of_the_plain_network_and_its_means(compiled):
    model = compiled()
    network = model.at(3.0)
    posterior = model.posterior(3.0)
    assert list(posterior) == [weight.path for weight in network.trainable_weights]
    for weight in network.trainable_weights:
        np.testing.assert_array_equal(posterior[weight.path].mean(), weight)
        assert posterior[weight.path].stddev().shape == weight.shape


def test_networks_are_independent_of_each_other_and_of_the_target(compiled, target):
    before = [weight.numpy() for weight in target.weights]
    model = compiled()
    first = model.at(1.0)
    first.weights[0].assign(tf.zeros_like(first.weights[0]))
    assert np.any(model.at(1.0).weights[0].numpy() != 0)
    for weight, value in zip(target.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


@pytest.mark.parametrize("compile_arguments", [{"steps_per_execution": 2}, {"run_eagerly": True}], ids=str)
def test_ways_to_run_a_step_give_the_same_weights(compiled, data, compile_arguments):
    plain, other = compiled(seed=3), compiled(compile_arguments, seed=3)
    for variable, value in zip(other.variables, plain.variables, strict=True):
        variable.assign(value)
    for model in (plain, other):
        model.fit(*data, batch_size=16, epochs=2, shuffle=False, verbose=0)
    assert int(other._step.numpy()) == 8
    for ours, theirs in zip(weights_of(plain), weights_of(other), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.long
def test_jit_compiled_training_learns(compiled, data):
    x, y = data
    model = compiled({"jit_compile": True}, train_size=64)
    assert model.jit_compile
    model.fit(*repeated(data, 25), batch_size=16, epochs=4, verbose=0)
    assert np.mean(model.predict(x, verbose=0).argmax(1) == y) > 0.95


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains_with_full_precision_posteriors(data, policy):
    x, y = data
    keras.config.set_dtype_policy(policy)
    try:
        target = keras.Sequential(
            [keras.Input((8,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(3, "softmax", dtype="float32")]
        )
        model = cvhn_tf.VariationalHypernetwork(target, complexity_samples=2, train_size=64)
        model.compile(cvhn_tf.PivotAdam(), "sparse_categorical_crossentropy")
        losses = model.fit(*repeated(data, 3), batch_size=16, epochs=10, verbose=0).history["nll"]
        assert np.isfinite(losses).all() and losses[-1] < 0.7 * losses[0]
        assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
        assert np.mean(model.at(0.1)(x).numpy().argmax(1) == y) > 0.9
    finally:
        keras.config.set_dtype_policy("float32")


def test_scale_of_losses_in_half_precision_lasts_from_fit_to_fit_and_in_files(tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = cvhn_tf.VariationalHypernetwork(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]))
        model.compile(cvhn_tf.PivotAdam(), "mse")
        x, y = np.full((4, 3), 1e3), np.ones((4, 2))  # gradients that overflow at the scale that Keras begins with
        model.fit(x, y, epochs=3, verbose=0)
        model.save(tmp_path / "model.keras")
        assert model.optimizer.dynamic_scale.numpy() == 2**12
        for trained in (model, cvhn_tf.load_model(tmp_path / "model.keras")):
            variables = len(trained.optimizer.variables)
            trained.fit(x, y, verbose=0)
            assert trained.optimizer.dynamic_scale.numpy() <= 2**12
            assert len(trained.optimizer.variables) == variables
    finally:
        keras.config.set_dtype_policy("float32")


def test_sample_weights_and_class_weights_count(compiled, data):
    x, y = repeated(data, 25)
    model = compiled(train_size=64)
    model.fit(x, y, epochs=4, class_weight={0: 1.0, 1: 1.0, 2: 0.0}, verbose=0)
    assert not np.any(model.predict(x, verbose=0).argmax(1) == 2)
    model = compiled(train_size=64)
    model.fit(x, y, epochs=4, sample_weight=(y != 1).astype("float32"), verbose=0)
    assert not np.any(model.predict(x, verbose=0).argmax(1) == 1)


def test_equal_seeds_give_equal_runs_and_a_resumed_run_continues_the_sequence(compiled, data, tmp_path):
    x, y = data
    whole = compiled(seed=5, kl_warmup=8)
    halves = compiled(seed=5, kl_warmup=8)
    for variable, value in zip(halves.variables, whole.variables, strict=True):
        variable.assign(value)
    whole.fit(x, y, batch_size=16, epochs=4, shuffle=False, verbose=0)
    halves.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    halves.save(tmp_path / "half.keras")
    resumed = cvhn_tf.load_model(tmp_path / "half.keras")
    resumed.fit(x, y, batch_size=16, epochs=4, initial_epoch=2, shuffle=False, verbose=0)
    assert_same_weights(whole, resumed)


IN_A_NEW_PROCESS = """
import sys, keras, numpy as np, cvhn_tf
folder = sys.argv[1]
x = np.load(folder + "/x.npy")
model = keras.saving.load_model(folder + "/keras.keras")
np.save(folder + "/keras.npy", model.predict(x, verbose=0))
model = cvhn_tf.load_model(folder + "/ours.keras")
np.save(folder + "/ours.npy", model.predict(x, verbose=0))
model.fit(x, np.zeros(64), epochs=1, verbose=0)
assert model.parameterization.pivots == 3 and model.complexity == 0.5
"""


@pytest.fixture(scope="module")
def predicted_in_a_new_process(tmp_path_factory):
    """What one process has predicted by two saved models, the first loaded by Keras alone, and what this one predicts.

    One for both, since to import TensorFlow takes much longer.
    """
    folder = tmp_path_factory.mktemp("saved")
    x, y = np.random.default_rng(0).normal(size=(64, 8)).astype("float32"), np.arange(64) % 3
    arguments = {"parameterization": PiecewiseLinear(3), "prior": "normal", "complexity_range": (0.1, 10)}
    expected = {}
    for name, options in {"keras": {}, "ours": {**arguments, "train_size": 64}}.items():
        stack = [keras.layers.Dense(16, "relu"), keras.layers.Dense(3, "softmax")]
        model = cvhn_tf.VariationalHypernetwork(keras.Sequential([keras.Input((8,)), *stack]), **options)
        model.compile(cvhn_tf.PivotAdam(), "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(x, y, epochs=2, verbose=0)
        if name == "ours":
            model.complexity = 0.5
        model.save(folder / f"{name}.keras")
        expected[name] = model.predict(x, verbose=0)
    np.save(folder / "x.npy", x)
    subprocess.run([sys.executable, "-c", IN_A_NEW_PROCESS, str(folder)], check=True)
    return {name: (np.load(folder / f"{name}.npy"), expected[name]) for name in expected}


@pytest.mark.long
def test_saved_model_predicts_the_same_in_a_new_process(predicted_in_a_new_process):
    received, expected = predicted_in_a_new_process["ours"]
    np.testing.assert_array_equal(received, expected)


@pytest.mark.long
def test_importing_the_package_is_enough_for_keras_to_load_the_model(predicted_in_a_new_process):
    received, expected = predicted_in_a_new_process["keras"]
    np.testing.assert_array_equal(received, expected)


def test_plain_network_takes_one_evaluation_of_each_layer_and_no_graph(monkeypatch):
    """What makes it a matter of milliseconds, which `benchmarks/speed/step_time.py` measures."""
    target = keras.Sequential(
        [keras.Input((784,)), *(keras.layers.Dense(units, "relu") for units in (300, 100)), keras.layers.Dense(10)]
    )
    model = cvhn_tf.VariationalHypernetwork(target)
    counts = collections.Counter()

    def count(owner, name):
        function = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *args, **kwargs: (counts.update([name]), function(*args, **kwargs))[1])

    count(Variational, "means")
    count(cvhn_tf.VariationalHypernetwork, "call")
    count(func_graph, "func_graph_from_py_func")
    for _ in range(5):
        model.at(2.0)
    assert counts == {"means": 5 * 3}
    model.predict(np.ones((1, 784)), verbose=0)
    assert counts["call"] and counts["func_graph_from_py_func"]  # both are seen where there are any


def test_summary_shows_the_layers_of_the_target(compiled):
    lines = []
    compiled().summary(print_fn=lines.append)
    assert "dense" in "\n".join(lines)


def test_config_is_complete(compiled):
    model = compiled(complexity_samples=3, train_size=7, kl_warmup=0.1, initial_stddev=0.02, seed=1, name="mine")
    copy = cvhn_tf.VariationalHypernetwork.from_config(model.get_config())
    assert copy.get_config() == model.get_config()
    assert [v.shape for v in copy.variables] == [v.shape for v in model.variables[: len(copy.variables)]]


def test_each_metric_stands_once_in_what_evaluate_gives(compiled, data):
    model = compiled()
    model.fit(*data, verbose=0)
    assert [metric.name for metric in model.metrics].count("nll") == 1
    results = model.evaluate(*data, verbose=0, return_dict=True)
    assert sorted(model.evaluate(*data, verbose=0)) == pytest.approx(sorted(results.values()))


def test_a_second_and_longer_fit_does_not_lower_the_weight_of_the_kl_again(compiled, data):
    model = compiled(kl_warmup=0.5)
    model.fit(*data, batch_size=16, epochs=2, verbose=0)
    warmup = float(model._warmup_steps.numpy())
    model.fit(*data, batch_size=16, epochs=4, verbose=0)
    assert float(model._warmup_steps.numpy()) == warmup == 4


def test_warmup_of_a_number_of_steps_counts_without_fit(compiled, data):
    x, y = data
    losses = []
    for kl_warmup in (0, 1000):
        model = compiled(train_size=64, kl_warmup=kl_warmup)
        results = model.train_on_batch(x, y, return_dict=True)
        losses.append(results["loss"] - results["nll"])
    assert losses[0] > 1e-3 and losses[1] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("policy", ["bfloat16", "float64"])
@pytest.mark.parametrize("parameterization", ["gated", "piecewise_linear"])
def test_targets_of_other_precisions_train(policy, parameterization, data):
    stack = [keras.layers.Dense(8, "relu", dtype=policy), keras.layers.Dense(3, dtype=policy)]
    target = keras.Sequential([keras.Input((8,)), *stack, keras.layers.Softmax(dtype="float32")])
    model = cvhn_tf.VariationalHypernetwork(target, parameterization=parameterization)
    model.compile(cvhn_tf.PivotAdam(), "sparse_categorical_crossentropy")
    assert np.isfinite(model.fit(*data, epochs=2, verbose=0).history["loss"]).all()


def test_weights_in_float16_are_refused():
    target = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3, dtype="float16")])
    with pytest.raises(ValueError, match=r"in float16.*'mixed_float16'"):
        cvhn_tf.VariationalHypernetwork(target)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_losses_that_layers_add_in_half_precision_count(policy, data):
    layers = keras.layers
    stack = [layers.Dense(16, dtype=policy), layers.ActivityRegularization(0.1, dtype=policy)]
    target = keras.Sequential([keras.Input((8,)), *stack, layers.Dense(3, "softmax", dtype="float32")])
    model = cvhn_tf.VariationalHypernetwork(target, train_size=10**9)
    model.compile("sgd", "sparse_categorical_crossentropy")
    logs = model.fit(*data, verbose=0).history
    assert logs["loss"][0] > logs["nll"][0] + 0.01
