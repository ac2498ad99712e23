"""Small random networks of many families: images, series, tokens, recurrent ones, attention, several inputs.

Wider than `random_networks.py`, which draws what `compact` knows: these hold what converters and clients may not. Each
is made by its number, for `fuzz_clients.py`.
"""

import keras
import numpy as np
from keras import layers

_ACTIVATIONS = (
    *("relu", "relu6", "gelu", "swish", "hard_swish", "elu", "selu", "tanh", "sigmoid", "softplus", "hard_sigmoid"),
    *("mish", "softsign", "leaky", "prelu", None),
)


class _Draws(np.random.Generator):
    """Random numbers of a network, and by how much its images, series and vectors are wider than narrow ones."""

    width = 1


def architecture(number: int, width: int = 1) -> tuple[keras.Model, str]:
    """The network of a number, and the name of its family; one in three is pruned to a tenth of its weights.

    Narrow ones have kernels of fewer than 1,024 numbers, which files in `dynamic_range` hold in floats.
    """
    keras.utils.clear_session()
    keras.utils.set_random_seed(number)
    rng = _Draws(np.random.PCG64([number, 1]))
    rng.width = width
    family = _FAMILIES[number % len(_FAMILIES)]
    model = family(rng)
    if rng.random() < 1 / 3:
        for weight in model.trainable_weights:
            if len(weight.shape) > 1 and weight.shape[-1] > 1:
                weight.assign(np.where(rng.random(weight.shape) < 0.9, 0, weight))
    return model, family.__name__.strip("_")


def inputs_for(model: keras.Model, examples: int, seed: int) -> list[np.ndarray]:
    """List of random arrays, one for each input: normal numbers, or places in the model's tables."""
    rng = np.random.default_rng(seed)
    tables = [layer.input_dim for layer in model._flatten_layers() if isinstance(layer, layers.Embedding)]
    arrays = []
    for tensor in model.inputs:
        shape = examples, *tensor.shape[1:]
        if keras.backend.is_float_dtype(tensor.dtype):
            arrays.append(rng.normal(size=shape).astype(tensor.dtype))
        else:
            arrays.append(rng.integers(0, min(tables), shape).astype(tensor.dtype))
    return arrays


def _activated(x, rng):
    name = rng.choice(np.array(_ACTIVATIONS, object))
    if name == "leaky":
        return layers.LeakyReLU(negative_slope=0.2)(x)
    if name == "prelu":
        axes = list(range(1, len(x.shape) - 1)) or None
        return layers.PReLU(alpha_initializer="uniform", shared_axes=axes)(x)
    return x if name is None else layers.Activation(name)(x)


def _normalized(x, rng):
    kind = rng.integers(5)
    if kind == 0:
        return layers.BatchNormalization(beta_initializer="normal", moving_mean_initializer="normal")(x)
    if kind == 1:
        return layers.LayerNormalization()(x)
    if kind == 2 and x.shape[-1] % 4 == 0:
        return layers.GroupNormalization(4)(x)
    return x


