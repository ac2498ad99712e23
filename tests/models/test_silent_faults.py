"""What users' models taught: layers and weights that were once passed over, or computed otherwise, without a word."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import cvhn_tf
from cvhn_tf import export

registered = keras.saving.register_keras_serializable(package="silent_faults")


@registered
class Block(layers.Layer):
    """Its layers have no names, as most have that users write."""

    def __init__(self, units=16, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.first, self.second = layers.Dense(units, "relu"), layers.Dense(units)

    def build(self, input_shape):
        self.first.build(input_shape)
        self.second.build((*input_shape[:-1], self.units))
        super().build(input_shape)

    def call(self, inputs):
        return self.second(self.first(inputs))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@registered
class Penalty(layers.Layer):
    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], 3))

    def call(self, inputs):
        outputs = inputs @ self.kernel
        self.add_loss(0.1 * ops.mean(ops.abs(outputs)))
        return outputs


@registered
class Positive(layers.Dense):
    def call(self, inputs, training=None):
        return ops.matmul(inputs, ops.softplus(self.kernel)) + self.bias


@registered
class Skip(layers.Dense):
    def call(self, inputs, training=None):
        return inputs + super().call(inputs)


@registered
class Standardized(layers.Conv2D):
    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, (kernel - ops.mean(kernel)) / (ops.std(kernel) + 1e-5))


@registered
class Renamed(layers.Dense):
    """Says nothing on how it computes."""

    def __init__(self, units=8, **kwargs):
        super().__init__(units, **kwargs)


@registered
class Scaled(keras.Sequential):
    def call(self, inputs, training=None, mask=None):
        return 3.0 * super().call(inputs, training=training, mask=mask)


@registered
class WithDropout(layers.Layer):
    """Never trains unless its caller says so."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense, self.dropout = layers.Dense(6), layers.Dropout(0.5)

    def build(self, input_shape):
        self.dense.build(input_shape)

    def call(self, inputs, training=False):
        return self.dropout(self.dense(inputs), training=training)


@registered
class OwnStatistics(layers.Layer):
    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], 3))
        self.seen = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, inputs, training=False):
        if training:
            self.seen.assign_add(1.0)
        return inputs @ self.kernel


@registered
class Assigning(layers.Layer):
    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], 3))

    def call(self, inputs, training=False):
        if training:
            self.kernel.assign(self.kernel / ops.norm(self.kernel))
        return inputs @ self.kernel


def sequential(shape, *stack, **kwargs):
    return keras.Sequential([keras.Input(shape, **kwargs), *stack])


def nested(*stack):
    return sequential((8,), layers.Dense(8, "relu"), sequential((8,), *stack), layers.Dense(3))


def shared(block):
    left, right = keras.Input((8,)), keras.Input((8,))
    return keras.Model([left, right], layers.Dense(3)(layers.Concatenate()([block(left), block(right)])))


UNNAMED = {
    "sequential": lambda: sequential((8,), Block(), layers.Dense(3)),
    "nested": lambda: nested(Block(), Block()),
    "shared": lambda: shared(Block()),
    "mixed precision": lambda: sequential((8,), Block(dtype="mixed_bfloat16"), layers.Dense(3, dtype="float32")),
    "attention": lambda: sequential((5, 8), SelfAttention(), layers.Flatten(), layers.Dense(3)),
}


