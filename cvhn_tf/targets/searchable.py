"""Networks whose parts are chosen."""

from collections.abc import Sequence

import keras
from keras import layers

from cvhn_tf.structure import Choice, OptionalPaths
from cvhn_tf.targets.blocks import check_sides, normalized


def searchable_mlp(input_shape: Sequence[int], num_classes: int) -> keras.Model:
    """Two dense blocks of 64 units, each with a choice: no layer before them, or one of 16, 64 or 256 units.

    16 structures.
    """
    images = keras.Input(tuple(input_shape), name="images")
    x = layers.Flatten()(images)
    for i in (1, 2):
        paths = [layers.Dense(64, activation="relu", name=f"block_{i}_direct")(x)]
        for units in (16, 64, 256):
            hidden = layers.Dense(units, activation="relu", name=f"block_{i}_hidden_{units}")(x)
            paths.append(layers.Dense(64, activation="relu", name=f"block_{i}_of_{units}")(hidden))
        x = Choice(name=f"block_{i}")(paths)
    return keras.Model(images, layers.Dense(num_classes, activation="softmax")(x), name="searchable_mlp")


def searchable_convnet(input_shape: Sequence[int], num_classes: int) -> keras.Model:
    """Three stages of 16, 32 and 64 channels, of two MobileNet-like blocks each, whose form is chosen.

    A block expands its channels by 1×1, convolves each by itself, and goes back by 1×1. Its expansion is 2 or 4 and its
    kernel 3×3 or 5×5; the second of a stage is added to its input, and may be left out. 4³ · 5³ = 8,000 structures.

    Reference: [Wu et al., 2018](https://arxiv.org/abs/1812.03443), whose space has such blocks.

    Raises:
        ValueError: If a side of the image is shorter than 4 pixels.
    """
    check_sides("searchable_convnet", input_shape, 4)
    images = keras.Input(tuple(input_shape), name="images")
    x = normalized("stem", layers.Conv2D(16, 3, padding="same", use_bias=False, name="stem")(images))
    for stage, filters in enumerate((16, 32, 64), 1):
        for block in (1, 2):
            name, strides = f"stage_{stage}_block_{block}", 2 if stage > 1 and block == 1 else 1
            paths = [
                _inverted_bottleneck(f"{name}_{expansion}x_{size}", x, filters, expansion, size, strides)
                for expansion in (2, 4)
                for size in (3, 5)
            ]
            if block == 2:
                paths = [*(layers.Add(name=f"{name}_add_{i}")([x, path]) for i, path in enumerate(paths)), x]
            x = Choice(name=name)(paths)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, layers.Dense(num_classes, activation="softmax")(x), name="searchable_convnet")


def convolutional_fabric(input_shape: Sequence[int], num_classes: int) -> keras.Model:
    """Six layers of three scales with 16 channels, in which every convolution between neighbours may be left out.

    A node sums what comes from the finer, the same and the coarser scale of the layer before. 2²⁸ structures.

    Reference: [Saxena & Verbeek, 2016](https://arxiv.org/abs/1606.02492).

    Raises:
        ValueError: If a side of the image is shorter than 4 pixels, or none that 4 divides.
    """
    check_sides("convolutional_fabric", input_shape, 4)
    if any(side % 4 for side in input_shape[:2]):
        raise ValueError(
            "Expected images whose sides 4 divides for target 'convolutional_fabric'. "
            f"Received: input_shape={tuple(input_shape)}"
        )
    images = keras.Input(tuple(input_shape), name="images")

    def convolution(name, x, strides=1):
        return layers.Conv2D(16, 3, strides=strides, padding="same", use_bias=False, name=name)(x)

    scales = [normalized("layer_1_scale_1", convolution("layer_1_scale_1", images))]
    for scale in (2, 3):
        name = f"layer_1_scale_{scale}"
        scales.append(normalized(name, convolution(name, scales[-1], strides=2)))
    for layer in range(2, 7):
        before, scales = scales, []
        for scale in range(1, 4):
            node = f"layer_{layer}_scale_{scale}"
            paths = []
            for source in range(max(scale - 1, 1), min(scale + 1, 3) + 1):
                path = convolution(f"{node}_from_{source}", before[source - 1], strides=2 if source < scale else 1)
                paths.append(layers.UpSampling2D(name=f"{node}_up")(path) if source > scale else path)
            scales.append(normalized(node, OptionalPaths(name=node)(paths)))
    x = layers.GlobalAveragePooling2D()(scales[-1])
    return keras.Model(images, layers.Dense(num_classes, activation="softmax")(x), name="convolutional_fabric")


def _inverted_bottleneck(name, x, filters, expansion, size, strides):
    channels = expansion * x.shape[-1]
    x = normalized(f"{name}_expand", layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_expand")(x))
    depthwise = layers.DepthwiseConv2D(size, strides=strides, padding="same", use_bias=False, name=f"{name}_depthwise")
    x = normalized(f"{name}_depthwise", depthwise(x))
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_project")(x)
    return layers.BatchNormalization(name=f"{name}_norm")(x)