def _behind_image(x, rng):
    """One layer, or one block of them, behind the image x."""
    is_small = min(x.shape[1:3]) < 4
    padding = "same" if is_small else str(rng.choice(["same", "valid"]))
    filters, strides, multiplier = (int(rng.choice(options)) for options in ((4, 6, 8, 12, 16), (1, 2), (1, 2)))
    filters, channels = rng.width * filters, x.shape[-1]
    blocks = {
        "convolution": lambda: layers.Conv2D(
            filters, int(rng.choice([1, 3])), strides, padding, use_bias=bool(rng.random() < 0.8)
        )(x),
        "depthwise": lambda: layers.DepthwiseConv2D(3, padding=padding, depth_multiplier=multiplier)(x),
        "separable": lambda: layers.SeparableConv2D(filters, 3, padding=padding)(x),
        "transposed": lambda: layers.Conv2DTranspose(filters, 3, strides, padding)(x),
        "maximum": lambda: layers.MaxPooling2D(2, padding="same")(x),
        "average": lambda: layers.AveragePooling2D(2, padding="same")(x),
        "nearest": lambda: layers.UpSampling2D(2)(x) if x.shape[1] <= 16 else x,
        "bilinear": lambda: layers.UpSampling2D(2, interpolation="bilinear")(x) if x.shape[1] <= 16 else x,
        "border": lambda: layers.ZeroPadding2D(((1, 0), (2, 1)))(x),
        "cropped": lambda: x if is_small else layers.Cropping2D(((1, 0), (0, 1)))(x),
        "residual": lambda: _merge(rng)([x, layers.Conv2D(channels, 3, padding="same")(x)]),
        "concatenation": lambda: layers.Concatenate()([x, layers.Conv2D(4, 1)(x)]),
        "excitation": lambda: layers.Multiply()(
            [x, layers.Conv2D(channels, 1, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))]
        ),
        "transposition": lambda: layers.Permute((2, 1, 3))(x),
        "dilated": lambda: layers.Conv2D(filters, 3, padding="same", dilation_rate=2)(x),
        "grouped": lambda: layers.Conv2D(2 * channels, 3, padding="same", groups=channels)(x),
    }
    return blocks[str(rng.choice([*blocks, "convolution", "convolution"]))]()


def _behind_series(x, rng):
    """One layer behind the series x."""
    steps = x.shape[1]
    filters = rng.width * int(rng.choice([4, 6, 8, 12, 16]))
    padding = str(rng.choice(["same", "causal", "valid"])) if steps > 3 else "same"
    blocks = {
        "convolution": lambda: layers.Conv1D(filters, 3, int(rng.choice([1, 2])), padding)(x),
        "separable": lambda: layers.SeparableConv1D(filters, 3, padding="same")(x),
        "depthwise": lambda: layers.DepthwiseConv1D(3, padding="same")(x),
        "transposed": lambda: layers.Conv1DTranspose(filters, 3, 2, "same")(x) if steps < 30 else x,
        "maximum": lambda: layers.MaxPooling1D(2, padding="same")(x),
        "average": lambda: layers.AveragePooling1D(2, padding="same")(x),
        "longer": lambda: layers.UpSampling1D(2)(x) if steps < 30 else x,
        "border": lambda: layers.ZeroPadding1D(1)(x),
        "each_step": lambda: layers.TimeDistributed(layers.Dense(filters, "relu"))(x),
        "dilated": lambda: layers.Add()([x, layers.Conv1D(x.shape[-1], 3, padding="same", dilation_rate=2)(x)]),
        "concatenation": lambda: layers.Concatenate()([x, layers.Dense(8)(x)]),
    }
    return blocks[str(rng.choice([*blocks, "convolution"]))]()


def _merge(rng):
    kinds = [layers.Add, layers.Multiply, layers.Subtract, layers.Maximum, layers.Average]
    return kinds[rng.integers(len(kinds))]()


def _classified(x, rng):
    if len(x.shape) == 4:
        x = [layers.Flatten, layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D][rng.integers(3)]()(x)
    elif len(x.shape) == 3:
        x = [layers.Flatten, layers.GlobalAveragePooling1D, layers.GlobalMaxPooling1D][rng.integers(3)]()(x)
    if rng.random() < 0.6:
        x = _activated(layers.Dense(rng.width * int(rng.choice([16, 40, 64])), bias_initializer="normal")(x), rng)
    return layers.Dense(5, [None, "softmax", "sigmoid"][rng.integers(3)])(x)


def _image(rng):
    shapes = [(12, 12, 3), (16, 16, 1), (9, 11, 4), (8, 8, 8)]
    inputs = x = keras.Input(shapes[rng.integers(4)], name="images")
    if rng.random() < 0.2:
        x = layers.Rescaling(0.5, offset=-0.1)(x)
    for _ in range(rng.integers(2, 6)):
        x = _activated(_normalized(_behind_image(x, rng), rng), rng)
    return keras.Model(inputs, _classified(x, rng))


def _series(rng):
    inputs = x = keras.Input((int(rng.choice([7, 12, 20])), int(rng.choice([3, 8, 16]))), name="series")
    for _ in range(rng.integers(2, 5)):
        x = _activated(_normalized(_behind_series(x, rng), rng), rng)
    return keras.Model(inputs, _classified(x, rng))


