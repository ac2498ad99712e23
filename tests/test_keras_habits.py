"""`Variational` and `VariationalHypernetwork` do what Keras users expect of a layer and of a model."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from keras.src.testing import TestCase
from long import long_but
from repeated import repeated

import cvhn_tf
from cvhn_tf.layers.variational import Variational


@pytest.mark.parametrize(
    ("make_layer", "input_shape", "output_shape", "seeds"),
    [
        (lambda: layers.Dense(3, "relu"), (6, 4), (6, 3), 0),
        (lambda: layers.Conv2D(3, 2, padding="same", activation="tanh"), (2, 5, 5, 2), (2, 5, 5, 3), 0),
        (lambda: layers.LSTM(3), (2, 4, 2), (2, 3), 1),  # that of its own dropout
    ],
    ids=["dense", "conv", "lstm"],
)
def test_standard_layer_checks_of_keras_pass(make_layer, input_shape, output_shape, seeds):
    def make(**arguments):
        return Variational(make_layer(), **arguments)

    plain = make_layer()
    plain.build(input_shape)
    weights = len(plain.trainable_weights)
    TestCase().run_layer_test(
        make,
        {"complexity": 2.0, "train_size": 100},
        input_shape=input_shape,
        expected_output_shape=output_shape,
        expected_num_trainable_weights=2 * weights,  # means and log-stddevs
        expected_num_non_trainable_weights=weights + 1,  # placeholders, and the step counter
        expected_num_seed_generators=seeds,
        expected_num_losses=1,
        supports_masking=True,
    )


def variational(units, activation=None, **arguments):
    return Variational(layers.Dense(units, activation), **{"complexity": 0.5, "train_size": 64, **arguments})


def sequential():
    return keras.Sequential([keras.Input((8,)), variational(16, "relu"), variational(3, "softmax")])


class Block(layers.Layer):
    """A user's own layer without a `build`: Keras builds what is in it by running its `call` symbolically."""

    def __init__(self):
        super().__init__()
        self.dense = variational(16, "relu")

    def call(self, inputs):
        return self.dense(inputs)


def nested():
    return keras.Sequential([keras.Input((8,)), Block(), layers.Dense(3, "softmax")])


def functional():
    inputs = keras.Input((8,))
    hidden = variational(16, "relu")(inputs)
    return keras.Model(inputs, layers.Dense(3, "softmax")(layers.Concatenate()([inputs, hidden])))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden, self.top = variational(16, "relu"), variational(3, "softmax")

    def call(self, inputs):
        return self.top(self.hidden(inputs))


@pytest.mark.parametrize(
    "make", long_but({functional, Subclassed}.__contains__, [sequential, functional, nested, Subclassed])
)
def test_layer_of_fixed_complexity_trains_in_any_model_and_adds_its_description_length(make, data):
    x, y = data
    model = make()
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(*repeated(data, 40), batch_size=16, verbose=0)
    loss, accuracy = model.evaluate(x, y, batch_size=64, verbose=0)
    assert accuracy > 0.95
    kl = 0.0
    for layer in model._flatten_layers():
        if isinstance(layer, Variational):
            complexities = tf.constant([0.5])
            kl += float(layer.kl(layer.posteriors(complexities), complexities)[0])
    nll = -np.log(model.predict(x, verbose=0)[np.arange(64), y]).mean()
    assert loss == pytest.approx(nll + 0.5 * kl / 64, rel=1e-4)


def test_saved_model_gives_the_same_outputs_and_goes_on_with_the_same_noise(data, tmp_path):
    x, y = data
    whole = sequential()
    whole.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    whole.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    whole.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(whole.predict(x, verbose=0), loaded.predict(x, verbose=0))
    for model in (whole, loaded):
        model.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    for ours, theirs in zip(whole.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_functional_model_of_several_complexities_shares_the_batch_out(data):
    x, _ = data
    layer = Variational(layers.Dense(3))
    inputs = keras.Input((8,))
    model = keras.Model(inputs, layer(inputs, complexity=[0.1, 10.0]))
    outputs, kl = model(x)
    expected, expected_kl = layer(x, complexity=[0.1, 10.0])
    np.testing.assert_allclose(outputs, expected, atol=1e-6)
    np.testing.assert_allclose(kl, expected_kl, rtol=1e-6)


def test_layer_that_is_called_twice_is_described_once(data):
    layer = variational(8)
    inputs = keras.Input((8,))
    model = keras.Model(inputs, layer(layer(inputs)))
    complexities = tf.constant([0.5])
    for _ in range(2):
        model(data[0])
        (loss,) = model.losses
        kl = layer.kl(layer.posteriors(complexities), complexities)[0]
        assert float(loss) == pytest.approx(0.5 * float(kl) / 64, rel=1e-6)


def test_noise_differs_from_step_to_step_and_from_layer_to_layer():
    model = keras.Sequential([keras.Input((4,)), variational(4, initial_stddev=1.0)])
    other = variational(4, initial_stddev=1.0)
    other.build((None, 4))
    other.set_weights(model.layers[0].get_weights())
    x = np.ones((2, 4), "float32")
    first, second = model(x, training=True), model(x, training=True)
    assert np.all(np.abs(first - second) > 1e-6)
    assert np.all(np.abs(first - other(x, training=True)) > 1e-6)
    np.testing.assert_array_equal(model(x), model(x))


def test_gradients_of_a_fixed_complexity_are_those_of_the_loss(data):
    x, y = data
    model = keras.Sequential([keras.Input((8,)), variational(3, "softmax", initial_stddev=0.5)])

    def loss():
        return tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y, model(x))) + sum(model.losses)

    with tf.GradientTape() as tape:
        value = loss()
    mean = model.layers[0]._means[0]
    gradient = tape.gradient(value, mean.value).numpy()
    direction = np.random.default_rng(0).normal(size=gradient.shape).astype("float32")
    step, start = 1e-2, mean.numpy()
    mean.assign(start + step * direction)
    above = loss()
    mean.assign(start - step * direction)
    assert float(above - loss()) / (2 * step) == pytest.approx(np.sum(gradient * direction), rel=2e-2)