@registered
class SelfAttention(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.attention, self.norm = layers.MultiHeadAttention(2, 4), layers.LayerNormalization()

    def build(self, input_shape):
        self.attention.build(input_shape, input_shape)
        self.norm.build(input_shape)

    def call(self, inputs):
        return self.norm(inputs + self.attention(inputs, inputs))


# Names begin anew after clear_session: of all kinds of targets alike.
CLEARED = [(name, clear) for name in UNNAMED for clear in (False, True)]


@pytest.mark.parametrize(
    ("name", "clear"),
    [pytest.param(*case, marks=pytest.mark.long if case[1] and case[0] != "nested" else []) for case in CLEARED],
)
def test_weights_of_layers_without_names_are_pruned_packed_and_drawn(name, clear, tmp_path):
    target = UNNAMED[name]()
    model = cvhn_tf.VariationalHypernetwork(target, seed=0, initial_stddev=0.1)
    if clear:
        keras.backend.clear_session()
    posterior = model.posterior(1.0)
    assert len(posterior) == len(target.trainable_variables)
    network = export.prune(model, 1.0, sparsity=0.9)
    assert set(posterior) == {weight.path for weight in network.trainable_variables}
    kernels = [weight.numpy() for weight in network.trainable_variables if len(weight.shape) > 1]
    zeros = sum(np.sum(kernel == 0) for kernel in kernels) / sum(kernel.size for kernel in kernels)
    assert zeros == pytest.approx(0.9, abs=0.02)
    for structure in ("unit", "block"):
        export.prune(model, 1.0, sparsity=0.5, structure=structure)
    packed = export.pack(model, 1.0, sparsity=0.9)
    x = examples(target, 4)
    expected = model.at(1.0)
    assert packed.weights_kept <= 0.12 * sum(kernel.size for kernel in kernels) + 60  # biases are kept
    assert export.unpack(packed).output_shape == expected.output_shape
    spread = model.predict_distribution(x, 1.0, samples=8, outputs="values", seed=0).variance
    assert (spread > 0).all()
    model.save(tmp_path / "model.keras")
    loaded = cvhn_tf.load_model(tmp_path / "model.keras")
    for ours, theirs in zip(posterior.values(), loaded.posterior(1.0).values(), strict=True):
        np.testing.assert_array_equal(ours.loc, theirs.loc)


def examples(target, count):
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(count, *tensor.shape[1:])).astype("float32") for tensor in target.inputs]
    return arrays if len(arrays) > 1 else arrays[0]


TRAINING_FLAGS = {
    "lstm": lambda: sequential((5, 8), layers.LSTM(6, dropout=0.5)),
    "gru": lambda: sequential((5, 8), layers.GRU(6, dropout=0.5)),
    "simple rnn": lambda: sequential((5, 8), layers.SimpleRNN(6, dropout=0.5)),
    "cell": lambda: sequential((5, 8), layers.RNN(layers.LSTMCell(6, dropout=0.5))),
    "bidirectional": lambda: sequential((5, 8), layers.Bidirectional(layers.LSTM(6, dropout=0.5))),
    "convolutional": lambda: sequential((3, 4, 4, 2), layers.ConvLSTM2D(2, 2, dropout=0.5)),
    "own layer": lambda: sequential((8,), WithDropout()),
    "nested": lambda: sequential((8,), layers.Dense(8), sequential((8,), WithDropout())),
    "two outputs": lambda: two_outputs(),
}


def two_outputs():
    inputs = keras.Input((5, 8))
    outputs, state = layers.GRU(6, dropout=0.5, return_state=True)(inputs)
    return keras.Model(inputs, [outputs, state])


@pytest.mark.parametrize("name", TRAINING_FLAGS)
def test_layers_whose_call_does_not_train_by_default_train(name):
    target = TRAINING_FLAGS[name]()
    model = cvhn_tf.VariationalHypernetwork(target, train_size=8, initial_stddev=1e-7, seed=0)
    x = examples(target, 8)

    def spread(network, **arguments):
        first, second = (keras.tree.flatten(network(x, training=True, **arguments))[0] for _ in range(2))
        return float(ops.std(first - second))

    assert spread(model, complexity=1.0) == pytest.approx(spread(target), rel=0.7)
    assert spread(target) > 0.01


def test_statistics_that_a_layer_keeps_in_training_are_kept():
    model = cvhn_tf.VariationalHypernetwork(sequential((8,), OwnStatistics()), seed=0)
    assert float(model.at(1.0).layers[0].seen) == 0  # a trial of the training leaves no trace
    model.compile("sgd", "mse")
    model.fit(np.ones((8, 8)), np.ones((8, 3)), batch_size=2, verbose=0)
    assert float(model.at(1.0).layers[0].seen) == 4


