"""Every kind of target trains, saves, and gives a plain network that equals the hypernetwork's own outputs."""

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers
from long import long_but

import cvhn_tf
from cvhn_tf import export


def mlp():
    return keras.Sequential([keras.Input((6,)), layers.Dense(5, "relu"), layers.Dropout(0.2), layers.Dense(3)])


def conv1d():
    return keras.Sequential(
        [keras.Input((8, 2)), layers.Conv1D(3, 3, activation="relu"), layers.Flatten(), layers.Dense(2)]
    )


def conv2d_with_batch_normalization():
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(4, 3, padding="same", use_bias=False)(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Add()([x, layers.Conv2D(4, 1)(inputs)])
    return keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))


def conv3d():
    return keras.Sequential([keras.Input((4, 4, 4, 1)), layers.Conv3D(2, 3), layers.Flatten(), layers.Dense(2)])


def depthwise_and_separable():
    return keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            layers.DepthwiseConv2D(3, activation="relu"),
            layers.SeparableConv2D(3, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )


def transposed_convolution():
    return keras.Sequential(
        [keras.Input((4, 4, 2)), layers.Conv2DTranspose(3, 3, strides=2), layers.GlobalMaxPooling2D()]
    )


def einsum_dense():
    return keras.Sequential([keras.Input((4, 3)), layers.EinsumDense("abc,cd->abd", (None, 5), bias_axes="d")])


def embedding_lstm_with_mask():
    return keras.Sequential(
        [keras.Input((5,), dtype="int32"), layers.Embedding(7, 4, mask_zero=True), layers.LSTM(3), layers.Dense(2)]
    )


def bidirectional_gru():
    inputs = keras.Input((5, 2))
    x = layers.Bidirectional(layers.GRU(3, return_sequences=True, dropout=0.1))(inputs)
    return keras.Model(inputs, layers.TimeDistributed(layers.Dense(2))(x))


def attention():
    inputs = keras.Input((5, 4))
    x = layers.MultiHeadAttention(2, 3, dropout=0.1)(inputs, inputs, use_causal_mask=True)
    x = layers.LayerNormalization()(layers.Add()([inputs, x]))
    return keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling1D()(x)))


def two_inputs_two_outputs():
    first, second = keras.Input((3,), name="first"), keras.Input((2,), name="second")
    x = layers.Concatenate()([layers.Dense(4, "tanh")(first), second])
    return keras.Model({"first": first, "second": second}, {"a": layers.Dense(2)(x), "b": layers.Dense(1)(x)})


def shared_layer():
    inputs = keras.Input((4,))
    shared = layers.Dense(4, "relu", name="shared")
    return keras.Model(inputs, layers.Dense(2)(shared(shared(inputs))))


def nested_models():
    block = keras.Sequential([keras.Input((4,)), layers.Dense(4, "relu"), layers.BatchNormalization()], name="block")
    inner_input = keras.Input((4,))
    inner = keras.Model(inner_input, [layers.Dense(3)(inner_input), inner_input], name="inner")
    inputs = keras.Input((4,))
    x, y = inner(block(block(inputs)))
    return keras.Model(inputs, layers.Dense(2)(layers.Concatenate()([x, y])))


def ops_between_layers():
    inputs = keras.Input((4,))
    x = keras.ops.relu(layers.Dense(4)(inputs)) * 2.0
    return keras.Model(inputs, layers.Dense(2)(x + inputs))


def frozen_first_layer():
    first = layers.Dense(4, "relu")
    first.trainable = False
    return keras.Sequential([keras.Input((4,)), first, layers.Dense(2)])


# The trained kinds; each costs seconds, so every layer class stands in one of them only.
TARGETS = [
    mlp,
    conv1d,
    conv2d_with_batch_normalization,
    conv3d,
    depthwise_and_separable,
    transposed_convolution,
    einsum_dense,
    embedding_lstm_with_mask,
    bidirectional_gru,
    attention,
    two_inputs_two_outputs,
    shared_layer,
    nested_models,
    ops_between_layers,
    frozen_first_layer,
]

