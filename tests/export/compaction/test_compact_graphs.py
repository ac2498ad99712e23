"""Compact models of networks with branches: generated ones, and the kinds that phones run."""

import hypothesis
import hypothesis.strategies as st
import keras
import numpy as np
import pytest
from keras import layers

from benchmarks.robustness.random_networks import network, prune_at_random
from cvhn_tf import export


def compact_and_compare(model, rng, examples=6):
    """The compact model, once its outputs are those of `model`."""
    inputs = [rng.normal(size=(examples, *tensor.shape[1:])).astype("float32") for tensor in model.inputs]
    inputs = inputs[0] if len(inputs) == 1 else inputs
    before = [weight.copy() for weight in model.get_weights()]
    compacted = export.compact(model)
    for ours, theirs in zip(keras.tree.flatten(compacted(inputs)), keras.tree.flatten(model(inputs)), strict=True):
        ours, theirs = ours.numpy(), theirs.numpy()
        scale = max(np.abs(theirs).max(), 1e-3)
        np.testing.assert_allclose(ours / scale, theirs / scale, atol=1e-5, rtol=0)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert compacted.count_params() <= model.count_params()
    return compacted


@hypothesis.settings(deadline=None, derandomize=True, database=None, max_examples=60)
@hypothesis.given(st.data())
def test_compact_model_of_a_generated_network_gives_the_same_outputs(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    model = network(data.draw)
    dead, sparsity = data.draw(st.sampled_from([(0.2, 0.0), (0.5, 0.0), (0.8, 0.0), (0.2, 0.5)]))
    compact_and_compare(prune_at_random(model, rng, dead, sparsity), rng)


def convolution(x, filters, size=1, strides=1, activation=None):
    x = layers.Conv2D(filters, size, strides, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    return x if activation is None else layers.Activation(activation)(x)


def inverted_residual(x, filters, strides):
    y = convolution(x, 4 * x.shape[-1], activation="relu6")
    if strides == 2:
        y = layers.ZeroPadding2D(((0, 1), (0, 1)))(y)
    y = layers.DepthwiseConv2D(3, strides, padding="valid" if strides == 2 else "same", use_bias=False)(y)
    y = convolution(layers.ReLU(6.0)(layers.BatchNormalization()(y)), filters)
    return layers.Add()([x, y]) if strides == 1 and x.shape[-1] == filters else y


def small_mobilenet():
    inputs = keras.Input((16, 16, 3))
    x = convolution(layers.Rescaling(2.0, offset=-1.0)(inputs), 8, 3, 2, "relu6")
    for filters, strides in [(8, 1), (12, 2), (12, 1), (12, 1)]:
        x = inverted_residual(x, filters, strides)
    x = layers.GlobalAveragePooling2D(keepdims=True)(convolution(x, 32, activation="relu6"))
    return keras.Model(inputs, layers.Reshape((5,))(layers.Conv2D(5, 1)(layers.Dropout(0.2)(x))))


def small_resnet():
    inputs = keras.Input((12, 12, 3))
    x = layers.MaxPooling2D(3, 2, padding="same")(convolution(inputs, 8, 3, activation="relu"))
    for filters, strides in [(8, 1), (16, 2), (16, 1)]:
        y = convolution(convolution(x, filters, 3, strides, "relu"), filters, 3)
        if strides == 2:
            x = convolution(x, filters, 1, strides)
        x = layers.ReLU()(layers.Add()([x, y]))
    return keras.Model(inputs, layers.Dense(5)(layers.GlobalAveragePooling2D()(x)))


def squeeze_and_excite():
    inputs = keras.Input((8, 8, 2))
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    y = layers.Reshape((1, 1, 8))(layers.GlobalAveragePooling2D()(x))
    y = layers.Conv2D(8, 1, activation="sigmoid")(layers.Conv2D(4, 1, activation="relu")(y))
    return keras.Model(inputs, layers.Conv2D(3, 1)(layers.Multiply()([x, y])))


@pytest.mark.parametrize("make_model", [small_mobilenet, small_resnet, squeeze_and_excite], ids=lambda f: f.__name__)
def test_networks_of_phones_shrink_and_give_the_same_outputs(make_model):
    rng = np.random.default_rng(0)
    model = prune_at_random(make_model(), rng, dead=0.4)
    assert compact_and_compare(model, rng).count_params() < 0.75 * model.count_params()


def by_name(model, name):
    return next(layer for layer in model.layers if layer.name == name)


def test_channels_that_are_added_go_only_where_no_branch_has_them():
    inputs = keras.Input((5, 5, 2))
    first, second = layers.Conv2D(4, 3, name="first")(inputs), layers.Conv2D(4, 3, name="second")(inputs)
    model = keras.Model(inputs, layers.Conv2D(3, 3)(layers.Add()([first, second])))
    for layer, dead in zip(model.layers[1:3], ([0, 1], [1, 2]), strict=True):
        kernel = layer.kernel.numpy()
        kernel[..., dead] = 0
        layer.set_weights([kernel, np.arange(1.0, 5.0)])
    compacted = compact_and_compare(model, np.random.default_rng(0))
    assert by_name(compacted, "first").filters == by_name(compacted, "second").filters == 3


def test_every_reader_of_a_channel_must_do_without_it():
    inputs = keras.Input((6,))
    x = layers.Dense(4, "relu", name="made")(inputs)
    model = keras.Model(inputs, [layers.Dense(2)(x), layers.Dense(2)(layers.Concatenate()([inputs, x]))])
    for layer, rows in zip(model.layers[-2:], ([0, 1], [6 + 1, 6 + 2]), strict=True):
        kernel = layer.kernel.numpy()
        kernel[rows] = 0
        layer.kernel.assign(kernel)
    assert by_name(compact_and_compare(model, np.random.default_rng(0)), "made").units == 3


def test_constant_goes_into_the_batch_normalization_behind_a_convolution_without_bias():
    model = keras.Sequential(
        [keras.Input((4, 4, 2)), layers.Conv2D(3, 1), layers.Conv2D(2, 1, use_bias=False), layers.BatchNormalization()]
    )
    kernel = model.layers[0].kernel.numpy()
    kernel[..., 0] = 0
    model.layers[0].set_weights([kernel, np.ones(3)])
    compacted = compact_and_compare(model, np.random.default_rng(0))
    assert compacted.layers[1].filters == 2
    assert not compacted.layers[2].use_bias
    np.testing.assert_allclose(compacted.layers[3].moving_mean, -model.layers[1].kernel[0, 0, 0], rtol=1e-6)


def test_depthwise_filter_of_zeros_takes_the_filter_before_it_along():
    """Its constant is the same at the border, which that of the filter before it, behind padding, is not."""
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            layers.Conv2D(4, 1, activation="relu"),
            layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2),
            layers.Conv2D(2, 1),
        ]
    )
    model.layers[0].bias.assign(np.ones(4))
    kernel = model.layers[1].kernel.numpy()
    kernel[:, :, 2] = 0
    model.layers[1].set_weights([kernel, np.arange(8.0)])
    compacted = compact_and_compare(model, np.random.default_rng(0))
    assert [layer.output.shape[-1] for layer in compacted.layers] == [1, 3, 6, 2]


