"""What copies of a target must keep although its config does not tell of it, and what they must give as Keras does."""

import keras
import numpy as np
import pytest
from keras import layers, ops
from long import long_but

import cvhn_tf
from cvhn_tf import export
from cvhn_tf.architecture import architecture, make_network

X = np.random.default_rng(0).normal(size=(12, 6)).astype("float32")
Y = np.ones((12, 2), "float32")


@keras.saving.register_keras_serializable(package="copies")
class Normalized(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense, self.normalization = layers.Dense(4), layers.BatchNormalization()

    def build(self, input_shape):
        self.dense.build(input_shape)
        self.normalization.build((*input_shape[:-1], 4))

    def call(self, inputs):
        return self.normalization(self.dense(inputs))


@keras.saving.register_keras_serializable(package="copies")
class Scaled(layers.Layer):
    """Multiplies its inputs as they are by its weights as they are: Keras casts both."""

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(input_shape[-1],))

    def call(self, inputs):
        return inputs * ops.softplus(self.scale)


def sequential(*stack):
    return keras.Sequential([keras.Input((6,)), *stack])


def trained(target):
    model = cvhn_tf.VariationalHypernetwork(target, initial_stddev=1e-6, seed=0)
    model.compile(keras.optimizers.SGD(0.01), "mse", run_eagerly=True)  # one step
    model.fit(X, Y, verbose=0)
    return model


def test_a_frozen_normalization_within_a_layer_computes_as_a_frozen_one(tmp_path):
    target = sequential(Normalized(), layers.Dense(2))
    target.layers[0].normalization.trainable = False
    model = cvhn_tf.VariationalHypernetwork(target, initial_stddev=1e-7, train_size=12, seed=0)
    model.save(tmp_path / "model.keras")
    for network in (model, cvhn_tf.load_model(tmp_path / "model.keras")):
        outputs = network(X, complexity=1.0, training=True)
        np.testing.assert_allclose(outputs, target(X, training=True), atol=1e-4)  # not by the batch's statistics
        np.testing.assert_allclose(network.at(1.0)(X, training=True), target(X, training=True), atol=1e-5)


@pytest.mark.parametrize("name", long_but({"part"}.__contains__, ["weight", "part"]))
def test_what_is_frozen_stays_so_in_all_that_is_made_of_a_network(name):
    target = sequential(layers.Dense(8, "relu", name="first"), Normalized(name="own"), layers.Dense(2))
    if name == "weight":
        target.layers[0].kernel.trainable = False
    else:
        target.layers[1].dense.trainable = False
    flags = [weight.trainable for weight in target.weights]
    pruned = export.prune(trained(target), 1.0, sparsity=0.5)
    made = {"recalibrate": export.recalibrate(pruned, X), "finetune": export.finetune(pruned, (X, Y), loss="mse")}
    unpacked = export.unpack(export.pack(trained(target), 1.0, sparsity=0.5))
    for function, network in {**made, "unpack": unpacked}.items():
        assert [weight.trainable for weight in network.weights] == flags, function
        for before, after in zip(pruned.trainable_weights, network.trainable_weights, strict=True):
            assert (before.name, before.shape) == (after.name, after.shape)
    for before, after in zip(pruned.weights, made["finetune"].weights, strict=True):
        if not before.trainable and "moving" not in before.path:
            np.testing.assert_array_equal(after, before, err_msg=before.path)


def test_what_is_frozen_stays_so_in_a_compact_network():
    target = sequential(layers.Dense(8, "relu"), layers.Dense(6, "relu"), layers.Dense(2))
    target.layers[1].kernel.trainable = False
    pruned = export.prune(trained(target), 1.0, structure="unit", sparsity=0.6)
    compacted = export.compact(pruned)
    assert compacted is not pruned
    assert sum(not weight.trainable for weight in compacted.weights) == 1
    finetuned = export.finetune(compacted, (X, Y), loss="mse")
    for before, after in zip(compacted.weights, finetuned.weights, strict=True):
        assert np.array_equal(before, after) == (not before.trainable)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_inputs_and_weights_of_a_layer_are_cast_for_the_shapes_of_its_outputs_too(policy):
    target = sequential(layers.Dense(6), Scaled(dtype=policy), layers.Dense(2))
    model = cvhn_tf.VariationalHypernetwork(target, seed=0)
    np.testing.assert_allclose(model(X, complexity=1.0), target(X), atol=1e-5)


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_single_output_in_a_list_comes_out_as_keras_gives_it(kind):
    inputs = keras.Input((6,))
    target = keras.Model(inputs, kind([layers.Dense(2)(inputs)]))
    model = trained(target)
    assert model(X).shape == target(X).shape == (12, 2)
    assert model.predict(X, verbose=0).shape == target.predict(X, verbose=0).shape


def test_a_part_that_trains_within_what_is_frozen_as_a_whole_trains_in_all_that_is_made_of_it(tmp_path):
    base = keras.Sequential([keras.Input((6,)), layers.Dense(5), layers.Dense(4)], name="base")
    target = sequential(base, layers.Dense(2))
    base.trainable = False
    base.layers[-1].trainable = base.layers[0].bias.trainable = True
    flags = [False, True, True, True, True, True]
    assert [weight.trainable for weight in target.weights] == flags
    model = trained(target)
    model.save(tmp_path / "model.keras")
    made = [model.at(1.0), cvhn_tf.load_model(tmp_path / "model.keras").at(1.0)]
    made += [export.finetune(made[0], (X, Y), loss="mse"), export.unpack(export.pack(model, 1.0, sparsity=0.5))]
    for network in made:
        assert [weight.trainable for weight in network.weights] == flags
    for before, after in zip(target.weights, made[0].weights, strict=True):
        assert np.array_equal(before, after) == (not before.trainable)


def test_files_that_told_frozen_weights_by_their_places_among_all_variables_go_on_loading():
    target = sequential(layers.Dense(8), layers.Dropout(0.5), layers.Dense(2))
    places = [i for i, variable in enumerate(target.variables) if variable is target.layers[2].kernel]
    network = make_network({**architecture(target), "frozen_variables": places})
    assert [weight.trainable for weight in network.weights] == [True, True, False, True]