# Of the others steps run one operation after the other: few take longer to trace than to run.
TRACED = [conv2d_with_batch_normalization, embedding_lstm_with_mask, two_inputs_two_outputs]


def random_inputs(target, examples, rng):
    def draw(tensor):
        shape = (examples, *tensor.shape[1:])
        return rng.integers(0, 7, shape) if "int" in tensor.dtype else rng.normal(size=shape).astype("float32")

    return {t.name: draw(t) for t in target.inputs} if len(target.inputs) > 1 else draw(target.inputs[0])


def is_short(make_target):
    """Whether a target always trains; test_against_keras.py has generated ones of the same layers."""
    return make_target not in (
        conv1d,
        conv3d,
        depthwise_and_separable,
        transposed_convolution,
        einsum_dense,
        bidirectional_gru,
        embedding_lstm_with_mask,
        nested_models,
    )


@pytest.mark.parametrize("make_target", long_but(is_short, TARGETS), ids=lambda make_target: make_target.__name__)
def test_target_trains_and_becomes_a_plain_network(make_target, tmp_path):
    keras.utils.set_random_seed(0)
    target = make_target()
    rng = np.random.default_rng(0)
    x = random_inputs(target, 21, rng)
    y = keras.tree.map_structure(lambda output: rng.normal(size=output.shape).astype("float32"), target(x))

    model = cvhn_tf.VariationalHypernetwork(target, complexity_samples=2)
    untrained = keras.tree.flatten(model(x, complexity=10.0))
    for ours, theirs in zip(untrained, keras.tree.flatten(target(x)), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)

    losses = keras.tree.map_structure(lambda _: "mse", y)
    model.compile(cvhn_tf.PivotAdam(), loss=losses, run_eagerly=make_target not in TRACED)
    before = model.posterior(1.0)
    history = model.fit(x, y, batch_size=8, validation_data=(x, y), validation_batch_size=21, verbose=0).history
    assert all(np.isfinite(values).all() for values in history.values())
    after = model.posterior(1.0)
    for path in before:
        assert np.any(before[path].loc.numpy() != after[path].loc.numpy()), f"the mean of {path} was not trained"
        assert np.any(before[path].scale.numpy() != after[path].scale.numpy()), f"the stddev of {path} was not trained"

    network = model.at(0.1)
    assert type(network) is type(target)
    assert [w.path for w in network.weights] == [w.path for w in make_like(target).weights]
    assert set(model.posterior(0.1)) <= {w.path for w in network.trainable_weights}
    for ours, plain in zip(keras.tree.flatten(model(x, complexity=0.1)), keras.tree.flatten(network(x)), strict=True):
        np.testing.assert_allclose(ours, plain, atol=1e-5)

    model.save(tmp_path / "model.keras")
    loaded = cvhn_tf.load_model(tmp_path / "model.keras")
    for ours, theirs in zip(keras.tree.flatten(model(x)), keras.tree.flatten(loaded(x)), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def make_like(target):
    return type(target).from_config(target.get_config())


def test_shared_layer_is_described_once():
    model = cvhn_tf.VariationalHypernetwork(shared_layer(), train_size=1, kl_warmup=0)
    x = np.ones((2, 4), "float32")
    model(x, complexity=1.0, training=True)
    assert float(sum(model.losses)) == pytest.approx(model.description_length(1.0) * np.log(2), rel=1e-4)


def test_frozen_layer_stays_as_it_is():
    target = frozen_first_layer()
    model = cvhn_tf.VariationalHypernetwork(target, train_size=8)
    model.compile(cvhn_tf.PivotAdam(), loss="mse")
    model.fit(np.ones((8, 4)), np.ones((8, 2)), epochs=2, verbose=0)
    np.testing.assert_array_equal(model.at(1.0).layers[0].kernel, target.layers[0].kernel)
    assert set(model.posterior(1.0)) == {w.path for w in model.at(1.0).trainable_weights}


def test_layer_shared_with_a_nested_model_is_refused_since_keras_loses_the_sharing():
    shared = layers.Dense(4)
    inner = keras.Sequential([keras.Input((4,)), shared])
    inputs = keras.Input((4,))
    with pytest.raises(ValueError, match="make again from its config"):
        cvhn_tf.VariationalHypernetwork(keras.Model(inputs, shared(inner(inputs))))


def test_names_of_the_target_may_be_any():
    """Names that the graph has for its own inputs, or that Keras would give to the next input."""
    keras.utils.clear_session()
    names = ["complexity", "seed", "seed_", "input_layer", "input_layer_1", "input_layer_2"]
    inputs = [keras.Input((2,), name=name) for name in names]
    target = keras.Model(inputs, layers.Dense(2)(layers.Concatenate()(inputs)))
    x = [np.ones((3, 2), "float32")] * len(names)
    np.testing.assert_allclose(cvhn_tf.VariationalHypernetwork(target)(x), target(x), atol=1e-6)


def test_adapted_normalization_stays_in_effect(data, tmp_path):
    x, _ = data
    x = 50 + 20 * x
    normalization = layers.Normalization()
    normalization.adapt(x)
    target = keras.Sequential([keras.Input((8,)), normalization, layers.Dense(16, "relu"), layers.Dense(3, "softmax")])
    model = cvhn_tf.VariationalHypernetwork(target)
    np.testing.assert_allclose(model(x, complexity=1.0), target(x), atol=1e-5)
    network = model.at(1.0)
    np.testing.assert_allclose(network(x), target(x), atol=1e-5)
    pruned = export.prune(model, 1.0, structure="unit", sparsity=0.5)
    np.testing.assert_allclose(export.compact(pruned)(x), pruned(x), atol=1e-5)
    unpacked = export.unpack(export.pack(model, 1.0, sparsity=0.0).content)
    np.testing.assert_allclose(unpacked(x), target(x), atol=0.05)
    model.save(tmp_path / "m.keras")
    np.testing.assert_allclose(cvhn_tf.load_model(tmp_path / "m.keras")(x, complexity=1.0), target(x), atol=1e-5)


def test_images_are_augmented_in_training_only():
    augmentation = [layers.RandomTranslation(0.3, 0.3), layers.RandomFlip("horizontal")]
    rest = [layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(3)]
    rng = np.random.default_rng(0)
    x, y = rng.uniform(size=(24, 8, 8, 1)).astype("float32"), rng.normal(size=(24, 3)).astype("float32")
    keras.utils.set_random_seed(0)
    augmented = keras.Sequential([keras.Input((8, 8, 1)), *augmentation, *rest])
    model = cvhn_tf.VariationalHypernetwork(augmented, train_size=24, estimator="deterministic", prior="l2", seed=0)
    first, second = (model(x, complexity=1.0, training=True) for _ in range(2))
    assert np.abs(first - second).max() > 0.01
    np.testing.assert_array_equal(model(x, complexity=1.0), model(x, complexity=1.0))

    model.compile(cvhn_tf.PivotAdam(), loss="mse")
    model.fit(x, y, epochs=1, verbose=0)
    network = export.compact(export.prune(model, 1.0, sparsity=0.5))
    plain = keras.Sequential([keras.Input((8, 8, 1)), *rest])
    plain.set_weights(network.get_weights())
    np.testing.assert_allclose(network(x, training=False), plain(x), atol=1e-6)
    assert operators_in(export.to_tflite(network)) == operators_in(export.to_tflite(plain))


def operators_in(artifact):
    interpreter = Interpreter(model_content=artifact.content)
    return [operator["op_name"] for operator in interpreter._get_ops_details()]


def test_nested_models_with_layers_of_the_same_name_keep_their_own_weights(tmp_path):
    rng = np.random.default_rng(0)
    inputs = [keras.Input((4,)), keras.Input((4,))]
    branches = [
        keras.Sequential([keras.Input((4,)), layers.Dense(5, "relu", name="hidden")], name=f"branch_{i}")(part)
        for i, part in enumerate(inputs)
    ]
    target = keras.Model(inputs, layers.Dense(2, name="top")(layers.Concatenate()(branches)))
    x = [rng.normal(size=(30, 4)).astype("float32") for _ in inputs]
    model = cvhn_tf.VariationalHypernetwork(target)
    for network in (model.at(1.0), export.prune(model, 1.0, sparsity=0.0)):
        np.testing.assert_allclose(network(x), target(x), atol=1e-6)
    assert list(model.posterior(1.0)) == [
        *("hidden/kernel", "hidden/bias", "hidden/kernel_2", "hidden/bias_2", "top/kernel", "top/bias")
    ]
    pruned = export.prune(model, 1.0, sparsity=0.5)
    assert sum(np.count_nonzero(w == 0) for w in pruned.get_weights() if w.ndim > 1) == 30
    (tmp_path / "network.cvhn").write_bytes(export.pack(model, 1.0, sparsity=0.5, step=0.01).content)
    unpacked = export.unpack(tmp_path / "network.cvhn")
    np.testing.assert_allclose(unpacked(x), pruned(x), atol=1e-3)
    assert model.predict_distribution(x, 1.0, samples=2, outputs="values").variance.shape == (30, 2)


@pytest.mark.parametrize("is_nested", [False, True])
def test_calls_of_a_shared_layer_have_the_same_weights(is_nested):
    """As in a siamese network: f(x) - f(x') has the variance of the weights on which x and x' differ."""
    first, second = keras.Input((16,)), keras.Input((16,))
    shared = layers.Dense(8)
    if is_nested:
        shared = keras.Sequential([keras.Input((16,)), shared])
    target = keras.Model([first, second], layers.Subtract()([shared(first), shared(second)]))
    model = cvhn_tf.VariationalHypernetwork(target, initial_stddev=0.1)
    ones = np.ones((2000, 8), "float32")
    x = [np.hstack([ones, 0 * ones]), np.hstack([0 * ones, ones])]
    noise = model(x, complexity=1.0, training=True) - model(x, complexity=1.0)
    assert np.std(noise) == pytest.approx(0.1 * np.sqrt(16), rel=0.1)
    equal = model([x[0], x[0]], complexity=1.0, training=True)
    np.testing.assert_allclose(equal, 0, atol=1e-5)


@pytest.mark.parametrize("estimator", ["local_reparameterization", "flipout", "weight_sampling"])
def test_padding_is_masked_in_the_loss_of_training_too(estimator):
    inputs = keras.Input((6,), dtype="int32")
    x = layers.Embedding(10, 4, mask_zero=True)(inputs)
    target = keras.Model(inputs, layers.Dense(3, "softmax")(x))
    model = cvhn_tf.VariationalHypernetwork(target, estimator=estimator, initial_stddev=1e-8)
    model.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    x, y = np.array([[1, 2, 0, 0, 0, 0], [3, 0, 0, 0, 0, 0]]), np.array([[1, 2, 0, 0, 0, 0], [2, 0, 0, 0, 0, 0]])
    trained = model.fit(x, y, verbose=0).history["nll"][0]
    target.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    assert trained == pytest.approx(target.fit(x, y, verbose=0).history["loss"][0], rel=1e-4)


def test_tensor_of_one_row_goes_to_every_complexity_of_a_step():
    inputs, mask = keras.Input((5, 4)), keras.Input(batch_shape=(1, 5, 5), dtype="bool")
    x = layers.MultiHeadAttention(2, 3)(inputs, inputs, attention_mask=mask)
    model = cvhn_tf.VariationalHypernetwork(keras.Model([inputs, mask], x), complexity_samples=3, seed=0)
    x = np.random.default_rng(0).normal(size=(7, 5, 4)).astype("float32")
    assert model([x, np.tri(5, dtype="bool")[None]], training=True).shape == (7, 5, 4)


def test_labels_of_several_outputs_have_classes_of_their_own():
    inputs = keras.Input((4,))
    outputs = [layers.Dense(classes, "softmax")(inputs) for classes in (3, 7)]
    model = cvhn_tf.VariationalHypernetwork(keras.Model(inputs, outputs))
    model.compile(cvhn_tf.PivotAdam(), "sparse_categorical_crossentropy")
    history = model.fit(np.ones((14, 4)), [np.arange(14) % 3, np.arange(14) % 7], verbose=0).history
    assert np.isfinite(history["loss"][0])
