"""Narrow convolutions before pooling, computed in phases: same outputs, and only where that makes fewer steps."""

import keras
import numpy as np
import pytest
from keras import layers
from typer.testing import CliRunner

import cvhn_tf
from cvhn_tf import export
from cvhn_tf.export.search.pruned_networks import Point, Prunings
from cvhn_tf_cli.commands import app


def pooled(filters, kernel_size=5, pooling=None, size=(24, 32), between=(), **convolution):
    stack = [
        layers.Conv2D(filters, kernel_size, **{"activation": "relu"} | convolution),
        *between,
        pooling or layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(3),
    ]
    model = keras.Sequential([keras.Input((*size, 2)), *stack])
    rng = np.random.default_rng(0)
    # Positive biases and variances: something is left behind a ReLU, and normalization is defined.
    model.set_weights(
        [rng.normal(size=w.shape) if w.ndim > 1 else rng.uniform(0.2, 1, w.shape) for w in model.get_weights()]
    )
    return model


def strides_of(model):
    return [layer.strides for layer in model.layers if isinstance(layer, layers.Conv2D)]


def check_same_outputs(model, changed):
    x = np.random.default_rng(1).normal(size=(5, *model.input_shape[1:])).astype("float32")
    expected = model(x).numpy()
    np.testing.assert_allclose(changed(x), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("size", [(24, 32), (25, 31)])
@pytest.mark.parametrize("kernel_size", [5, (3, 4), 2])
@pytest.mark.parametrize("pooling", [layers.MaxPooling2D, layers.AveragePooling2D])
@pytest.mark.parametrize("pool_size", [2, (3, 2), (1, 2)])
def test_outputs_are_the_same_without_padding(size, kernel_size, pooling, pool_size):
    model = pooled(1, kernel_size, pooling(pool_size), size)
    changed = export.polyphase(model)
    assert strides_of(changed) == [model.layers[1].pool_size]
    check_same_outputs(model, changed)


@pytest.mark.parametrize("pooling", [layers.MaxPooling2D(), layers.AveragePooling2D((3, 2), padding="same")])
def test_outputs_are_the_same_with_padding(pooling):
    model = pooled(2, (5, 4), pooling, padding="same")
    changed = export.polyphase(model)
    assert strides_of(changed) == [pooling.pool_size]
    check_same_outputs(model, changed)


def test_normalization_and_activations_between_go_along():
    between = [layers.BatchNormalization(), layers.LeakyReLU()]
    model = pooled(3, between=between, activation=None, use_bias=False)
    changed = export.polyphase(model)
    assert strides_of(changed) == [(2, 2)]
    check_same_outputs(model, changed)


def test_network_comes_back_from_a_file_and_runs_in_litert(tmp_path):
    model = pooled(3)
    changed = export.polyphase(model)
    changed.save(tmp_path / "network.keras")
    check_same_outputs(model, keras.models.load_model(tmp_path / "network.keras"))
    x = np.random.default_rng(1).normal(size=(20, 24, 32, 2)).astype("float32")
    for quantization in (None, "float16", "dynamic_range", "int8", "weight_only_int8"):
        export.to_tflite(
            changed, quantization, representative_data=x, client="cpu"
        )  # compares LiteRT's outputs with Keras's


@pytest.mark.parametrize(
    "model",
    [
        pooled(5),  # 100 steps of eight filters for a pooled value, 108 in phases
        pooled(3, 2, size=(8, 8)),  # too few in all
        pooled(8),
        pooled(10),  # 200 and 180 of eight, but 100 and 108 of sixteen
        pooled(3, pooling=layers.MaxPooling2D(3, strides=2)),  # which overlap
        pooled(3, pooling=layers.MaxPooling2D(padding="same"), size=(25, 32)),
        pooled(3, padding="same", size=(25, 32)),
        pooled(3, strides=2),
        pooled(3, dilation_rate=2),
        pooled(2, groups=2),
        pooled(3, activation="softmax"),
        pooled(3, between=[layers.Softmax()]),
        pooled(3, between=[layers.ZeroPadding2D()]),
        keras.Sequential([keras.Input((4,)), layers.Dense(3)]),
    ],
)
def test_what_phases_do_not_fit_or_do_not_pay_for_comes_back_as_it_is(model):
    assert export.polyphase(model) is model


def test_convolution_that_others_read_stays_as_it_is():
    inputs = keras.Input((24, 32, 2))
    read_twice = layers.Conv2D(3, 5)(inputs)
    outputs = layers.Add()([layers.MaxPooling2D()(read_twice), layers.AveragePooling2D(2)(read_twice)])
    twice = keras.Model(inputs, outputs)
    given_out = keras.Model(inputs, [read_twice, layers.MaxPooling2D()(read_twice)])
    shared = layers.Conv2D(3, 5)
    both = keras.Model(
        inputs, layers.Add()([layers.MaxPooling2D()(shared(x)) for x in (inputs, layers.ReLU()(inputs))])
    )
    for model in (twice, given_out, both):
        assert export.polyphase(model) is model


def test_second_convolution_and_models_beside_it_keep_their_places():
    inputs = keras.Input((32, 32, 1))
    x = layers.MaxPooling2D()(layers.Conv2D(3, 5, activation="relu", padding="same")(inputs))
    x = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(8, 3), layers.BatchNormalization()])(x)
    x = layers.MaxPooling2D()(layers.Conv2D(2, 3, activation="relu")(x))
    model = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(x)))
    changed = export.polyphase(model)
    assert strides_of(changed) == [(2, 2), (2, 2)]
    check_same_outputs(model, changed)