@pytest.mark.parametrize(
    "make_layers",
    [
        lambda: [layers.ZeroPadding2D(1), layers.Conv2D(2, 3)],
        lambda: [layers.DepthwiseConv2D(3, padding="same"), layers.Conv2D(2, 1)],
        lambda: [layers.SeparableConv2D(2, 3, padding="same")],
        lambda: [layers.Conv2D(2, 3, padding="same")],
    ],
    ids=["zero_padding", "depthwise", "separable", "convolution"],
)
def test_constant_that_is_none_at_the_border_is_kept(make_layers):
    model = keras.Sequential([keras.Input((5, 5, 1)), layers.Conv2D(3, 1), *make_layers()])
    kernel = model.layers[0].kernel.numpy()
    kernel[..., :2] = 0
    model.layers[0].set_weights([kernel, np.array([0.0, 1.0, 1.0])])
    assert compact_and_compare(model, np.random.default_rng(0)).layers[1].filters == 2


def test_several_inputs_keep_their_names_and_the_model_its_file_format(tmp_path):
    inputs = [keras.Input((6, 6, 2), name="image"), keras.Input((5,), name="numbers")]
    x = layers.Flatten()(layers.ReLU()(layers.Conv2D(4, 3)(inputs[0])))
    x = layers.Concatenate()([x, layers.Dense(7, "relu")(inputs[1])])
    rng = np.random.default_rng(0)
    model = prune_at_random(keras.Model(inputs, layers.Dense(3)(layers.Dense(8, "relu")(x))), rng)
    compacted = compact_and_compare(model, rng)
    assert compacted.count_params() < 0.6 * model.count_params()
    compacted.save(tmp_path / "compact.keras")
    x = {"image": rng.normal(size=(2, 6, 6, 2)), "numbers": rng.normal(size=(2, 5))}
    loaded = keras.saving.load_model(tmp_path / "compact.keras")
    np.testing.assert_array_equal(loaded(x), compacted(x))
    np.testing.assert_allclose(loaded(x), model(x), atol=1e-4)


