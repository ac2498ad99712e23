"""Networks in the form that XNNPACK computes by channels: the same outputs, and what does not fit refused."""

import keras
import numpy as np
import pytest
from keras import layers
from typer.testing import CliRunner

import cvhn_tf
from cvhn_tf import export
from cvhn_tf.export.compaction.equal_padding import Window
from cvhn_tf.export.tflite.channel_parts import why_not_by_channels
from cvhn_tf.export.tflite.flatbuffer import operation_of, parse
from cvhn_tf_cli.commands import app

ACTIVATIONS = ["relu", "relu6", "silu", "hard_silu", "hard_sigmoid", "sigmoid", "elu", "gelu", "leaky_relu", "tanh"]


def with_zeros(model, seed=0, share=0.8):
    """The model with weights at random, and zeros in its kernels for channels alone."""
    rng = np.random.default_rng(seed)
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
        elif hasattr(layer, "kernel"):
            kernel, *bias = layer.get_weights()
            inputs = 9 if isinstance(layer, layers.DepthwiseConv2D) else np.prod(kernel.shape[:-1])
            kernel = rng.normal(size=kernel.shape) * np.sqrt(3 / inputs)
            if np.prod(kernel.shape[:-2]) == 1:
                kernel *= rng.permutation(kernel.size).reshape(kernel.shape) >= share * kernel.size
                kernel /= np.sqrt(1 - share)
            layer.set_weights([kernel, *(rng.normal(size=values.shape) / 9 for values in bias)])
    return model


