"""Small networks whose files hold what clients differ in, with outputs of size one that depend on the input."""

import keras
import numpy as np

from cvhn_tf import export
from cvhn_tf.export.networks.select_features import SelectFeatures

L = keras.layers
BY_CHANNELS = "sparse_by_channels"


def networks() -> dict:
    """Name -> Keras model. Those that begin with `sparse` have the zeros for TFLite's sparse encoding.

    Of the sparse ones, one comes with a batch of one, too: LiteRT.js takes no other. `BY_CHANNELS` has the form of
    `fast_sparse`.
    """
    keras.utils.set_random_seed(0)
    narrow = _trained(_lenet(4, 16))
    polyphase = export.polyphase(narrow)
    assert polyphase is not narrow
    compacted = export.compact(_masked(_trained(_mlp()), {0: (np.arange(64) % 2)[:, None]}))
    assert any(isinstance(layer, SelectFeatures) for layer in compacted.layers)
    sparse = _sparse_convolutions()
    return {
        "lenet": _trained(_lenet(6, 16)),
        "mlp": _trained(_mlp()),
        "separable": _trained(_separable()),
        "residual": _trained(_residual()),
        "polyphase": polyphase,
        "compacted": compacted,
        "sparse_convolutions": sparse,
        "sparse_convolutions_of_one": _of_one_example(sparse),
        "sparse_blocks": _sparse_blocks(),
        BY_CHANNELS: export.fast_sparse(_sparse_separable()),
    }


def examples(model, count, seed=0):
    """Images or vectors of ten kinds, and their labels: a smooth pattern for each kind, and noise.

    They are what an image of bytes holds, less 128 and divided by 50, since MediaPipe takes no other.
    """
    shape = model.input_shape[1:]
    patterns = np.random.default_rng(0).normal(size=(10, *shape))
    for axis in range(1, len(shape)):
        patterns += np.roll(patterns, 1, axis) + np.roll(patterns, 2, axis)
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(count) % 10)
    x = patterns[labels] / patterns.std() + 0.5 * random.normal(size=(count, *shape))
    return (np.clip(np.round(50 * x), -128, 127) / 50).astype("float32"), labels


def _trained(model):
    x, labels = examples(model, 1000, seed=1)
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, labels, batch_size=50, epochs=3, verbose=0)
    return model


def _masked(model, masks):
    for place, mask in masks.items():
        kernel = model.layers[place].kernel
        kernel.assign(kernel * mask)
    return model


def _lenet(first, second):
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            L.Conv2D(first, 5, activation="relu"),
            L.MaxPooling2D(),
            L.Conv2D(second, 5, activation="relu"),
            L.MaxPooling2D(),
            L.Flatten(),
            L.Dense(120, "relu"),
            L.Dense(84, "relu"),
            L.Dense(10),
        ]
    )


def _mlp():
    return keras.Sequential([keras.Input((64,)), L.Dense(300, "relu"), L.Dense(100, "relu"), L.Dense(10)])


def _separable():
    inputs = x = keras.Input((32, 32, 3))
    x = L.Conv2D(32, 3, 2, padding="same", use_bias=False)(x)
    x = L.ReLU()(L.BatchNormalization(momentum=0.8)(x))
    for filters in (64, 96):
        x = L.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
        x = L.ReLU(6.0)(L.BatchNormalization(momentum=0.8)(x))
        x = L.Conv2D(filters, 1, use_bias=False)(x)
        x = L.ReLU()(L.BatchNormalization(momentum=0.8)(x))
    return keras.Model(inputs, L.Dense(10)(L.GlobalAveragePooling2D()(x)))


def _residual():
    inputs = keras.Input((32, 32, 3))
    x = L.Conv2D(32, 3, padding="same", activation="relu")(inputs)
    y = L.BatchNormalization(momentum=0.8)(L.Conv2D(32, 3, padding="same", activation="relu")(x))
    x = L.ReLU()(L.Add()([x, L.Conv2D(32, 3, padding="same")(y)]))
    x = L.ReLU()(L.Add()([L.Conv2D(32, 1, 2)(x), L.Conv2D(32, 3, 2, padding="same")(x)]))
    x = L.AveragePooling2D(2)(x)
    return keras.Model(inputs, L.Dense(10)(L.Flatten()(x)))


def _sparse_convolutions():
    """What XNNPACK computes by channels on ARM and in WebAssembly, and a 3×3 convolution, which reads no such maps."""
    inputs = keras.Input((32, 32, 3))
    x = L.Conv2D(16, 3, 2, activation="relu")(L.ZeroPadding2D(1)(inputs))
    x = L.Conv2D(64, 1, activation="relu")(x)
    x = L.Conv2D(32, 3, padding="same", activation="relu")(x)
    x = L.Conv2D(64, 1, activation="relu")(x)
    model = keras.Model(inputs, L.Dense(10)(L.GlobalAveragePooling2D()(x)))
    return _trained_sparse(model, {3: _tenth((1, 1, 16, 64)), 5: _tenth((1, 1, 32, 64))})


def _sparse_separable():
    inputs = keras.Input((32, 32, 3))
    x = L.Conv2D(16, 3, 2, padding="same", activation="relu")(inputs)
    for filters, strides in ((64, 1), (96, 2)):
        x = L.DepthwiseConv2D(3, strides, padding="same", activation="relu")(x)
        x = L.Conv2D(filters, 1, activation="relu")(x)
    model = keras.Model(inputs, L.Dense(10)(L.GlobalAveragePooling2D()(x)))
    return _trained_sparse(model, {3: _tenth((1, 1, 16, 64)), 5: _tenth((1, 1, 64, 96))})


def _sparse_blocks():
    """Four inputs of a unit are one block."""
    return _trained_sparse(_mlp(), {0: np.repeat(_tenth((16, 300)), 4, 0), 1: np.repeat(_tenth((75, 100)), 4, 0)})


def _tenth(shape):
    return np.random.default_rng(0).random(shape) < 0.1


def _trained_sparse(model, masks):
    for _ in range(3):
        _masked(_trained(model), masks)
    return model


def _of_one_example(model):
    copy = keras.models.clone_model(model, input_tensors=keras.Input(model.input_shape[1:], batch_size=1))
    copy.set_weights(model.get_weights())
    return copy