@pytest.mark.parametrize(
    "target",
    [
        lambda: sequential((8,), Penalty()),
        lambda: nested(Penalty()),
        lambda: sequential((8,), layers.Dense(4), layers.ActivityRegularization(l2=0.1)),
    ],
    ids=["layer", "nested", "without weights"],
)
@pytest.mark.parametrize("training", [False, True])
def test_losses_that_layers_add_count_once_as_in_keras(target, training):
    target = target()
    model = cvhn_tf.VariationalHypernetwork(target, train_size=64, kl_warmup=0, initial_stddev=1e-7, seed=0)
    x = examples(target, 16)
    target(x, training=training)
    model(x, complexity=1.0, training=training)
    kl = model.description_length(1.0) * np.log(2) / 64
    ours = sorted(float(loss) for loss in model.losses)
    np.testing.assert_allclose(ours, sorted([*map(float, target.losses), kl]), rtol=1e-4)


def test_losses_of_a_layer_of_fixed_complexity_stand_beside_its_description_length():
    layer = cvhn_tf.Variational(Penalty(), complexity=1.0, train_size=10)
    layer(np.ones((4, 8), "float32"))
    assert len(layer.losses) == 2


LAYERS_OF_DENSE = {
    "softplus": lambda: sequential((8,), Positive(8)),
    "skip": lambda: sequential((8,), Skip(8)),
    "skip with activation": lambda: sequential((8,), Skip(8, activation="relu")),
    "standardized": lambda: sequential((6, 6, 2), Standardized(3, 3)),
    "harmless": lambda: sequential((8,), Renamed(activation="tanh")),
    "nested": lambda: nested(Skip(8, activation="relu")),
    "shared": lambda: shared(Positive(4)),
    "activation with weights": lambda: sequential((8,), layers.Dense(4, activation=layers.PReLU())),
}


@pytest.mark.parametrize("estimator", ["local_reparameterization", "flipout"])
@pytest.mark.parametrize("name", LAYERS_OF_DENSE)
def test_layers_derived_from_linear_ones_are_linear_only_where_they_are_known_to_be(name, estimator):
    target = LAYERS_OF_DENSE[name]()
    model = cvhn_tf.VariationalHypernetwork(target, train_size=64, initial_stddev=1e-6, seed=0, estimator=estimator)
    x = examples(target, 16)
    mean = target(x)
    scale = float(ops.std(mean))
    np.testing.assert_allclose(model(x, complexity=1.0), mean, atol=1e-5 * scale)
    np.testing.assert_allclose(model.at(1.0)(x), mean, atol=1e-5 * scale)
    assert 0 < float(ops.std(model(x, complexity=1.0, training=True) - mean)) < 1e-4 * scale
    chosen = type(model._target.layers()[-1].estimator).__name__
    if name == "harmless":
        assert chosen != "WeightSampling"


def test_noise_of_a_derived_layer_has_the_variance_of_its_weights():
    target = sequential((6, 6, 2), Standardized(3, 3))
    model = cvhn_tf.VariationalHypernetwork(target, train_size=64, initial_stddev=0.05, seed=0)
    x = examples(target, 4)
    draw = tf.function(lambda: model(x, complexity=1.0, training=True))  # of many that take long one by one
    draws = np.array([draw() for _ in range(200)])
    network, posterior = model.at(1.0), model.posterior(1.0)
    values = [posterior[weight.path].sample(200) for weight in network.weights]
    expected = []
    for of_weights in zip(*values, strict=True):
        for weight, value in zip(network.weights, of_weights, strict=True):
            weight.assign(value)
        expected.append(network(x))
    np.testing.assert_allclose(draws.std(0).mean(), np.std(expected, 0).mean(), rtol=0.1)


