import keras
import numpy as np
import pytest
from keras import layers

from cvhn_tf import export


def mlp(rng):
    widths = rng.integers(2, 12, rng.integers(1, 4))
    activation = rng.choice(["relu", "tanh", "sigmoid", "gelu"])
    return [keras.Input((7,)), *(layers.Dense(int(w), activation) for w in widths), layers.Dense(3, "softmax")]


def convnet(rng):
    padding = rng.choice(["same", "valid"])
    return [
        keras.Input((10, 9, 2)),
        layers.Conv2D(int(rng.integers(2, 9)), 3, padding=padding, use_bias=False),
        layers.BatchNormalization(scale=bool(rng.integers(2))),
        layers.Activation(rng.choice(["relu", "tanh"])),
        layers.MaxPooling2D() if rng.integers(2) else layers.AveragePooling2D(2, padding="same"),
        layers.Conv2D(int(rng.integers(2, 9)), 2, padding=padding, activation="relu"),
        layers.Dropout(0.5),
        [layers.Flatten, layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D][rng.integers(3)](),
        layers.Dense(int(rng.integers(2, 9)), "relu", use_bias=bool(rng.integers(2))),
        layers.BatchNormalization(),
        layers.Dense(3),
    ]


def randomly_pruned(model, rng, sparsity):
    for layer in model.layers:
        for weight in layer.weights:
            value = rng.normal(size=weight.shape) + (1.5 if "variance" in weight.path else 0)
            if "kernel" in weight.path:
                value *= rng.random(weight.shape) > sparsity
                value *= rng.random(weight.shape[-1]) > 0.3  # units without inputs
                value *= (rng.random(weight.shape[-2]) > 0.3)[:, None]  # units that nothing reads
            weight.assign(np.abs(value) if "variance" in weight.path else value)
    return model


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("make_layers", [mlp, convnet], ids=lambda f: f.__name__)
def test_compact_model_gives_the_same_outputs_as_the_pruned_one(make_layers, seed):
    rng = np.random.default_rng(seed)
    pruned = randomly_pruned(keras.Sequential(make_layers(rng)), rng, rng.choice([0.0, 0.5, 0.9, 0.99]))
    compacted = export.compact(pruned)
    x = rng.normal(size=(20, *pruned.input_shape[1:])).astype("float32")
    np.testing.assert_allclose(compacted(x), pruned(x), atol=1e-5, rtol=1e-5)
    assert compacted.count_params() < pruned.count_params()


def small():
    return keras.Sequential([keras.Input((4,)), layers.Dense(6, "relu"), layers.Dense(5, "tanh"), layers.Dense(2)])


def test_units_that_nothing_reads_go_and_take_others_with_them():
    model = small()
    model.layers[2].kernel.assign(np.zeros((5, 2)))  # nothing reads the second layer, hence nothing the first
    compacted = export.compact(model)
    units = [layer.units for layer in compacted.layers if isinstance(layer, layers.Dense)]
    assert units == [1, 1, 2]
    x = np.ones((3, 4), "float32")
    np.testing.assert_allclose(compacted(x), model(x), atol=1e-6)


def test_constant_of_a_unit_without_inputs_goes_into_the_next_bias():
    model = small()
    kernel = model.layers[0].kernel.numpy()
    kernel[:, 2] = 0
    model.layers[0].set_weights([kernel, np.arange(6.0)])
    compacted = export.compact(model)
    first, second = (layer for layer in compacted.layers if isinstance(layer, layers.Dense) and layer.units != 2)
    assert first.units == 5
    np.testing.assert_allclose(second.bias, 2.0 * model.layers[1].kernel[2], rtol=1e-6)


def without_features(units):
    """A model that does not read 20 of its 64 features, and has a first layer of so many units."""
    model = keras.Sequential([keras.Input((64,)), layers.Dense(units, "relu"), layers.Dense(2)])
    kernel = model.layers[0].kernel.numpy()
    kernel[:40:2] = 0
    model.layers[0].set_weights([kernel, np.zeros(units)])
    return model


def test_unused_input_features_are_selected_away_and_the_interface_stays():
    model = without_features(units=16)
    compacted = export.compact(model)
    assert compacted.input_shape == model.input_shape
    assert [layer.kernel.shape for layer in compacted.layers if isinstance(layer, layers.Dense)][0:1] == [(44, 16)]
    x = np.random.default_rng(0).normal(size=(3, 64)).astype("float32")
    np.testing.assert_allclose(compacted(x), model(x), atol=1e-6)


