"""Small random networks of every kind of layer that `compact` knows, and some that it does not.

Hypothesis draws them, for `fuzz_exports.py` and for the tests of `compact`.
"""

import hypothesis.strategies as st
import keras
import numpy as np
from keras import layers


def prune_at_random(model, rng, dead=0.3, sparsity=0.0):
    """Random weights, with single weights, whole units and whole inputs set to zero."""
    for layer in model.layers:
        for weight in layer.weights:
            value = rng.normal(size=weight.shape)
            if "variance" in weight.path:
                value = rng.uniform(0.5, 2.0, weight.shape)
            elif "gamma" in weight.path:
                value = rng.uniform(0.5, 1.5, weight.shape)
            elif len(weight.shape) > 1:
                value *= np.sqrt(2 / np.prod(weight.shape[:-1]))
                value *= rng.random(weight.shape) >= sparsity
                value *= rng.random(weight.shape[-1]) >= dead  # units without inputs
                value *= (rng.random(weight.shape[-2]) >= dead)[:, None]  # units that nothing reads
            weight.assign(value)
    return model


activations = st.sampled_from(["relu", "relu6", "linear", "tanh", "sigmoid", "linear", "relu", "softmax"])
paddings = st.sampled_from(["same", "valid"])


def block_behind(x, draw, blocks):
    """One layer, or one block of them of one of these kinds, behind the image x; `draw` draws from a strategy."""
    channels = x.shape[-1]
    kind = draw(st.sampled_from(blocks))
    bias = draw(st.booleans())
    size = draw(st.sampled_from([1, 2, 3]))
    padding = draw(paddings) if min(x.shape[1:3]) >= 3 else "same"
    if kind == "convolution":
        filters = draw(st.integers(1, 6))
        return layers.Conv2D(filters, size, padding=padding, use_bias=bias, activation=draw(activations))(x)
    if kind == "normalized_convolution":
        x = layers.Conv2D(draw(st.integers(1, 6)), size, padding=padding, use_bias=False)(x)
        return layers.ReLU(6.0)(layers.BatchNormalization()(x))
    if kind == "depthwise":
        multiplier = draw(st.integers(1, 2))
        options = {"padding": padding, "use_bias": bias, "depth_multiplier": multiplier}
        return layers.DepthwiseConv2D(size, activation=draw(activations), **options)(x)
    if kind == "separable":
        options = {"padding": padding, "use_bias": bias, "depth_multiplier": draw(st.integers(1, 2))}
        return layers.SeparableConv2D(draw(st.integers(1, 6)), size, activation=draw(activations), **options)(x)
    if kind == "normalization":
        return layers.BatchNormalization(scale=draw(st.booleans()), center=draw(st.booleans()))(x)
    if kind == "activation":
        make = draw(st.sampled_from(_ACTIVATIONS))
        return make()(x)
    if kind == "pooling":
        make = draw(st.sampled_from([layers.MaxPooling2D, layers.AveragePooling2D]))
        return make(2, strides=1, padding="same")(x)
    if kind == "border":
        return layers.ZeroPadding2D(1)(x) if x.shape[1] < 8 else layers.Cropping2D(1)(x)
    if kind == "residual":
        y = layers.Conv2D(draw(st.integers(1, 6)), 1, use_bias=bias)(x)
        y = layers.Conv2D(channels, size, padding="same", use_bias=bias)(layers.ReLU()(y))
        merge = draw(st.sampled_from([layers.Add, layers.Subtract, layers.Average, layers.Maximum, layers.Multiply]))
        return merge()([x, layers.BatchNormalization()(y) if draw(st.booleans()) else y])
    if kind == "squeeze_and_excite":
        y = layers.GlobalAveragePooling2D(keepdims=draw(st.booleans()))(x)
        y = y if len(y.shape) == 4 else layers.Reshape((1, 1, channels))(y)
        y = layers.Conv2D(draw(st.integers(1, 4)), 1, activation="relu")(y)
        return layers.Multiply()([x, layers.Conv2D(channels, 1, activation="sigmoid")(y)])
    if kind == "operations":
        y = layers.Conv2D(channels, size, padding="same", use_bias=bias)(x)
        y = draw(st.sampled_from([keras.ops.relu, keras.ops.hard_sigmoid, keras.ops.silu]))(y + 0.5) * 2.0
        return draw(st.sampled_from([keras.ops.add, keras.ops.multiply, keras.ops.maximum, keras.ops.subtract]))(y, x)
    if kind == "one_for_all":
        return layers.Multiply()([x, layers.Conv2D(1, 3, padding="same")(x)])
    if kind == "shared":
        shared = layers.Conv2D(channels, 3, padding="same")
        return shared(shared(x))
    if kind == "nested":
        inside = keras.Input(x.shape[1:])
        y = layers.Conv2D(3, 1, activation="relu")(layers.Conv2D(4, 1)(inside))
        return keras.Model(inside, y)(x)
    if kind == "attention":
        y = layers.Reshape((-1, channels))(x)
        options = {"value_dim": draw(st.integers(1, 2)), "use_bias": bias, "use_gate": draw(st.booleans())}
        y = layers.MultiHeadAttention(draw(st.integers(1, 4)), 2, **options)(y, y)
        return layers.Reshape(x.shape[1:])(y)
    if kind == "unknown":
        return layers.LayerNormalization()(x)
    return layers.Concatenate()([x, layers.Conv2D(draw(st.integers(1, 4)), 3, padding="same", use_bias=bias)(x)])


BLOCKS = (
    "convolution",
    "normalized_convolution",
    "normalized_convolution",
    "depthwise",
    "separable",
    "normalization",
    "activation",
    "pooling",
    "border",
    "residual",
    "residual",
    "concatenation",
    "squeeze_and_excite",
    "operations",
    "one_for_all",
    "shared",
    "nested",
    "attention",
    "unknown",
)
# Next to the others `compact` keeps channels.
KNOWN_BLOCKS = tuple(kind for kind in BLOCKS if kind not in ("one_for_all", "shared", "nested", "attention", "unknown"))
_ACTIVATIONS = [
    layers.ReLU,
    lambda: layers.ReLU(6.0),
    lambda: layers.Activation("tanh"),
    lambda: layers.Activation("softmax"),
    lambda: layers.LeakyReLU(0.1),
    lambda: layers.Dropout(0.5),
    lambda: layers.Rescaling(0.5, offset=-1.0),
]


def network(draw, blocks=BLOCKS):
    """Blocks behind an image of 6×5 pixels, pooled or flattened, and Dense layers: one output or two."""
    inputs = x = keras.Input((6, 5, draw(st.integers(1, 3))))
    for _ in range(draw(st.integers(1, 6))):
        x = block_behind(x, draw, blocks)
    make = draw(st.sampled_from(["flatten", "reshape", "average", "maximum"]))
    if make == "flatten":
        x = layers.Flatten()(x)
    elif make == "reshape":
        x = layers.Flatten()(layers.Reshape((-1, x.shape[-1]))(x))
    else:
        x = (layers.GlobalAveragePooling2D() if make == "average" else layers.GlobalMaxPooling2D())(x)
    for _ in range(draw(st.integers(0, 2))):
        x = layers.Dense(draw(st.integers(1, 6)), draw(activations), use_bias=draw(st.booleans()))(x)
        x = layers.BatchNormalization()(x) if draw(st.booleans()) else x
    outputs = layers.Dense(3)(x)
    return keras.Model(inputs, [outputs, x] if draw(st.integers(0, 4)) == 0 else outputs)