def test_frozen_parts_stay_frozen(tmp_path):
    def dense():
        target = sequential((8,), layers.Dense(3, name="a"), layers.Dense(2, name="b"))
        target.layers[0].kernel.trainable = False
        return target

    def block():
        target = sequential((8,), Block(name="own"), layers.Dense(3, name="b"))
        target.layers[0].first.trainable = False
        return target

    for target, frozen in ((dense(), ["a/kernel"]), (block(), ["first"])):
        trainable = len(target.trainable_weights)
        model = cvhn_tf.VariationalHypernetwork(target, initial_stddev=1e-6, train_size=8, seed=0)
        assert len(model.posterior(1.0)) == trainable, frozen
        x = examples(target, 8)
        np.testing.assert_allclose(model(x, complexity=1.0, training=True), target(x), atol=1e-3)
        model.compile(cvhn_tf.PivotAdam(0.1), "mse", run_eagerly=True)
        model.fit(x, np.ones((8, target.output_shape[-1])), epochs=3, verbose=0)
        network = model.at(1.0)
        assert len(network.trainable_weights) == trainable
        for before, after in zip(target.weights, network.weights, strict=True):
            assert np.array_equal(before, after) == (not before.trainable)
        model.save(tmp_path / "model.keras")
        loaded = cvhn_tf.load_model(tmp_path / "model.keras")
        assert list(loaded.posterior(1.0)) and len(loaded.posterior(1.0)) == trainable
        np.testing.assert_array_equal(loaded(x, complexity=1.0), model(x, complexity=1.0))
        loaded.fit(x, np.ones((8, target.output_shape[-1])), verbose=0)


def test_a_layer_with_a_frozen_weight_of_its_own_comes_back_from_a_file(tmp_path):
    dense = layers.Dense(3)
    dense.build((None, 8))
    dense.kernel.trainable = False
    model = sequential((8,), cvhn_tf.Variational(dense, complexity=1.0, train_size=8))
    model.save(tmp_path / "layer.keras")
    loaded = keras.saving.load_model(tmp_path / "layer.keras")
    x = np.ones((2, 8), "float32")
    np.testing.assert_array_equal(loaded(x), model(x))
    assert [w.shape for w in loaded.trainable_weights] == [w.shape for w in model.trainable_weights]


def with_lora(inside=False):
    if inside:
        target = sequential((8,), Block(), layers.Dense(3))
        target.layers[0].first.enable_lora(2)
    else:
        target = sequential((8,), layers.Dense(3))
        target.layers[0].enable_lora(2)
    return target


def quantized(mode):
    target = sequential((8,), layers.Dense(3))
    target.layers[0].quantize(mode)
    return target


def replaced_call():
    target = sequential((8,), layers.Dense(3))
    dense = target.layers[0]
    dense.call = lambda inputs, training=None: 2.0 * layers.Dense.call(dense, inputs)
    return target


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (with_lora, "LoRA is enabled"),
        (lambda: with_lora(inside=True), "LoRA is enabled"),
        (lambda: quantized("int8"), "is quantized to int8"),
        (lambda: sequential((8,), Assigning()), "assigns values to its weight"),
        (lambda: nested(Assigning()), "assigns values to its weight"),
        (lambda: sequential((8,), layers.SpectralNormalization(layers.Dense(3))), "assigns values to its weight"),
        (lambda: Scaled([keras.Input((8,)), layers.Dense(3)]), "has a `call` of its own"),
        (replaced_call, "the copy gives other values"),
    ],
    ids=["lora", "lora inside", "int8", "assigning", "nested", "spectral", "own call", "replaced call"],
)
def test_what_cannot_be_right_is_refused_when_it_is_made(target, sentence):
    with pytest.raises(ValueError, match=sentence):
        cvhn_tf.VariationalHypernetwork(target())