def test_anything_else_is_refused():
    with pytest.raises(ValueError, match="keras_model"):
        export.polyphase(layers.Dense(3))


@pytest.fixture
def narrow():
    """A hypernetwork with a convolution of few filters."""
    target = keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            layers.Conv2D(4, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(3, "softmax"),
        ]
    )
    return cvhn_tf.VariationalHypernetwork(target, seed=0)


def file_of(network):
    return export.annotate(export.to_tflite(network), 1.0, 0.0, "weight")


def test_budget_of_time_searches_among_such_networks(narrow):
    x, y = np.random.default_rng(0).normal(size=(30, 16, 16, 1)).astype("float32"), np.arange(30) % 3
    prunings = [Prunings(narrow, x, y, for_speed=for_speed) for for_speed in (False, True)]
    point = Point(1.0, 0.0, "weight")
    small, fast = (p.candidates(point)[0] for p in prunings)
    assert (strides_of(small), strides_of(fast)) == ([(1, 1)], [(2, 2)])
    assert prunings[1].candidates(point)[0] is fast  # so that it is saved once for all encodings
    assert [len(p.candidates(Point(1.0, 0.5, "block"))) for p in prunings] == [2, 2]
    only = {"complexities": [1.0], "sparsities": [0.0], "structures": ["weight"], "quantizations": [None]}
    for budget, network in (({"max_latency_ms": 1e3}, fast), ({"max_bytes": 1e6}, small)):
        assert export.best(narrow, (x, y), **budget, **only).chosen.size_bytes == file_of(network).size_bytes


def test_command_line_writes_such_a_file_and_says_so(narrow, tmp_path):
    narrow.save(tmp_path / "model.keras")
    options = ["--encoding", "float32", "--output", str(tmp_path / "fast.tflite"), "--polyphase"]
    result = CliRunner().invoke(app, ["export", str(tmp_path / "model.keras"), *options])
    assert result.exit_code == 0, result.output
    expected = file_of(export.polyphase(export.compact(export.prune(narrow, 1.0, 0.0))))
    assert (tmp_path / "fast.tflite").stat().st_size == expected.size_bytes > file_of(narrow.at(1.0)).size_bytes
    assert "--polyphase" in (tmp_path / "fast.md").read_text()


def test_pooling_that_two_convolutions_share_stays_as_it_is():
    inputs, pooling = keras.Input((28, 28, 1)), layers.MaxPooling2D()
    parts = [layers.Flatten()(pooling(layers.Conv2D(2, 5, activation="relu")(inputs))) for _ in range(2)]
    model = keras.Model(inputs, layers.Dense(3)(layers.Concatenate()(parts)))
    assert export.polyphase(model) is model