def _dense(rng):
    inputs = x = keras.Input((int(rng.choice([5, 16, 32])),))
    for _ in range(rng.integers(1, 4)):
        x = layers.Dense(rng.width * int(rng.choice([8, 24, 48])), use_bias=bool(rng.random() < 0.8))(x)
        x = _activated(_normalized(x, rng), rng)
    if rng.random() < 0.5:
        x = layers.Permute((2, 1))(layers.Dense(6)(layers.Reshape((x.shape[-1] // 8, 8))(x)))
        x = layers.Flatten()(x)
    return keras.Model(inputs, _classified(x, rng))


def _tokens(rng):
    inputs = keras.Input((int(rng.choice([6, 10])),), dtype="int32", name="tokens")
    x = layers.Embedding(int(rng.choice([20, 200])), int(rng.choice([8, 16])))(inputs)
    for _ in range(rng.integers(0, 3)):
        x = _activated(_behind_series(x, rng), rng)
    if rng.random() < 0.3:
        x = layers.LSTM(8, unroll=bool(rng.random() < 0.5))(x)
    return keras.Model(inputs, _classified(x, rng))


def _recurrent(rng):
    inputs = x = keras.Input((6, 5))
    layer, options = [layers.LSTM, layers.GRU, layers.SimpleRNN][rng.integers(3)], {"unroll": bool(rng.random() < 0.6)}
    kind = rng.integers(3)
    if kind == 0:
        x = layers.Bidirectional(layer(6, **options))(x)
    elif kind == 1:
        x = layer(6, **options)(layer(7, return_sequences=True, **options)(x))
    else:
        x = layers.TimeDistributed(layers.Dense(6))(layer(8, return_sequences=True, **options)(x))
    return keras.Model(inputs, _classified(x, rng))


def _attention(rng):
    inputs = x = keras.Input((6, 8))
    kind = rng.integers(3)
    if kind == 0:
        x = layers.MultiHeadAttention(2, 4)(x, x)
    elif kind == 1:
        x = layers.Attention()([x, layers.Dense(8)(x)])
    else:
        x = layers.GroupQueryAttention(4, 4, 2)(x, x)
    x = layers.LayerNormalization()(layers.Add()([x, inputs]))
    x = layers.Add()([x, layers.Dense(8)(_activated(layers.Dense(24)(x), rng))])
    return keras.Model(inputs, _classified(x, rng))


def _several(rng):
    """Several inputs, or several outputs, in lists and dicts."""
    kind = rng.integers(4)
    if kind == 0:
        photo, facts = keras.Input((8, 8, 3), name="photo"), keras.Input((6,), name="facts")
        x = layers.GlobalAveragePooling2D()(_activated(layers.Conv2D(8, 3)(photo), rng))
        x = layers.Concatenate()([x, _activated(layers.Dense(12)(facts), rng)])
        return keras.Model([photo, facts], layers.Dense(4)(x))
    if kind == 1:
        photo = keras.Input((8, 8, 3), name="photo")
        x = _activated(layers.Conv2D(8, 3)(photo), rng)
        side = layers.Dense(2, "softmax", name="side")(layers.GlobalMaxPooling2D()(x))
        return keras.Model(photo, [layers.Dense(3, name="kind")(layers.Flatten()(x)), side])
    if kind == 2:
        inputs = keras.Input((16,))
        x = _activated(layers.Dense(40)(inputs), rng)
        return keras.Model(inputs, {"zeta": layers.Dense(3)(x), "alpha": layers.Dense(7, "softmax")(x)})
    words, numbers = keras.Input((6,), dtype="int32", name="words"), keras.Input((5,), name="numbers")
    x = layers.Flatten()(layers.Embedding(30, 6)(words))
    x = layers.Concatenate()([x, layers.Dense(8)(numbers)])
    return keras.Model({"words": words, "numbers": numbers}, {"score": layers.Dense(1, "sigmoid")(x)})


_FAMILIES = [_image, _series, _image, _dense, _image, _tokens, _image, _several, _recurrent, _image, _attention, _image]