@pytest.mark.parametrize("outer", [nested, lambda model: sequential((8,), model)])
def test_a_model_with_a_call_of_its_own_is_one_layer_of_another(outer):
    target = outer(Scaled([keras.Input((8,)), layers.Dense(4)]))
    model = cvhn_tf.VariationalHypernetwork(target, initial_stddev=1e-6, train_size=8, seed=0)
    x = examples(target, 8)
    np.testing.assert_allclose(model(x, complexity=1.0), target(x), atol=1e-5)
    np.testing.assert_allclose(model(x, complexity=1.0, training=True), target(x), atol=1e-3)
    np.testing.assert_allclose(model.at(1.0)(x), target(x), atol=1e-5)


LOOKUPS = {
    "integers": lambda: (layers.IntegerLookup(), np.array([10, 20, 30, 40] * 4)[:, None], "int64"),
    "one hot": lambda: (layers.IntegerLookup(output_mode="one_hot"), np.array([10, 20, 30, 40] * 4)[:, None], "int64"),
    "bins": lambda: (layers.Discretization(num_bins=3), np.arange(16.0)[:, None], "float32"),
    "statistics": lambda: (layers.Normalization(), np.arange(16.0)[:, None], "float32"),
}


@pytest.mark.parametrize("name", LOOKUPS)
def test_what_a_layer_has_learned_of_data_travels_along(name, tmp_path):
    lookup, data, dtype = LOOKUPS[name]()
    lookup.adapt(data)
    head = [] if name in ("one hot", "statistics") else [layers.Embedding(6, 3), layers.Flatten()]
    target = sequential((1,), lookup, *head, layers.Dense(2), dtype=dtype)
    model = cvhn_tf.VariationalHypernetwork(target, initial_stddev=1e-6, seed=0)
    np.testing.assert_allclose(model.at(1.0)(data), target(data), atol=1e-5)
    model.compile("sgd", "mse", run_eagerly=True)
    model.fit(data, np.ones((16, 2)), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = cvhn_tf.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.at(1.0)(data), model.at(1.0)(data), atol=1e-6)
    unpacked = export.unpack(export.pack(model, 1.0, sparsity=0.0, step=1e-3))
    np.testing.assert_allclose(unpacked(data), model.at(1.0)(data), atol=1e-3)
    assert getattr(lookup, "input_vocabulary", None) is None  # the target was not changed


@pytest.mark.parametrize("mode", ["int", "tf_idf"])
def test_words_travel_along(mode, tmp_path):
    words = np.array(["a b", "b c", "c a a", "d"])
    vectorize = layers.TextVectorization(output_mode=mode, **({"output_sequence_length": 4} if mode == "int" else {}))
    vectorize.adapt(words)
    head = [layers.Embedding(8, 3), layers.Flatten()] if mode == "int" else []
    target = sequential((), vectorize, *head, layers.Dense(2), dtype="string")
    model = cvhn_tf.VariationalHypernetwork(target, initial_stddev=1e-6, seed=0)
    data = keras.ops.convert_to_tensor(words)
    np.testing.assert_allclose(model.at(1.0)(data), target(data), atol=1e-5)
    model.compile("sgd", "mse", run_eagerly=True)
    model.fit(data, np.ones((4, 2)), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = cvhn_tf.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.at(1.0)(data), model.at(1.0)(data), atol=1e-6)


def test_a_dict_with_wrong_keys_is_refused_and_one_with_more_is_not():
    image, meta = keras.Input((3,), name="image"), keras.Input((3,), name="meta")
    x = {"image": np.ones((4, 3), "float32"), "meta": np.zeros((4, 3), "float32")}
    for structure in ({"image": image, "meta": meta}, [image, meta]):
        target = keras.Model(structure, layers.Dense(2)(layers.Concatenate()([image, meta])))
        model = cvhn_tf.VariationalHypernetwork(target, seed=0)
        model.compile("sgd", "mse")
        wrong = {"img": x["image"], "features": x["meta"]}
        for call in (lambda m, d: m(d, complexity=1.0), lambda m, d: m.fit(d, np.ones((4, 2)), verbose=0)):
            with pytest.raises(ValueError, match="image"):
                call(model, wrong)
        more = {**x, "more": np.zeros((4, 9), "float32")}
        np.testing.assert_allclose(model(more, complexity=1.0), target(x), atol=1e-5)