def strided(x, make, strides, how):
    """A convolution that pads by itself, or as Keras's own networks do."""
    size = make("same", strides).kernel_size[0]
    if how == "same":
        return make("same", strides)(x)
    if how == "equal":
        return make("valid", strides)(layers.ZeroPadding2D(size // 2)(x))
    before = [size // 2 - (1 - length % 2) * (strides == 2) for length in x.shape[1:3]]
    return make("valid", strides)(layers.ZeroPadding2D([(zeros, size // 2) for zeros in before])(x))


def squeezed(x, how, activation):
    channels = x.shape[-1]
    if how == "kept axes":
        y = layers.GlobalAveragePooling2D(keepdims=True)(x)
    else:
        y = layers.GlobalAveragePooling2D()(x)
        y = layers.Reshape((1, 1, channels))(y) if how == "reshaped" else y
    make = (
        layers.Dense if how == "dense" else lambda *arguments: layers.Conv2D(arguments[0], 1, activation=arguments[1])
    )
    y = make(channels, "hard_sigmoid")(make(3, activation)(y))
    y = layers.Reshape((1, 1, channels))(y) if how == "dense" else y
    return layers.Multiply()([x, y])


def random_network(seed, paddings=("same", "uneven", "equal"), squeezes=True):
    """A network of what the form takes, at random."""
    rng = np.random.default_rng(seed)
    choose = lambda values: values[rng.integers(len(values))]  # noqa: E731
    how = choose(paddings)
    image = x = keras.Input((*map(int, rng.integers(13, 34, 2)), 3), name="image")
    if choose([True, False]):
        x = layers.Rescaling(0.5, -0.1)(x)
    x = strided(x, lambda padding, s: layers.Conv2D(12, 3, s, padding=padding, use_bias=False), 2, how)
    x = layers.Activation(choose(ACTIVATIONS))(layers.BatchNormalization()(x))
    for _ in range(rng.integers(2, 4)):
        before, size, strides = x, choose([3, 5]), choose([1, 2])
        x = layers.Conv2D(24, 1, activation=choose(ACTIVATIONS))(x)
        x = strided(x, lambda p, s, size=size: layers.DepthwiseConv2D(size, s, padding=p, use_bias=False), strides, how)
        x = layers.Dropout(0.1)(layers.ReLU(6.0)(layers.BatchNormalization()(x)))
        how_squeezed, activation, is_squeezed = (
            choose(["kept axes", "reshaped", "dense"]),
            choose(ACTIVATIONS),
            rng.random(),
        )
        x = squeezed(x, how_squeezed, activation) if squeezes and is_squeezed < 0.5 else x
        x = layers.Conv2D(12, 1)(x)
        x = layers.Add()([x, before]) if strides == 1 else x * 1.5 + 0.1
    if choose([True, False]):
        y = layers.Conv2D(8, 1, activation="silu")(layers.GlobalAveragePooling2D(keepdims=True)(x))
        y = layers.Flatten()(layers.Conv2D(4, 1)(layers.BatchNormalization()(y)))
    else:
        y = layers.Dense(4)(layers.GlobalAveragePooling2D()(x))
    return with_zeros(keras.Model(image, y), seed)


def images_for(model, count=3):
    """Noise in colors that fade to one corner, so that an image is far from its mirror image."""
    height, width, channels = model.input_shape[1:]
    rng = np.random.default_rng(1)
    fading = np.linspace(0, 1, height)[:, None, None] * np.linspace(0, 1, width)[:, None]
    noise = rng.normal(size=(count, height, width, channels))
    return (3 * rng.normal(size=(count, 1, 1, channels)) * fading + noise).astype("float32")


def check_same_outputs(model, changed, turned=False):
    x = images_for(model)
    expected = model(x, training=False).numpy()
    # Else a test on these images would say little.
    assert np.abs(expected - model(x[:, ::-1, ::-1], training=False)).max() > 1e-3 * np.abs(expected).max()
    outputs = changed(x[:, ::-1, ::-1] if turned else x, training=False)
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def operations(content):
    model = parse(content)
    return [operation_of(model, operator) for operator in model.subgraphs[0].operators]


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("mirrored", [False, True])
def test_zeros_are_called_equal_just_where_that_gives_the_same_numbers(kernel, stride, mirrored):
    def convolved(values, weights, before, after):
        values = np.pad(values, (before, after))
        return [values[i : i + kernel] @ weights for i in range(0, len(values) - kernel + 1, stride)]

    rng = np.random.default_rng(0)
    for size, before, after in np.ndindex(20, 4, 4):
        window = Window(size + kernel, before, after, kernel, stride)
        values, weights = rng.integers(1, 99, window.size), rng.integers(1, 99, kernel)
        expected = convolved(values, weights, before, after)
        if mirrored:
            equal = convolved(values[::-1], weights[::-1], kernel // 2, kernel // 2)[::-1]
        else:
            equal = convolved(values, weights, kernel // 2, kernel // 2)
        assert window.outputs == len(expected)
        assert window.fits(mirrored) == (equal == expected)


@pytest.mark.parametrize("seed", range(10))
def test_outputs_are_the_same(seed):
    model = random_network(seed)
    check_same_outputs(model, export.fast_sparse(model))


@pytest.mark.parametrize("seed", [1, 2])
def test_the_app_may_turn_the_images(seed):
    model = random_network(seed, ("same", "uneven"))
    changed = export.fast_sparse(model, turned_images=True)
    check_same_outputs(model, changed, turned=True)
    assert "Flip" not in {type(layer).__name__ for layer in changed.operations}


@pytest.mark.parametrize("client, seed", [("web", 0), ("web", 3), ("cpu", 4), (("cpu", "web"), 5)])
def test_file_is_one_that_xnnpack_computes_sparsely_and_right(client, seed):
    network = random_network(seed, squeezes=client == "web")
    artifact = export.to_tflite(export.fast_sparse(network), sparse=True, client=client)
    assert artifact.sparse and artifact.relative_error < 1e-5
    assert why_not_by_channels(parse(artifact.content), resizes=client != "web") is None
    assert "PADV2" not in operations(artifact.content)
    is_told = any("WebAssembly alone" in caveat for caveat in artifact.caveats)
    assert is_told == (client != "cpu")


def test_squeeze_and_excite_is_kept_from_it_where_several_examples_may_be_run_at_once():
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(16, 1)(layers.Conv2D(16, 3, 2, padding="same")(image))
    x = layers.GlobalAveragePooling2D()(squeezed(x, "dense", "relu"))
    network = export.fast_sparse(with_zeros(keras.Model(image, layers.Dense(3)(x))))
    artifact = export.to_tflite(network, sparse=True, client="cpu")
    assert artifact.sparse and "PADV2" in operations(artifact.content)
    in_web_pages = export.to_tflite(network, sparse=True, client="web")
    assert "several examples at once" in why_not_by_channels(parse(in_web_pages.content), resizes=True)
    with pytest.raises(export.ConversionError, match="several examples at once"):
        export.to_tflite(network, sparse=True, client=("cpu", "web"))


def test_zeros_are_stored_by_themselves_where_that_is_smaller():
    network = export.fast_sparse(random_network(1))
    larger = [export.to_tflite(network, client=client) for client in ("any", "gpu")]
    assert not any(artifact.sparse for artifact in larger)
    with pytest.raises(ValueError, match=r"client='gpu'.*sparse=True"):
        export.to_tflite(network, sparse=True, client="gpu")
    with pytest.raises(ValueError, match=r"client='web'.*sparse=True"):
        export.to_tflite(network, "float16", sparse=True, client="web")  # wrong without a word on WebGPU


def test_what_does_not_have_the_form_stays_dense_in_web_pages_and_is_told():
    image = keras.Input((16, 16, 3))
    x = layers.MaxPooling2D()(layers.Conv2D(8, 3, 2, padding="same")(image))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(64, 1)(layers.Conv2D(64, 1)(x)))
    model = with_zeros(keras.Model(image, layers.Dense(3)(x)), share=0.95)
    assert export.to_tflite(model, client="cpu").sparse
    assert not export.to_tflite(model, client="web").sparse
    with pytest.raises(export.ConversionError, match=r"client='web', which reads .*3×3 convolution.*`fast_sparse`"):
        export.to_tflite(model, sparse=True, client="web")


def test_models_within_the_model_become_its_layers_and_what_is_frozen_stays_so():
    def block(name, channels):
        inputs = keras.Input((None, None, channels))
        x = layers.Conv2D(8, 1, name="expand")(inputs)
        x = layers.DepthwiseConv2D(3, 2, padding="same", name="filter")(x)
        return keras.Model(inputs, layers.Conv2D(6, 1, name="project")(x), name=name)

    image = keras.Input((24, 20, 3))
    stem = keras.Sequential([keras.Input((24, 20, 3)), layers.Conv2D(4, 3, 2, padding="same")], name="stem")
    x = block("second", 6)(block("first", 4)(stem(image)))
    model = with_zeros(keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x))))
    model.get_layer("first").get_layer("filter").trainable = False
    weights = [weight.copy() for weight in model.get_weights()]
    changed = export.fast_sparse(model)
    check_same_outputs(model, changed)
    assert {"first_filter", "second_filter"} <= {layer.name for layer in changed.layers}
    assert [layer.name for layer in changed.layers if not layer.trainable] == ["first_filter"]
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_network_comes_back_from_a_file(tmp_path):
    model = random_network(2)
    changed = export.fast_sparse(model)
    changed.save(tmp_path / "network.keras")
    check_same_outputs(model, keras.models.load_model(tmp_path / "network.keras"))


def around(inside=lambda x: x, stem=None, head=None, size=(16, 16, 3)):
    """A network that has the form, but for what is put into it."""
    image = keras.Input(size)
    x = (stem or layers.Conv2D(8, 3, 2, padding="same", name="stem"))(image)
    x = inside(layers.Conv2D(8, 1)(x))
    return with_zeros(keras.Model(image, head(x) if head else layers.Dense(3)(layers.GlobalAveragePooling2D()(x))))


def shared(x):
    layer = layers.Conv2D(8, 1, name="odd")
    return layer(layer(x))


REFUSED = {
    "5x5 first": around(stem=layers.Conv2D(8, 5, 2, padding="same", name="odd")),
    "stride 1 first": around(stem=layers.Conv2D(8, 3, padding="same", name="odd")),
    "gray image": around(stem=layers.Conv2D(8, 3, 2, padding="same", name="odd"), size=(16, 16, 1)),
    "open size": around(stem=layers.Conv2D(8, 3, 2, padding="same", name="odd"), size=(None, 16, 3)),
    "no zeros at the edges": around(stem=layers.Conv2D(8, 3, 2, name="odd")),
    "3x3": around(layers.Conv2D(8, 3, padding="same", name="odd")),
    "1x1 of stride 2": around(layers.Conv2D(8, 1, 2, name="odd")),
    "groups": around(layers.Conv2D(8, 1, groups=2, name="odd")),
    "pooling": around(layers.MaxPooling2D(name="odd")),
    "normalization alone": around(lambda x: layers.BatchNormalization(name="odd")(layers.ReLU()(x))),
    "PReLU": around(layers.PReLU(shared_axes=[1, 2], name="odd")),
    "softmax": around(layers.Conv2D(8, 1, activation="softmax", name="odd")),
    "7x7": around(layers.DepthwiseConv2D(7, padding="same", name="odd")),
    "dilated": around(layers.DepthwiseConv2D(3, dilation_rate=2, padding="same", name="odd")),
    "multiplier": around(layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="odd")),
    "valid": around(layers.DepthwiseConv2D(3, name="odd")),
    "concatenation": around(lambda x: layers.Concatenate(name="odd")([x, layers.Conv2D(8, 1)(x)])),
    "subtraction": around(lambda x: layers.Subtract(name="odd")([x, layers.Conv2D(8, 1)(x)])),
    "zeros for a sum": around(lambda x: layers.ReLU()(layers.ZeroPadding2D(name="odd")(x))),
    "twice": around(shared),
    "flattened": around(head=lambda x: layers.Dense(3)(layers.Flatten(name="odd")(x))),
    "map given out": around(head=layers.Conv2D(8, 1, name="odd")),
    "kept axes given out": around(head=layers.GlobalAveragePooling2D(keepdims=True, name="odd")),
    "3x3 on means": around(
        head=lambda x: layers.Flatten()(
            layers.Conv2D(3, 3, padding="same", name="odd")(layers.GlobalAveragePooling2D(keepdims=True)(x))
        )
    ),
    "unlike paddings": around(
        lambda x: layers.DepthwiseConv2D(3, 2, name="odd")(layers.ZeroPadding2D(1)(x)),
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_fit_is_refused_by_the_name_of_the_layer(what):
    with pytest.raises(ValueError, match=r"Expected `keras_model` .* Received: layer 'odd' \(\w+\), wh\w+ [^.]+$"):
        export.fast_sparse(REFUSED[what])


def test_too_few_zeros_no_mean_and_anything_else_are_refused():
    with pytest.raises(ValueError, match=r"more than two thirds of the weights .* Received: 39 zeros of 64 weights"):
        export.fast_sparse(with_zeros(around(), share=0.6))
    with pytest.raises(ValueError, match=r"GlobalAveragePooling2D.* Received: model 'flat'"):
        export.fast_sparse(keras.Sequential([keras.Input((4,)), layers.Dense(3)], name="flat"))
    with pytest.raises(ValueError, match="keras_model"):
        export.fast_sparse(layers.Dense(3))
    with pytest.raises(ValueError, match="turned_images='yes'"):
        export.fast_sparse(around(), turned_images="yes")


def test_command_line_writes_such_a_file_and_says_so(tmp_path):
    # Wide enough that no channel dies, which `compact` would take out with its zeros.
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(32, 1)(layers.Conv2D(32, 3, 2, padding="same")(image))
    x = layers.Conv2D(32, 1)(layers.DepthwiseConv2D(3, 2, padding="same")(x))
    target = keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))
    cvhn_tf.VariationalHypernetwork(target, seed=0).save(tmp_path / "model.keras")
    options = [
        "--complexity",
        "1",
        "--structure",
        "pointwise",
        "--fast-sparse",
        "--client",
        "web",
        "--encoding",
        "float32",
    ]
    options += ["--output", str(tmp_path / "fast.tflite")]
    result = CliRunner().invoke(app, ["export", str(tmp_path / "model.keras"), "--sparsity", "0.8", *options])
    assert result.exit_code == 0, result.output
    assert "0.8 of 1×1 convolutions" in result.output
    assert why_not_by_channels(parse((tmp_path / "fast.tflite").read_bytes()), True) is None
    assert "--fast-sparse" in (tmp_path / "fast.md").read_text()
    result = CliRunner().invoke(app, ["export", str(tmp_path / "model.keras"), "--sparsity", "0.6", *options])
    assert result.exit_code != 0 and "more than two thirds of the weights" in " ".join(result.output.split())
