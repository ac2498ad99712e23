"""Random small targets: layers with weights in every way of putting them together, and the data to train them."""

import dataclasses
from typing import Any

import hypothesis.strategies as st
import keras
import numpy as np
from keras import layers

from benchmarks.robustness.differential import own_layers
from benchmarks.robustness.differential.blocks import OF_RANK

EXAMPLES = 7  # no multiple of a batch
_KINDS = {"vector": (5,), "sequence": (4, 3), "tokens": (4,), "image": (4, 4, 2), "volume": (3, 3, 3, 2)}
_NAMES = ["a", "b", "complexity", "nll", "kl_bits", "seed", "Upper.dotted-name"]
_CLASSIFIER = "sparse_categorical_crossentropy"


@dataclasses.dataclass
class Drawn:
    """A target, and the arguments with which it is trained.

    Args:
        target: Built Keras model.
        x, y: Arrays in the structures of its inputs and outputs.
        losses, metrics: In the structure of its outputs; metrics may be None.
        fit: Further arguments of `fit`.
        policy: Name of the dtype policy, that of the process too until `end_policy` is called.
    """

    target: keras.Model
    x: Any
    y: Any
    losses: Any
    metrics: Any
    fit: dict
    policy: str


def end_policy():
    """Ends the dtype policy of a target that was drawn."""
    keras.config.set_dtype_policy("float32")


def draw_target(draw) -> Drawn:
    """A target and its data, by a function that draws from strategies."""
    keras.utils.clear_session(free_memory=False)  # for the names; a collection of all garbage takes longer than a step
    policy = draw(st.sampled_from(["float32"] * 6 + ["mixed_bfloat16", "mixed_float16", "float64"]))
    keras.config.set_dtype_policy(policy)
    names = _Names(draw)
    kinds = draw(st.lists(st.sampled_from(list(_KINDS)), min_size=1, max_size=draw(st.sampled_from([1, 1, 2, 3]))))
    inputs, tensors = zip(*[branch(kind, names.next(), draw) for kind in kinds], strict=True)
    heads = []
    if draw(st.integers(0, 3)) == 0:  # one that has kept its axes, and its mask
        heads.append((layers.Dense(2, name=names.next(), dtype="float32")(tensors[0]), "mse"))
    x = _merge([to_vector(tensor, draw) for tensor in tensors], draw)
    for _ in range(draw(st.integers(0, 2))):
        x = put(OF_RANK[2](draw, x.shape[-1]), x, draw)
    if draw(st.booleans()):
        heads.append((layers.Dense(3, "softmax", name=names.next(), dtype="float32")(x), _CLASSIFIER))
    else:
        heads.append((layers.Dense(1, name=names.next(), dtype="float32")(x), draw(st.sampled_from(["mse", "mae"]))))
    outputs, losses = zip(*heads, strict=True)
    pack_inputs = _structure([tensor.name for tensor in inputs], draw)
    pack_outputs = _structure([f"out_{i}" for i in range(len(outputs))], draw)
    target = keras.Model(pack_inputs(inputs), pack_outputs(outputs))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    for weight in target.trainable_weights:  # biases and slopes begin with zeros
        weight.assign_add(0.1 * rng.normal(size=weight.shape))
    _freeze(target, draw)
    x = pack_inputs([_example(tensor, rng) for tensor in inputs])
    shapes = [array.shape for array in keras.tree.flatten(target(x))]
    y = pack_outputs([_labels(shape, loss, rng) for shape, loss in zip(shapes, losses, strict=True)])
    exact = "mixed" not in policy  # else classes may change places
    metrics = pack_outputs([["accuracy"] * exact if loss == _CLASSIFIER else ["mae", "mse"] for loss in losses])
    fit = {}
    if draw(st.integers(0, 3)) == 0 and len(outputs) == 1:
        fit["sample_weight"] = rng.uniform(0.5, 2.0, EXAMPLES).astype("float32")
    return Drawn(target, x, y, pack_outputs(losses), metrics if draw(st.booleans()) else None, fit, policy)


class _Names:
    """Names that occur once in a model, or None where Keras shall choose."""

    def __init__(self, draw):
        self._draw, self._left = draw, list(_NAMES)

    def next(self):
        if self._draw(st.integers(0, 2)) or not self._left:
            return None
        return self._left.pop(self._draw(st.integers(0, len(self._left) - 1)))