# Those of `make test` are a Latin square of the first three, in which each two of all four meet.
WAYS = [
    pytest.param(kind, loss, metrics, labels, marks=[] if (i + j + k) % 3 == 0 else pytest.mark.long)
    for i, kind in enumerate(["list", "tuple", "dict"])
    for j, loss in enumerate(["mse", ["mse", "mae"], {"small": "mse", "big": "mae"}])
    for k, metrics in enumerate([None, [["mae"], ["mae"]], {"big": "mae"}])
    for labels in ["list", "dict"]
]


@pytest.mark.parametrize(("kind", "loss", "metrics", "labels"), WAYS)
def test_outputs_losses_and_metrics_by_name_are_those_of_keras(kind, loss, metrics, labels):
    x, y = np.ones((16, 8), "float32"), {"small": np.ones((16, 1)), "big": np.zeros((16, 2))}

    def train(make):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((8,))
        heads = {"small": layers.Dense(1, name="small")(inputs), "big": layers.Dense(2, name="big")(inputs)}
        outputs = {"list": list(heads.values()), "tuple": tuple(heads.values()), "dict": heads}[kind]
        model = make(keras.Model(inputs, outputs))
        try:
            # Names are the same without a graph, and tracing one for each way to write them takes most of the time.
            model.compile("sgd", loss, metrics=metrics, run_eagerly=True)
            history = model.fit(x, y if labels == "dict" else list(y.values()), verbose=0, shuffle=False).history
        except (ValueError, KeyError):
            return None
        return {k: v[0] for k, v in history.items() if k not in ("complexity", "kl_bits", "nll")}

    theirs = train(lambda target: target)
    ours = train(
        lambda target: cvhn_tf.VariationalHypernetwork(
            target, seed=0, initial_stddev=1e-7, prior="normal", kl_warmup=10**9
        )
    )
    assert (ours is None) == (theirs is None)
    if ours is not None:
        assert ours.keys() == theirs.keys()
        np.testing.assert_allclose(list(ours.values()), list(theirs.values()), rtol=1e-3)


def test_a_hypernetwork_shows_what_a_functional_model_shows():
    inputs = keras.Input((8,), name="in")
    target = keras.Model(inputs, [layers.Dense(1, name="small")(inputs), layers.Dense(2, name="big")(inputs)])
    model = cvhn_tf.VariationalHypernetwork(target)
    assert (model.input_shape, model.output_shape) == (target.input_shape, target.output_shape)
    assert (model.input_names, model.output_names) == (["in"], ["small", "big"])
    assert [tensor.shape for tensor in model.inputs] == [(None, 8)]
    assert [tensor.shape for tensor in model.outputs] == [(None, 1), (None, 2)]
    with pytest.raises(ValueError, match=r"export `model.at\(complexity\)`"):
        model.export("folder")


