"""Convolutional graphs with sparse 1×1 kernels, such as XNNPACK computes by channels on ARM and in WebAssembly.

LiteRT.js 2.5.3 in Node computed those in `WRONG` wrongly without a word, by 7 to 100% of the largest output, before
`export/conversion/sparse_parts.py` kept them from it, and the others right; all 30 are right since. `python -m
benchmarks.robustness.sparse_graphs FOLDER` writes all of them sparse, with an input and Keras's outputs, for a run.
"""

import argparse
import pathlib

import keras
import numpy as np
from keras import layers

from cvhn_tf import export

_SPARSITY = 0.9


def _relu6(x):
    return layers.ReLU(6.0)(x)


def _stem(x, pad=1, strides=2, size=3, **options):
    """The beginning of a part by channels, as it stands: equal padding, stride 2, 3×3, three channels."""
    if isinstance(pad, str):
        return _relu6(layers.Conv2D(16, size, strides, padding=pad, **options)(x))
    return _relu6(layers.Conv2D(16, size, strides, **options)(layers.ZeroPadding2D(pad)(x)))


def _depthwise(x, size=3, strides=1, pad=None, **options):
    if pad is None:
        return _relu6(layers.DepthwiseConv2D(size, strides, padding="same", **options)(x))
    return _relu6(layers.DepthwiseConv2D(size, strides, **options)(layers.ZeroPadding2D(pad)(x)))


def _pointwise(x, filters=64, activation=_relu6, **options):
    return activation(layers.Conv2D(filters, 1, **options)(x))


def _head(x, classes=10):
    return layers.Dense(classes)(layers.GlobalAveragePooling2D()(x))


def _around(inside=lambda x: x, **stem):
    """A network with something inside its part by channels."""
    return lambda x: _head(_pointwise(inside(_pointwise(_depthwise(_stem(x, **stem))))))


def _squeeze_and_excite(x):
    y = _pointwise(layers.GlobalAveragePooling2D(keepdims=True)(x), 16, layers.ReLU())
    return layers.Multiply()([x, _pointwise(y, 64, layers.Activation("sigmoid"))])


def _features(x):
    return _pointwise(_pointwise(_depthwise(_stem(x))))


def _map_as_second_output(x):
    features = _pointwise(_depthwise(_stem(x)))
    return [_head(_pointwise(features)), features]


def _kept_axes(x):
    pooled = layers.GlobalAveragePooling2D(keepdims=True)(_features(x))
    return layers.Flatten()(layers.Conv2D(10, 1)(pooled))


WRONG = {
    "3x3 convolution": _around(lambda x: _relu6(layers.Conv2D(64, 3, padding="same")(x))),
    "3x3 convolution of stride 2": _around(lambda x: _relu6(layers.Conv2D(64, 3, 2, padding="same")(x))),
    "max pooling": _around(layers.MaxPooling2D(2)),
    "average pooling": _around(layers.AveragePooling2D(2)),
    "PReLU": _around(lambda x: _pointwise(x, activation=layers.PReLU(shared_axes=[1, 2]))),
    "1x1 of stride 2": _around(lambda x: _pointwise(x, strides=2)),
    "1x1 in groups": _around(lambda x: _pointwise(x, groups=2)),
    "batch normalization by itself": _around(lambda x: _relu6(layers.BatchNormalization()(x))),
    "depthwise of stride 2, SAME": _around(lambda x: _depthwise(x, strides=2)),
    "depthwise 5x5 of stride 2, SAME": _around(lambda x: _depthwise(x, size=5, strides=2)),
    "depthwise, padded before": _around(lambda x: _depthwise(x, strides=2, pad=((1, 0), (1, 0)))),
    "depthwise, padded behind": _around(lambda x: _depthwise(x, strides=2, pad=((0, 1), (0, 1)))),
    "depthwise, dilated": _around(lambda x: _depthwise(x, dilation_rate=2)),
    "depthwise, multiplier 2": _around(lambda x: _depthwise(x, depth_multiplier=2)),
    "depthwise 7x7": _around(lambda x: _depthwise(x, size=7)),
    "depthwise, VALID": _around(lambda x: _depthwise(x, pad=0)),
    "map as a second output": _map_as_second_output,
    "mean that keeps its axes": _kept_axes,
}
"""Graphs of one image of 32×32×3, by what leaves the part by channels."""

RIGHT = {
    "plain": _around(),
    "depthwise of stride 2, equal padding": _around(lambda x: _depthwise(x, strides=2, pad=1)),
    "residual": _around(lambda x: layers.Add()([x, _pointwise(_depthwise(x), activation=lambda y: y)])),
    "squeeze and excite": _around(_squeeze_and_excite),
    "swish": _around(lambda x: _pointwise(x, activation=layers.Activation("swish"))),
    "concatenation": _around(lambda x: layers.Concatenate()([x, _pointwise(x)])),
    "bilinear upsampling": _around(layers.UpSampling2D(interpolation="bilinear")),
    "two heads": lambda x: [_head(_features(x)), _head(_features(x), 4)],
}

ELSEWHERE = {
    "stem with SAME": _around(pad="same"),
    "stem of stride 1": _around(strides=1),
    "stem 5x5": _around(size=5, pad=2),
    "stem padded behind": _around(pad=((0, 1), (0, 1))),
}
"""Graphs without the beginning of a part by channels."""


def make_network(build, seed=3) -> keras.Model:
    """A network of a graph, with nine tenths of each 1×1 kernel zero."""
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((32, 32, 3), batch_size=1)
    network = keras.Model(inputs, build(inputs))
    rng = np.random.default_rng(seed)
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
        if type(layer) is layers.Conv2D and layer.kernel_size == (1, 1):
            kernel = rng.normal(size=layer.kernel.shape)
            layer.kernel.assign(np.where(rng.random(kernel.shape) < _SPARSITY, 0, kernel))
    return network


def main(folder):
    """Writes the files, an input and Keras's first outputs."""
    folder.mkdir(parents=True, exist_ok=True)
    x = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype("float32")
    for name, build in {**WRONG, **RIGHT, **ELSEWHERE}.items():
        network = make_network(build)
        path = folder / name.replace(" ", "_").replace(",", "")
        export.to_tflite(network, sparse=True, client="cpu").save(path.with_suffix(".tflite"))
        np.save(path.with_suffix(".x.npy"), x)
        np.save(path.with_suffix(".y.npy"), keras.tree.flatten(network(x, training=False))[0])
    print(f"Wrote {len(WRONG) + len(RIGHT) + len(ELSEWHERE)} files into {folder}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path, help="folder for the files")
    main(parser.parse_args().folder)