def _structure(keys, draw):
    """A function that makes one value, a list or a dict of several."""
    kind = draw(st.sampled_from(["list", "dict"] if len(keys) > 1 else ["one", "one", "list", "dict"]))
    if kind == "one":
        return lambda values: values[0]
    return list if kind == "list" else lambda values: dict(zip(keys, values, strict=True))


def branch(kind, name, draw):
    """An input, and the tensor that comes out of a few layers behind it."""
    inputs = x = keras.Input(_KINDS[kind], name=name, dtype="int32" if kind == "tokens" else "float32")
    if kind == "tokens":
        make = draw(st.sampled_from([layers.Embedding, layers.Embedding, layers.ReversibleEmbedding]))
        x = make(6, 3, mask_zero=draw(st.booleans()))(x)
    elif kind == "sequence" and draw(st.booleans()):
        x = layers.Masking()(x)
    for _ in range(draw(st.integers(1, 2))):
        x = put(OF_RANK[len(x.shape)](draw, x.shape[-1]), x, draw)
    return inputs, x


def call(layer, x, draw):
    """Calls a layer as its kind is called."""
    if isinstance(layer, layers.MultiHeadAttention):
        options = {"use_causal_mask": True} if draw(st.booleans()) else {}
        return layer(x, value=x, **options) if draw(st.booleans()) else layer(x, x, **options)
    if isinstance(layer, layers.GroupQueryAttention):
        return layer(x, x)
    if isinstance(layer, layers.Attention | layers.AdditiveAttention):
        return layer([x, x])
    return layer(x)


def put(layer, x, draw):
    """A layer behind x: as it is, called twice, beside x, or within models."""
    way = draw(st.sampled_from(["plain"] * 4 + ["twice", "residual", "functional", "sequential", "structured"]))
    if way in ("plain", "twice", "residual"):
        y = call(layer, x, draw)
        if y.shape != x.shape or way == "plain":
            return y
        return call(layer, y, draw) if way == "twice" else layers.Add()([x, y])
    inside = keras.Input(x.shape[1:])
    model = keras.Model(inside, call(layer, inside, draw))
    if way == "sequential":
        model = keras.Sequential([keras.Input(x.shape[1:]), model, layers.Activation("linear")])
    elif way == "structured":
        outer = keras.Input(x.shape[1:])
        return keras.Model({"x": outer}, [model(outer), outer])({"x": x})[0]
    y = model(x)
    return model(y) if y.shape == x.shape and draw(st.booleans()) else y


def to_vector(x, draw):
    """A vector for each example."""
    if len(x.shape) == 2:
        return x
    ways = {
        3: [lambda: layers.GRU(2), lambda: layers.Bidirectional(layers.LSTM(2)), layers.GlobalAveragePooling1D],
        4: [layers.GlobalAveragePooling2D, layers.Flatten],
        5: [layers.GlobalAveragePooling3D, layers.Flatten],
    }
    return draw(st.sampled_from(ways[len(x.shape)]))()(x)


def _merge(vectors, draw):
    if len(vectors) == 1:
        return vectors[0]
    if draw(st.booleans()):
        vectors = [*vectors, own_layers.TwoInputs()(right=vectors[1], left=vectors[0], scale=0.5)]
    return layers.Concatenate()(vectors)


def _freeze(target, draw):
    """Freezes a layer anywhere in the target, or a single weight; the last layer is always left."""
    if draw(st.integers(0, 2)):
        return
    last = target.layers[-1]
    parts = [layer for layer in target._flatten_layers(include_self=False) if layer.weights and layer is not last]
    weights = [weight for weight in target.trainable_weights if not any(weight is kept for kept in last.weights)]
    if parts and draw(st.booleans()):
        parts[draw(st.integers(0, len(parts) - 1))].trainable = False
    elif weights:
        weights[draw(st.integers(0, len(weights) - 1))].trainable = False


def _example(tensor, rng):
    shape = (EXAMPLES, *tensor.shape[1:])
    if tensor.dtype == "int32":
        return rng.integers(0, 6, shape)
    x = rng.normal(size=shape).astype("float32")
    if len(shape) == 3:
        x[: EXAMPLES // 2, shape[1] // 2 :] = 0.0  # as padding
    return x


def _labels(shape, loss, rng):
    if loss == _CLASSIFIER:
        return rng.integers(0, 3, EXAMPLES)
    return rng.normal(size=shape).astype("float32")