@pytest.mark.parametrize("parameterization", ["piecewise_linear", "gated"])
def test_losses_may_be_scaled(parameterization):
    def trained(**arguments):
        keras.utils.set_random_seed(0)
        target = sequential((8,), layers.Dense(3))
        model = cvhn_tf.VariationalHypernetwork(target, parameterization=parameterization, seed=0)
        model.compile(cvhn_tf.PivotAdam(**arguments), "mse")
        model.fit(np.ones((16, 8)), np.ones((16, 3)), batch_size=4, shuffle=False, verbose=0)
        return model.at(1.0).get_weights()[0]

    np.testing.assert_allclose(trained(loss_scale_factor=8.0), trained(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("parameterization", ["piecewise_linear", "linear"])
def test_losses_that_keras_cannot_scale_are_refused_before_any_step(parameterization):
    model = cvhn_tf.VariationalHypernetwork(
        sequential((8,), layers.Dense(3)), parameterization=parameterization, seed=0
    )
    model.compile(keras.optimizers.SGD(loss_scale_factor=8.0), "mse")
    if parameterization == "linear":  # whose rows are all read in each step
        model.fit(np.ones((16, 8)), np.ones((16, 3)), verbose=0)
        return
    with pytest.raises(ValueError, match=r"`cvhn_tf.PivotAdam` does. Received: loss_scale_factor=8.0, SGD"):
        model.fit(np.ones((16, 8)), np.ones((16, 3)), verbose=0)


def test_errors_of_loading_name_the_cause(tmp_path):
    model = cvhn_tf.VariationalHypernetwork(sequential((8,), Block()))
    model.save(tmp_path / "model.keras")
    found = keras.saving.get_custom_objects().pop("silent_faults>Block")
    try:
        with pytest.raises(ValueError, match="Could not locate class 'Block'"):
            cvhn_tf.load_model(tmp_path / "model.keras")
    finally:
        keras.saving.get_custom_objects()["silent_faults>Block"] = found


@registered
class ByName(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(3)

    def build(self, left_shape, right_shape):
        self.dense.build(left_shape)

    def call(self, left, right):
        return self.dense(left) + right


def test_a_layer_that_is_called_by_names_alone_is_called_as_in_keras():
    left, right = keras.Input((8,)), keras.Input((3,))
    target = keras.Model([left, right], ByName()(right=right, left=left))
    model = cvhn_tf.VariationalHypernetwork(target, initial_stddev=1e-6, train_size=4, seed=0)
    x = examples(target, 4)
    for training in (False, True):
        np.testing.assert_allclose(model(x, complexity=1.0, training=training), target(x), atol=1e-4)


@registered
class WithoutConfig(layers.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(units)

    def build(self, input_shape):
        self.dense.build(input_shape)

    def call(self, inputs):
        return self.dense(inputs)

    def get_config(self):
        return {"name": self.name}


def test_a_layer_that_its_config_does_not_make_is_refused_by_one_sentence():
    with pytest.raises(ValueError, match=r"can make again from its config.*units"):
        cvhn_tf.VariationalHypernetwork(sequential((8,), WithoutConfig(3)))


@registered
class Dithered(layers.Layer):
    """Draws at inference too."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.generator = keras.random.SeedGenerator(3)

    def call(self, inputs):
        return inputs + keras.random.uniform(ops.shape(inputs), -1e-6, 1e-6, seed=self.generator)


def test_to_make_a_hypernetwork_leaves_what_the_target_draws_next_as_it_was():
    target = keras.Sequential([keras.Input((4,)), layers.Dense(4), Dithered(), layers.Dense(2)])
    before = [variable.numpy() for variable in target.variables]
    cvhn_tf.VariationalHypernetwork(target)
    for variable, value in zip(target.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
@pytest.mark.parametrize("is_given", [False, True], ids=["of the embedding", "as an argument"])
def test_padding_stays_masked_within_a_nested_model(policy, is_given):
    keras.config.set_dtype_policy(policy)  # the nested model casts its inputs to float32
    try:
        tokens = keras.Input((4,), dtype="int32")
        x = layers.Embedding(6, 3, mask_zero=not is_given)(tokens)
        sequence = keras.Input((4, 3))
        block = keras.Model(sequence, layers.GRU(2)(sequence))
        target = keras.Model(tokens, block(x, mask=ops.not_equal(tokens, 0)) if is_given else block(x))
    finally:
        keras.config.set_dtype_policy("float32")
    target.weights[0].assign(np.random.default_rng(0).normal(size=(6, 3)))
    model = cvhn_tf.VariationalHypernetwork(target)
    x = np.array([[4, 3, 0, 0], [1, 0, 0, 0]])
    np.testing.assert_allclose(model(x), target(x), rtol=1e-3, atol=1e-3)
    assert np.abs(model(x) - model(np.where(x, x, 5))).max() > 1e-2