def test_subclassed_model_may_draw_one_complexity_for_all_of_its_layers(data):
    class ManyComplexities(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden, self.top = Variational(layers.Dense(16, "relu")), Variational(layers.Dense(3, "softmax"))
            self.range = cvhn_tf.ComplexityRange()

        def call(self, inputs, training=False):
            seed = tf.random.uniform([2], maxval=2**31 - 1, dtype="int32")
            complexity = self.range.sample(1, seed) if training else tf.constant([1.0])
            hidden, hidden_kl = self.hidden(inputs, complexity=complexity, seed=seed, training=training)
            outputs, top_kl = self.top(hidden, complexity=complexity, seed=seed, training=training)
            self.add_loss(complexity[0] * (hidden_kl[0] + top_kl[0]) / 64)
            return outputs

    x, y = data
    model = ManyComplexities()
    model.compile(cvhn_tf.PivotAdam(), "sparse_categorical_crossentropy")
    model.fit(*repeated(data, 60), batch_size=16, verbose=0)
    assert np.mean(model.predict(x, verbose=0).argmax(1) == y) > 0.9


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"complexity": 1.0}, r"`train_size`.*Received: complexity=1.0, train_size=None"),
        ({"train_size": 5}, r"`complexity`.*Received: complexity=None, train_size=5"),
        ({"complexity": 1.0, "train_size": 0}, r"`train_size`.*Received: train_size=0"),
        ({"complexity": 1e5, "train_size": 5}, r"Received: complexity=100000"),
        ({"layer": 3}, r"`layer`.*Received: layer=3"),
    ],
    ids=str,
)
def test_bad_arguments_of_a_layer(arguments, problem):
    with pytest.raises(ValueError, match=problem):
        Variational(**{"layer": layers.Dense(2), **arguments})


def test_layers_without_weights_of_their_own_and_calls_without_a_complexity_are_refused():
    x = np.ones((2, 4), "float32")
    with pytest.raises(ValueError, match=r"ReLU.*no trainable weights"):
        variational_relu = Variational(layers.ReLU(), complexity=1.0, train_size=5)
        variational_relu(x)
    dense = layers.Dense(2)
    Variational(dense)(x, complexity=[1.0])
    with pytest.raises(ValueError, match=r"belong to a `Variational` layer already"):
        Variational(dense)(x, complexity=[1.0])
    for inputs in (x, keras.Input((4,))):
        with pytest.raises(ValueError, match=r"needs `complexity`"):
            Variational(layers.Dense(2))(inputs)
    with pytest.raises(ValueError, match=r"its own complexity, 0\.5"):
        variational(2)(x, complexity=[1.0])


def test_summary_tells_target_from_hypernetwork(compiled):
    lines = []
    model = compiled()
    model.summary(print_fn=lines.append)
    text = "\n".join(lines)
    target = model.at(1.0).count_params()
    assert f"Target 'target': {target:,} parameters, {target:,} of them with a posterior" in text
    trained = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    assert trained == 5 * target  # four copies of the means and one of the log-stddevs
    assert f"Hypernetwork OptimalResponse: {trained:,} parameters, 5.0 for each weight with a posterior" in text


@pytest.mark.long
def test_keras_tuner_tunes_a_hypernetwork(target, data, tmp_path):
    import keras_tuner

    def build(choices):
        model = cvhn_tf.VariationalHypernetwork(
            target, prior=choices.Choice("prior", ["automatic_relevance", "normal"]), seed=0
        )
        model.compile(
            cvhn_tf.PivotAdam(choices.Float("learning_rate", 1e-4, 1e-1, sampling="log")),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        return model

    tuner = keras_tuner.RandomSearch(
        build, objective="val_accuracy", max_trials=2, seed=0, directory=tmp_path, project_name="search"
    )
    tuner.search(*data, epochs=3, batch_size=16, validation_data=data, verbose=0)
    scores = {trial.trial_id: trial.score for trial in tuner.oracle.get_best_trials(2)}
    assert len(scores) == 2
    best = tuner.get_best_models()[0]
    assert isinstance(best, cvhn_tf.VariationalHypernetwork)
    accuracy = best.evaluate(*data, verbose=0, return_dict=True)["accuracy"]
    assert accuracy == pytest.approx(max(scores.values()), abs=1e-6)


def test_targets_have_names_and_a_listed_api():
    assert "targets" in cvhn_tf.__all__
    for name in cvhn_tf.targets.names():
        network = cvhn_tf.targets.get(name, (16, 16, 1), 4)
        assert network.name == name
        assert network.output_shape == (None, 4)
        assert getattr(cvhn_tf.targets, name)((16, 16, 1), 4).count_params() == network.count_params()
