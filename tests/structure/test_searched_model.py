import itertools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from keras import layers
from long import long_but

import cvhn_tf
from cvhn_tf import export
from cvhn_tf.structure.one_path import run_one_path


def block(name, units, x):
    x = layers.BatchNormalization(name=f"{name}_norm")(layers.Dense(units, name=name)(x))
    return layers.Activation("relu", name=f"{name}_relu")(x)


@pytest.fixture(scope="module")
def target():
    inputs = keras.Input((8,), name="x")
    x = block("stem", 6, inputs)
    x = cvhn_tf.Choice(name="block")([block("narrow", 6, x), block("deep", 6, block("wide", 32, x)), x])
    own = keras.Input((6,))
    inner = cvhn_tf.Choice(name="inner")([layers.Dense(6, name="within")(own), own])
    x = keras.Model(own, inner, name="nested")(x)
    x = cvhn_tf.OptionalPaths(name="paths")([x, layers.Dense(6, name="side")(x)])
    return keras.Model(inputs, layers.Dense(3, "softmax", name="classes")(x), name="target")


@pytest.fixture(scope="module")
def examples():
    """64 examples of three well separated classes."""
    rng = np.random.default_rng(0)
    y = np.arange(64) % 3
    x = rng.normal(size=(3, 8))[y] * 2 + rng.normal(size=(64, 8)) * 0.3
    return x.astype("float32"), y