def test_augmentation_does_not_hide_unread_pixels():
    augmentation = [
        layers.RandomFlip(),
        layers.RandomRotation(0.1),
        layers.RandomTranslation(0.1, 0.1),
        layers.RandomZoom(0.1),
    ]
    augmentation += [layers.RandomBrightness(0.1, (0, 1)), layers.RandomContrast(0.1)]
    rest = [layers.Flatten(), layers.Dense(30, "relu"), layers.Dense(3)]
    model = keras.Sequential([keras.Input((8, 8, 1)), *augmentation, *rest])
    kernel = model.layers[-2].kernel
    kernel.assign(kernel * (np.arange(64) % 4 == 0)[:, None])
    compacted = export.compact(model)
    assert [layer.kernel.shape for layer in compacted.layers if isinstance(layer, layers.Dense)] == [(16, 30), (30, 3)]
    x = np.random.default_rng(0).uniform(size=(5, 8, 8, 1)).astype("float32")
    np.testing.assert_allclose(compacted.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)


@pytest.mark.parametrize("units", [4, 8, 16, 32, 64, 128])
@pytest.mark.parametrize("bits, quantization", [(32, None), (8, "weight_only_int8"), (4, "weight_only_int4")])
def test_input_features_are_selected_away_where_this_makes_the_file_smaller(units, bits, quantization):
    model = without_features(units)
    selected, whole = export.compact(model, weight_bits=1000), export.compact(model, weight_bits=1)
    assert whole is model and selected is not model
    sizes = [
        export.to_tflite(network, quantization, sparse=False, client="cpu").size_bytes for network in (selected, whole)
    ]
    chosen = export.to_tflite(export.compact(model, bits), quantization, sparse=False, client="cpu").size_bytes
    assert chosen <= min(sizes) + 64  # names and padding are not foreseen


@pytest.mark.parametrize("bits", [0, -4, "8", None])
def test_bits_must_be_positive(bits):
    with pytest.raises(ValueError, match=r"`weight_bits`.*Received: weight_bits="):
        export.compact(small(), weight_bits=bits)


def test_same_padding_keeps_a_filter_that_is_constant_but_not_zero():
    model = keras.Sequential([keras.Input((6, 6, 1)), layers.Conv2D(3, 3), layers.Conv2D(2, 3, padding="same")])
    kernel = model.layers[0].kernel.numpy()
    kernel[..., :2] = 0
    model.layers[0].set_weights([kernel, np.array([0.0, 1.0, 1.0])])
    compacted = export.compact(model)
    assert compacted.layers[1].filters == 2  # the filter that is zero everywhere is gone, the constant one is not
    x = np.random.default_rng(0).normal(size=(3, 6, 6, 1)).astype("float32")
    np.testing.assert_allclose(compacted(x), model(x), atol=1e-5)


def sharing():
    inputs = keras.Input((4,))
    shared = layers.Dense(4, kernel_initializer="zeros")
    return keras.Model(inputs, layers.Dense(2)(shared(shared(inputs))))


def softmax_within():
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(4, "softmax", kernel_initializer="identity"), layers.Dense(2)]
    )


@pytest.mark.parametrize("make_model", [sharing, softmax_within], ids=lambda f: f.__name__)
def test_models_whose_units_are_shared_or_mixed_come_back_as_they_are(make_model):
    model = make_model()
    assert export.compact(model) is model


def test_nothing_to_remove_gives_the_model_itself():
    model = small()
    assert export.compact(model) is model


def test_compact_model_can_be_saved_and_loaded(tmp_path):
    rng = np.random.default_rng(0)
    compacted = export.compact(randomly_pruned(keras.Sequential(mlp(rng)), rng, 0.9))
    compacted.save(tmp_path / "compact.keras")
    x = rng.normal(size=(5, 7)).astype("float32")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "compact.keras")(x), compacted(x))


def test_layer_that_selects_features_gets_a_name_that_is_free():
    inputs = keras.Input((600,), name="dense_inputs")
    model = keras.Model(inputs, layers.Dense(3)(layers.Dense(40, "relu", name="dense")(inputs)))
    kernel, *others = model.get_weights()
    kernel[100:] = 0
    model.set_weights([kernel, *others])
    compacted = export.compact(model)
    assert compacted.get_layer("dense").kernel.shape == (100, 40)