def test_nested_models_shrink_within():
    inside = keras.Sequential([keras.Input((6,)), layers.Dense(8, "relu"), layers.Dense(3)], name="inside")
    inputs = keras.Input((6,))
    model = keras.Model({"x": inputs}, {"y": layers.Dense(2)(inside(layers.Dense(6, "relu")(inputs)))})
    kernel = inside.layers[1].kernel.numpy()
    kernel[2:] = 0
    inside.layers[1].kernel.assign(kernel)
    compacted = export.compact(model)
    assert by_name(compacted, "inside").layers[1].units == 2
    x = {"x": np.random.default_rng(0).normal(size=(5, 6)).astype("float32")}
    np.testing.assert_allclose(compacted(x)["y"], model(x)["y"], atol=1e-5)
    assert inside.layers[0].units == 8


@keras.saving.register_keras_serializable(package="tests")
def centred(x):
    return x - keras.ops.mean(x, axis=-1, keepdims=True)


def batch_statistics(x):
    return layers.BatchNormalization()(x, training=True)


@pytest.mark.parametrize(
    "mixing",
    [layers.LayerNormalization(), layers.Dense(3, centred), layers.Activation("softmax"), batch_statistics],
    ids=["layer_normalization", "own_activation", "softmax", "batch_statistics"],
)
def test_what_is_not_known_to_leave_channels_apart_keeps_them(mixing):
    inputs = keras.Input((3,))
    x = mixing(layers.Dense(3, kernel_initializer="identity")(inputs))
    model = keras.Model(inputs, layers.Dense(2, kernel_initializer="zeros")(x))
    assert export.compact(model) is model


def test_mobilenet_v2_of_keras_shrinks_and_becomes_a_verified_file():
    rng = np.random.default_rng(0)
    model = keras.applications.MobileNetV2(weights=None, input_shape=(96, 96, 3), alpha=0.35, classes=5)
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D):
            kernel = layer.kernel.numpy()
            dead = rng.random(kernel.shape[2 if isinstance(layer, layers.DepthwiseConv2D) else 3]) < 0.3
            kernel[(..., dead, slice(None)) if isinstance(layer, layers.DepthwiseConv2D) else (..., dead)] = 0
            layer.kernel.assign(kernel)
        elif isinstance(layer, layers.BatchNormalization):
            layer.beta.assign(rng.normal(size=layer.beta.shape) * 0.3)
            layer.moving_variance.assign(np.full(layer.beta.shape, 0.3))
    compacted = compact_and_compare(model, rng)
    assert compacted.count_params() < 0.7 * model.count_params()
    artifact = export.to_tflite(compacted, sparse=False)
    assert artifact.relative_error < 1e-4
    assert artifact.size_bytes < 4.6 * compacted.count_params()