@pytest.fixture(scope="module")
def fitted(target, examples):
    keras.utils.set_random_seed(0)
    model = cvhn_tf.VariationalHypernetwork(target, seed=3, price=0.3)
    model.compile(cvhn_tf.PivotAdam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(*examples, batch_size=16, epochs=3, verbose=0)
    return model


def test_structure_is_a_distribution_of_each_choice(fitted):
    structure = fitted.structure(1.0)
    assert list(structure) == ["block", "inner", "paths"]
    assert isinstance(structure["block"], tfp.distributions.Categorical)
    assert structure["block"].logits_parameter().shape == (3,) and structure["inner"].logits_parameter().shape == (2,)
    assert structure["paths"].event_shape == (2,)
    assert structure["paths"].sample(5).shape == (5, 2)
    with pytest.raises(ValueError, match=r"Received: complexity=-1"):
        fitted.structure(-1.0)


def test_networks_are_those_of_the_most_probable_structure(fitted, data):
    for complexity in (0.01, 1.0, 100.0):
        network = fitted.at(complexity)
        fitted.complexity = complexity
        np.testing.assert_allclose(fitted.predict(data[0], verbose=0), network(data[0]), atol=1e-5)
        names = {type(layer).__name__ for layer in network._flatten_layers()}
        assert not names & {"Choice", "OptionalPaths"}
        posterior = fitted.posterior(complexity)
        assert set(posterior) <= {weight.path for weight in network.weights}
        for weight in network.weights:
            if weight.path in posterior:
                np.testing.assert_allclose(weight, posterior[weight.path].mean(), rtol=1e-6)


def test_summary_tells_the_choices(fitted):
    lines = []
    fitted.summary(print_fn=lines.append)
    assert "Choices: 'block' of 3, 'inner' of 2, 'paths' of 2 paths" in "\n".join(lines)


def test_any_other_structure_can_be_had(fitted, data):
    network = fitted.at(1.0, structure={"block": 1, "paths": [False, True]})
    names = {layer.name for layer in network._flatten_layers()}
    assert {"wide", "deep", "side"} <= names and "narrow" not in names
    for path, is_there in ((1, True), (0, False)):
        assert ("wide/kernel" in fitted.posterior(1.0, {"block": path, "paths": [True, False]})) == is_there
    by_hand = 8 * 6 + 6 * 32 + 32 * 6 + 6 * 6 + 6 * 3
    inner = {"inner": 1}
    assert fitted.structure_cost(1.0, {"block": 1, "paths": [False, True], **inner}) == by_hand
    assert fitted.at(1.0, {"paths": [0, 0]})(data[0]).shape == (64, 3)
    for structure, error in (
        (
            {"block": 3},
            r"the index of a path for 'block', an integer in \[0, 3\). Received: structure\['block'\]=3",
        ),
        ({"block": True}, r"Received: structure\['block'\]=True"),
        ({"paths": [1]}, r"2 truth values for 'paths', one for each path. Received: structure\['paths'\]=\[1\]"),
        ({"blok": 1}, r"to name choices of the target, \['block', 'inner', 'paths'\]. Received: structure=\{'blok': 1"),
    ):
        with pytest.raises(ValueError, match=error):
            fitted.at(1.0, structure=structure)


def test_loss_is_as_documented(fitted, data):
    complexity = 10.0
    fitted.complexity = complexity
    logs = fitted.evaluate(*data, batch_size=64, verbose=0, return_dict=True)
    block, inner, paths = fitted.structure(complexity).values()
    p, within = block.probs_parameter().numpy(), inner.probs_parameter().numpy()[0]
    there = paths.distribution.probs_parameter().numpy()
    # What follows the sum is used at all only if one of its paths is there.
    used = 1 - np.prod(1 - there)
    shares = {"stem": used, "narrow": used * p[0], "wide": used * p[1], "deep": used * p[1], "within": used * within}
    shares |= {"side": there[1], "classes": 1.0}
    kls = {
        layer.name: float(layer.kl(layer.posteriors(tf.constant([complexity])), tf.constant([complexity]))[0])
        for layer in fitted._target.layers()
    }
    entropy = lambda q: -sum(x * math.log(x) for x in q if x > 0)  # noqa: E731
    of_choices = used * (math.log(3) - entropy(p)) + used * (math.log(2) - entropy([within, 1 - within]))
    of_choices += sum(math.log(2) - entropy([x, 1 - x]) for x in there)
    kl = sum(shares[name] * value for name, value in kls.items()) + of_choices
    assert fitted.description_length(complexity) == pytest.approx(kl / math.log(2), rel=1e-4)
    sizes = {"stem": 48, "narrow": 36, "wide": 192, "deep": 192, "within": 36, "side": 36, "classes": 18}
    cost = sum(shares[name] * size for name, size in sizes.items())
    assert logs["structure_cost"] == pytest.approx(cost, rel=1e-4)
    expected = logs["nll"] + complexity * (kl / 64 + 0.3 * cost / sum(sizes.values()))
    assert logs["loss"] == pytest.approx(expected, rel=1e-4)
    budgeted = cvhn_tf.VariationalHypernetwork.from_config({**fitted.get_config(), "budget": cost + 1.0})
    budgeted.set_weights(fitted.get_weights())
    budgeted.compile(loss="sparse_categorical_crossentropy", run_eagerly=True)
    budgeted.complexity = complexity
    logs = budgeted.evaluate(*data, batch_size=64, verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(logs["nll"] + complexity * kl / 64, rel=1e-4)


def test_saved_model_has_structure_and_goes_on_as_before(fitted, data, tmp_path):
    fitted.save(tmp_path / "model.keras")
    loaded, other = (cvhn_tf.load_model(tmp_path / "model.keras") for _ in range(2))
    assert {**loaded.get_config(), "target": None} == {**fitted.get_config(), "target": None}
    for name, q in fitted.structure(1.0).items():
        np.testing.assert_array_equal(loaded.structure(1.0)[name].entropy(), q.entropy())
    for model in (other, loaded):
        model.run_eagerly = True  # four steps, which take longer to trace than to run
        model.fit(*data, batch_size=16, epochs=1, shuffle=False, verbose=0)
    for ours, theirs in zip(loaded.weights, other.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_cheap_structures_are_chosen_where_complexity_is_high():
    rng = np.random.default_rng(0)
    x = rng.choice([-1.0, 1.0], size=(512, 2)).astype("float32") + rng.normal(size=(512, 2)).astype("float32") * 0.1
    y = (x[:, 0] * x[:, 1] > 0).astype("int32")  # which no linear network tells
    inputs = keras.Input((2,))
    hidden = layers.Dense(16, "relu", name="hidden")(inputs)
    features = cvhn_tf.Choice(name="features")(
        [layers.Dense(4, name="nonlinear")(hidden), layers.Dense(4, name="linear")(inputs)]
    )
    target = keras.Model(inputs, layers.Dense(2, "softmax")(features))
    model = cvhn_tf.VariationalHypernetwork(target, seed=1, price=1.0, complexity_range=(1e-3, 10.0))
    model.compile(cvhn_tf.PivotAdam(5e-3), "sparse_categorical_crossentropy")
    model.fit(np.tile(x, (20, 1)), np.tile(y, 20), batch_size=64, epochs=6, verbose=0)
    rich, poor = (model.structure(complexity)["features"].probs_parameter().numpy() for complexity in (1e-3, 10.0))
    assert rich[0] > 0.8 and poor[1] > 0.8
    accuracy = np.mean(model.at(1e-3).predict(x, verbose=0).argmax(-1) == y)
    assert accuracy > 0.95
    assert model.at(10.0).count_params() < model.at(1e-3).count_params()


@pytest.mark.long
def test_several_complexities_a_step_have_a_structure_each(target, data):
    model = cvhn_tf.VariationalHypernetwork(target, complexity_samples=3, seed=1)
    model.compile("adam", "sparse_categorical_crossentropy", run_eagerly=True)
    history = model.fit(*data, batch_size=16, epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    weights = model._structure_inputs(
        tf.constant([0.1, 1.0, 10.0]), tf.constant([1, 2]), tf.constant(0, tf.int64), True
    )
    assert weights[0].shape == (3, 7)
    np.testing.assert_allclose(tf.reduce_sum(weights[0][:, :3], axis=-1), 1.0, rtol=1e-5)


def test_mixed_precision(data):
    policy = keras.DTypePolicy("mixed_bfloat16")
    inputs = keras.Input((8,))
    x = layers.Dense(6, dtype=policy)(inputs)
    x = cvhn_tf.Choice(name="choice", dtype=policy)([layers.Dense(6, "relu", dtype=policy)(x), x])
    target = keras.Model(inputs, layers.Dense(3, "softmax", dtype="float32")(x))
    model = cvhn_tf.VariationalHypernetwork(target)
    model.compile("adam", "sparse_categorical_crossentropy")
    history = model.fit(*data, batch_size=16, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert model.structure(1.0)["choice"].dtype == tf.int32
    assert model._structure.weights[0].dtype == "float32"


def test_one_path_computes_what_all_paths_give_for_a_draw_of_zeros_and_ones(target, data):
    model = cvhn_tf.VariationalHypernetwork(target, seed=3, paths="one")
    structure, complexities = model._structure, tf.constant([1.0])
    before = model.get_weights()
    for step in range(4):
        draw, _ = structure.sample_one(complexities, tf.constant([1, step]))
        seed = tf.constant([5, step])
        results = []
        for run in (
            lambda inputs: model._graph(inputs, training=True),
            lambda inputs: run_one_path(model._graph, inputs, True)[0],
        ):
            model.set_weights(before)
            with tf.GradientTape() as tape:
                outputs, kls = run([tf.constant(data[0]), complexities, seed, draw])
                loss = tf.reduce_sum(outputs[:, 0]) + tf.reduce_sum(tf.add_n(kls))
            variables = [variable.value for variable in model.trainable_variables]
            gradients = tape.gradient(loss, variables, unconnected_gradients="zero")
            results.append((outputs, *kls, *map(tf.convert_to_tensor, gradients)))
        assert set(np.unique(draw)) <= {0.0, 1.0}
        for all_paths, one_path in zip(*results, strict=True):
            np.testing.assert_allclose(one_path, all_paths, atol=1e-5)


def test_gradient_of_one_path_is_on_average_that_of_the_expected_loss(target):
    structure = cvhn_tf.VariationalHypernetwork(target, seed=3, paths="one")._structure
    for variable in structure.trainable_variables:
        variable.assign(np.random.default_rng(0).normal(size=variable.shape) * 0.1)
    losses = tf.constant([[1.0, 3.0, -2.0, 0.5, 0.0, 2.0, -1.0]])
    with tf.GradientTape() as tape:
        expected_loss = tf.reduce_sum(losses[0] * tf.concat(structure.probabilities(tf.constant([1.0])), -1)[0])
    variables = [variable.value for variable in structure.trainable_variables]
    expected = tape.gradient(expected_loss, variables)
    with tf.GradientTape() as tape:
        draws, log_probability = structure.sample_one(tf.ones(100_000), tf.constant([1, 2]))
        advantage = tf.reduce_sum(losses * draws, axis=-1) - 7.0  # any baseline will do
        surrogate = tf.reduce_mean(advantage * log_probability)
    for estimate, exact in zip(tape.gradient(surrogate, variables), expected, strict=True):
        np.testing.assert_allclose(estimate, exact, atol=0.15)
    assert np.abs(expected[0]).max() > 1.0


def test_gradient_of_draws_is_on_average_that_of_an_expected_quadratic_loss(target):
    structure = cvhn_tf.VariationalHypernetwork(target, seed=3)._structure
    rng = np.random.default_rng(0)
    for variable in structure.trainable_variables:
        variable.assign(rng.normal(size=variable.shape) * 0.1)
    # Within choices and between them: a straight-through gradient sees neither.
    quadratic = tf.constant(rng.normal(size=(7, 7)), "float32")
    variables = [variable.value for variable in structure.trainable_variables]
    every = []
    for block, inner, first, second in itertools.product(range(3), range(2), range(2), range(2)):
        every.append([*np.eye(3)[block], *np.eye(2)[inner], first, second])
    every = tf.constant(every, "float32")

    def losses(draws):
        return tf.einsum("di,ij,dj->d", draws, quadratic, draws)

    with tf.GradientTape() as tape:
        q = tf.concat(structure.probabilities(tf.constant([1.0])), -1)[0]
        of_each = tf.concat(
            [q[:5] * every[:, :5] + (1 - every[:, :5]), 1 - every[:, 5:] + q[5:] * (2 * every[:, 5:] - 1)], 1
        )
        expected_loss = tf.reduce_sum(tf.reduce_prod(of_each, axis=-1) * losses(every))
    expected = tape.gradient(expected_loss, variables)
    with tf.GradientTape() as tape:
        draws = structure.sample(tf.ones(100_000), tf.constant([1, 2]))
        loss = tf.reduce_mean(losses(draws))
    assert set(np.unique(draws)) == {0.0, 1.0}
    assert float(loss) == pytest.approx(float(expected_loss), abs=0.03)
    for estimate, exact in zip(tape.gradient(loss, variables), expected, strict=True):
        np.testing.assert_allclose(estimate, exact, atol=0.05)
    assert max(np.abs(exact).max() for exact in expected) > 0.5


@pytest.mark.long
def test_choices_are_made_as_the_temperature_falls(target, data):
    model = cvhn_tf.VariationalHypernetwork(target, seed=3, temperature=(0.5, 0.1))
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(*data, batch_size=16, epochs=1, verbose=0)
    steps, (logits, *_) = int(model._temperature_steps.numpy()), model._structure.trainable_variables
    logits.assign(np.random.default_rng(0).normal(size=logits.shape) * 0.1)
    complexities = tf.constant([1.0])
    with tf.GradientTape() as tape:
        kl = tf.add_n(model._structure.kls(complexities))
    of_kl = tape.gradient(kl, logits.value)

    for step, temperature in ((0, 0.5), (steps / 2, 0.05**0.5), (steps, 0.1), (9 * steps, 0.1)):
        with tf.GradientTape() as tape:
            loss = model._annealing(complexities, tf.constant(step), 1.0)
        assert float(loss) == 0.0  # what is reported is the objective
        np.testing.assert_allclose(tape.gradient(loss, logits.value), temperature * of_kl, rtol=1e-4)


@keras.saving.register_keras_serializable(package="tests")
class Counted(layers.Layer):
    """Counts how often it is called in training, and adds a loss."""

    def build(self, input_shape):
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls")

    def call(self, inputs, training=False):
        if training:
            self.calls.assign_add(1.0)
            self.add_loss(tf.constant(1.0))
        return inputs


def test_one_path_a_step_computes_nothing_else():
    inputs = keras.Input((4,))
    paths = [Counted(name=f"counted_{i}")(layers.Dense(4)(inputs)) for i in range(3)]
    target = keras.Model(inputs, layers.Dense(1)(cvhn_tf.Choice(name="choice")(paths)))
    for value, counts in (("one", 24), ("all", 72)):
        model = cvhn_tf.VariationalHypernetwork(target, paths=value, seed=1, price=0.0)
        model.compile("sgd", "mse")
        logs = model.fit(np.ones((96, 4)), np.zeros((96, 1)), batch_size=4, verbose=0).history
        calls = [float(weight.numpy()) for weight in model.weights if weight.path.endswith("calls")]
        assert sum(calls) == counts and min(calls) > 0
        assert logs["loss"][0] > logs["nll"][0] + counts / 24 * 0.99  # a loss of 1 for each call


def test_bad_arguments_are_refused_before_any_work(target):
    for arguments, error in (
        ({"structure_cost": "watts"}, r"one of \['multiply_adds', 'parameters'\].*Received: structure_cost='watts'"),
        ({"structure_cost": {"stem": -1.0}}, r"a number of 0 or more. Received: structure_cost=\{'stem': -1.0"),
        ({"structure_cost": {"stem": 1.0}}, r"each layer with weights of `target`. Received: a table without 'stem_"),
        ({"price": -0.1}, r"Expected `price` to be a number of 0 or more. Received: price=-0.1"),
        ({"budget": math.nan}, r"Expected `budget` .* Received: budget=nan"),
        ({"temperature": 1.0}, r"Expected `temperature` to be a pair.* Received: temperature=1.0"),
        ({"temperature": (0.1, 1.0)}, r"Expected `temperature` to fall. Received: temperature=\(0.1, 1.0\)"),
        ({"paths": "one", "complexity_samples": 2}, r"`complexity_samples=1` with `paths='one'`.*=2"),
        ({"paths": "two"}, r"Expected `paths` to be one of \['all', 'one'\]. Received: paths='two'"),
    ):
        with pytest.raises(ValueError, match=error):
            cvhn_tf.VariationalHypernetwork(target, **arguments)


def test_targets_without_choices_take_no_arguments_of_structure():
    target = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    for name, value in {"structure_cost": "parameters", "price": 1.0, "budget": 9.0, "paths": "one"}.items():
        with pytest.raises(ValueError, match=rf"with `Choice` or `OptionalPaths` layers, to which `{name}` applies"):
            cvhn_tf.VariationalHypernetwork(target, **{name: value})
    model = cvhn_tf.VariationalHypernetwork(target)
    assert model.structure(1.0) == {}
    with pytest.raises(ValueError, match=r"Received: structure=\{'a': 1\} and a target without choices"):
        model.at(1.0, structure={"a": 1})


def test_steps_that_cannot_be_counted(target, data):
    model = cvhn_tf.VariationalHypernetwork(target, train_size=64, kl_warmup=10)
    model.compile("adam", "sparse_categorical_crossentropy", run_eagerly=True)
    batches = tf.data.Dataset.from_tensor_slices(data).batch(16).repeat()
    with pytest.raises(ValueError, match="which the temperature of choices falls over, cannot be told"):
        model.fit(batches)
    model.fit(batches, steps_per_epoch=2, verbose=0)


def test_files_are_compared_with_their_choices(fitted, examples):
    comparison = export.compare(fitted, examples, complexities=[1.0], sparsities=[0.0], quantizations=[None])
    (row,) = comparison.rows
    chosen = fitted.most_probable_structure(1.0)
    assert row.choices.startswith(f"block={chosen['block']} inner={chosen['inner']} paths=")
    assert row.multiply_adds == fitted.structure_cost(1.0) and row.accuracy == row.keras_accuracy
    assert f'"choices": "{row.choices}"' in comparison.to_json()
    found = export.best(
        fitted,
        examples,
        max_multiply_adds=row.multiply_adds,
        complexities=[1.0],
        structures=["weight"],
        sparsities=[0.0],
        quantizations=[None],
    )
    assert found.chosen.choices == row.choices and found.chosen.multiply_adds == row.multiply_adds
    with pytest.raises(ValueError, match=r"max_multiply_adds=17. .*takes \d+ multiply-adds"):
        export.best(
            fitted,
            examples,
            max_multiply_adds=17,
            complexities=[1.0],
            structures=["weight"],
            sparsities=[0.0],
            quantizations=[None],
        )
    packed = export.pack(fitted, 1.0, sparsity=0.5)
    assert not {"Choice", "OptionalPaths"} & {type(layer).__name__ for layer in export.unpack(packed)._flatten_layers()}


@pytest.mark.long
def test_predictions_are_drawn_over_structures_too(examples):
    inputs = keras.Input((8,))
    x = cvhn_tf.Choice(name="block")([layers.Dense(6, "relu")(inputs), layers.Dense(6)(inputs)])
    x = cvhn_tf.OptionalPaths(name="paths")([x, layers.Dense(6)(x)])
    target = keras.Model(inputs, layers.Dense(3, "softmax")(x))
    model = cvhn_tf.VariationalHypernetwork(target, seed=1, initial_stddev=1e-7)
    for variable in model._structure.trainable_variables:
        variable.assign(np.zeros(variable.shape))  # all structures are equally probable
    x = examples[0][:4]
    each = []
    for block, first, second in itertools.product(range(2), *[(False, True)] * 2):
        each.append(model.at(1.0, {"block": block, "paths": (first, second)})(x))
    prediction = model.predict_distribution(x, 1.0, samples=300, outputs="values", seed=2)
    deviation = np.std(each, axis=0)
    assert deviation.max() > 0.05  # and weights have next to no noise
    np.testing.assert_allclose(prediction.mean, np.mean(each, axis=0), atol=4 * deviation.max() / 300**0.5)
    np.testing.assert_allclose(prediction.variance**0.5, deviation, atol=0.3 * deviation.max())


@pytest.mark.long
def test_search_and_packing_pass_from_one_structure_to_another(target, examples):
    """Networks that measure, and those that are used again, are of the architecture at their own complexity."""
    fitted = cvhn_tf.VariationalHypernetwork(target, seed=1)
    for variable in fitted._structure.trainable_variables:
        variable.assign(np.random.default_rng(1).normal(size=variable.shape))
    complexities = [0.01, 1.0, 100.0]
    fixed = {"complexities": complexities, "sparsities": [0.0, 0.5]}
    assert len({str(fitted.most_probable_structure(complexity)) for complexity in complexities}) > 1
    found = export.best(
        fitted, examples, max_bytes=10**6, structures=["weight"], quantizations=[None, "float16"], **fixed
    )
    tried = {candidate.choices for candidate in found.trace}
    assert len(tried) > 1
    comparison = export.compare(fitted, examples, quantizations=[None], **fixed)
    for row in comparison.rows:
        network = export.prune(fitted, row.complexity, row.sparsity)
        assert row.keras_accuracy == np.mean(np.argmax(network(examples[0]), axis=-1) == examples[1])
        assert row.accuracy == row.keras_accuracy
    assert export.smallest_packed(fitted, examples, 0.0, steps=[1.0], rate_weights=[0.3], **fixed) is not None


@pytest.mark.parametrize("kind", long_but({"operations"}.__contains__, ["nested", "operations", "masks"]))
def test_one_path_of_any_kind_of_candidate(kind):
    x, inputs = np.arange(96.0).reshape(12, 8) / 96, keras.Input((8,))
    if kind == "nested":
        nested = keras.Sequential([keras.Input((8,)), layers.Dense(8)])
        paths = [nested(inputs), inputs, nested(nested(inputs))]
    elif kind == "operations":
        paths = [keras.ops.relu(layers.Dense(8)(inputs)) * 2, inputs]
    else:
        x, inputs = np.tile(np.arange(4) % 4, (12, 2)), keras.Input((8,), dtype="int32")
        embedded = [layers.Embedding(5, 4, mask_zero=masked)(inputs) for masked in (True, False)]
        paths = [layers.LSTM(4)(tensor) for tensor in embedded]
    target = keras.Model(inputs, layers.Dense(1)(cvhn_tf.Choice(name="choice")(paths)))
    model = cvhn_tf.VariationalHypernetwork(target, seed=1, paths="one", kl_warmup=0, structure_cost="parameters")
    model.compile("adam", "mse")
    model.fit(x, np.ones((12, 1)), batch_size=4, epochs=3, verbose=0)
    complexities, seed = tf.constant([1.0]), tf.constant([1, 2])
    for path in range(len(paths)):
        drawn = [tf.constant(x, target.input.dtype), complexities, seed, tf.one_hot([path], len(paths))]
        (outputs, kls), _ = run_one_path(model._graph, drawn, False)
        expected, expected_kls = model._graph(drawn, training=False)
        np.testing.assert_allclose(outputs, expected, atol=1e-5)
        np.testing.assert_allclose(kls, expected_kls, rtol=1e-5)
        network = model.at(1.0, structure={"choice": path})
        np.testing.assert_allclose(network(x), expected, atol=1e-5)


@pytest.mark.long
def test_a_draw_counts_for_its_own_step_alone(target, examples):
    model = cvhn_tf.VariationalHypernetwork(target, seed=1, paths="one", train_size=64)
    model.compile(loss="sparse_categorical_crossentropy")
    tf.function(lambda x: model(x, training=True))(examples[0])
    before = [weight.numpy() for weight in model._baseline.variables]
    model.evaluate(*examples, verbose=0)
    for weight, value in zip(model._baseline.variables, before, strict=True):
        np.testing.assert_array_equal(weight, value)
