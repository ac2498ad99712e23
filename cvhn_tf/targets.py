"""Reference target networks by name, each a plain Keras model with softmax outputs.

```python
target = cvhn_tf.targets.lenet_300_100((28, 28, 1), num_classes=10)
target = cvhn_tf.targets.get("lenet_300_100", (28, 28, 1), 10)  # the same
```
"""

from collections.abc import Sequence

import keras
import numpy as np
from keras import layers

from cvhn_tf.structure import Choice, OptionalPaths


def lenet_300_100(input_shape: Sequence[int], num_classes: int) -> keras.Model:
    """The fully connected LeNet with hidden layers of 300 and 100 units, for images of any size.

    266,610 parameters on 28×28×1 images with 10 classes.

    Reference: [LeCun et al., 1998](https://doi.org/10.1109/5.726791).
    """
    return _sequential(
        "lenet_300_100",
        input_shape,
        layers.Flatten(),
        layers.Dense(300, activation="relu"),
        layers.Dense(100, activation="relu"),
        layers.Dense(num_classes, activation="softmax"),
    )


def mlp_50(input_shape: Sequence[int], num_classes: int) -> keras.Model:
    """One hidden layer of 50 units: the 784-50-10 network that the method was published with.

    39,760 parameters on 28×28×1 images with 10 classes.
    """
    return _sequential(
        "mlp_50",
        input_shape,
        layers.Flatten(),
        layers.Dense(50, activation="relu"),
        layers.Dense(num_classes, activation="softmax"),
    )


def lenet_5(input_shape: Sequence[int], num_classes: int) -> keras.Model:
    """LeNet-5 with 6 and 16 filters and dense layers of 120 and 84 units, with ReLU and max pooling.

    The first convolution pads ("same"), so that 28×28 images give the published feature maps of 32×32 ones.
    61,706 parameters on 28×28×1 images with 10 classes.

    Reference: [LeCun et al., 1998](https://doi.org/10.1109/5.726791).

    Raises:
        ValueError: If a side of the image is shorter than 12 pixels.
    """
    _check_sides("lenet_5", input_shape, 12)
    return _sequential(
        "lenet_5",
        input_shape,
        layers.Conv2D(6, 5, padding="same", activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(16, 5, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(120, activation="relu"),
        layers.Dense(84, activation="relu"),
        layers.Dense(num_classes, activation="softmax"),
    )


def lenet_5_caffe(input_shape: Sequence[int], num_classes: int) -> keras.Model:
    """Caffe's LeNet-5 with 20 and 50 filters and one dense layer of 500 units, the one that pruning papers measure.

    431,080 parameters on 28×28×1 images with 10 classes.

    Reference: [Jia et al., 2014](https://arxiv.org/abs/1408.5093).

    Raises:
        ValueError: If a side of the image is shorter than 16 pixels.
    """
    _check_sides("lenet_5_caffe", input_shape, 16)
    return _sequential(
        "lenet_5_caffe",
        input_shape,
        layers.Conv2D(20, 5),
        layers.MaxPooling2D(),
        layers.Conv2D(50, 5),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(500, activation="relu"),
        layers.Dense(num_classes, activation="softmax"),
    )


def convnet(input_shape: Sequence[int], num_classes: int) -> keras.Model:
    """Three blocks of two 3×3 convolutions (32, 64 and 128 filters) with batch normalization, then global pooling.

    289,642 parameters on 32×32×3 images with 10 classes.

    Raises:
        ValueError: If a side of the image is shorter than 4 pixels.
    """
    _check_sides("convnet", input_shape, 4)
    return _sequential(
        "convnet",
        input_shape,
        *_convolution(32),
        *_convolution(32),
        layers.MaxPooling2D(),
        *_convolution(64),
        *_convolution(64),
        layers.MaxPooling2D(),
        *_convolution(128),
        *_convolution(128),
        layers.GlobalAveragePooling2D(),
        layers.Dense(num_classes, activation="softmax"),
    )


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
    _check_sides("searchable_convnet", input_shape, 4)
    images = keras.Input(tuple(input_shape), name="images")
    x = _normalized("stem", layers.Conv2D(16, 3, padding="same", use_bias=False, name="stem")(images))
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
    _check_sides("convolutional_fabric", input_shape, 4)
    if any(side % 4 for side in input_shape[:2]):
        raise ValueError(
            "Expected images whose sides 4 divides for target 'convolutional_fabric'. "
            f"Received: input_shape={tuple(input_shape)}"
        )
    images = keras.Input(tuple(input_shape), name="images")

    def convolution(name, x, strides=1):
        return layers.Conv2D(16, 3, strides=strides, padding="same", use_bias=False, name=name)(x)

    scales = [_normalized("layer_1_scale_1", convolution("layer_1_scale_1", images))]
    for scale in (2, 3):
        name = f"layer_1_scale_{scale}"
        scales.append(_normalized(name, convolution(name, scales[-1], strides=2)))
    for layer in range(2, 7):
        before, scales = scales, []
        for scale in range(1, 4):
            node = f"layer_{layer}_scale_{scale}"
            paths = []
            for source in range(max(scale - 1, 1), min(scale + 1, 3) + 1):
                path = convolution(f"{node}_from_{source}", before[source - 1], strides=2 if source < scale else 1)
                paths.append(layers.UpSampling2D(name=f"{node}_up")(path) if source > scale else path)
            scales.append(_normalized(node, OptionalPaths(name=node)(paths)))
    x = layers.GlobalAveragePooling2D()(scales[-1])
    return keras.Model(images, layers.Dense(num_classes, activation="softmax")(x), name="convolutional_fabric")


_TARGETS = {
    build.__name__: build
    for build in (
        lenet_300_100,
        lenet_5,
        lenet_5_caffe,
        mlp_50,
        convnet,
        searchable_mlp,
        searchable_convnet,
        convolutional_fabric,
    )
}


def names() -> tuple[str, ...]:
    """The names that `get` takes."""
    return tuple(_TARGETS)


def get(name: str, input_shape: Sequence[int], num_classes: int) -> keras.Model:
    """Builds a target network.

    Args:
        name: One of `names()`.
        input_shape: Shape of one image: (height, width, channels).
        num_classes: Number of classes, at least 2.

    Returns:
        A built `keras.Model` whose output sums to one over the classes.

    Raises:
        ValueError: If `name` is unknown, `num_classes` is below 2, or `input_shape` is no shape of images or too small
            for the network.
    """
    if name not in _TARGETS:
        raise ValueError(f"Expected `name` to be one of {list(names())}. Received: name={name!r}")
    if not isinstance(num_classes, int | np.integer) or num_classes < 2:
        raise ValueError(f"Expected `num_classes` to be an integer of 2 or more. Received: num_classes={num_classes!r}")
    _check_image_shape(input_shape)
    return _TARGETS[name](input_shape, int(num_classes))


def _check_image_shape(input_shape):
    is_shape = isinstance(input_shape, Sequence) and not isinstance(input_shape, str) and len(input_shape) > 0
    if not (is_shape and all(isinstance(size, int | np.integer) and size > 0 for size in input_shape)):
        raise ValueError(
            "Expected `input_shape` to be the shape of one image, (height, width, channels). "
            f"Received: input_shape={input_shape!r}"
        )


def _sequential(name, input_shape, *stack) -> keras.Model:
    return keras.Sequential([keras.Input(tuple(input_shape), name="images"), *stack], name=name)


def _convolution(filters):
    # The normalization that follows has its own offset, so a bias would be dead weight.
    return (
        layers.Conv2D(filters, 3, padding="same", use_bias=False),
        layers.BatchNormalization(),
        layers.Activation("relu"),
    )


def _normalized(name, x):
    return layers.Activation("relu", name=f"{name}_relu")(layers.BatchNormalization(name=f"{name}_norm")(x))


def _inverted_bottleneck(name, x, filters, expansion, size, strides):
    channels = expansion * x.shape[-1]
    x = _normalized(f"{name}_expand", layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_expand")(x))
    depthwise = layers.DepthwiseConv2D(size, strides=strides, padding="same", use_bias=False, name=f"{name}_depthwise")
    x = _normalized(f"{name}_depthwise", depthwise(x))
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_project")(x)
    return layers.BatchNormalization(name=f"{name}_norm")(x)


def _check_sides(name, input_shape, shortest):
    if len(input_shape) != 3:
        raise ValueError(
            f"Expected `input_shape` to be (height, width, channels) for target {name!r}. "
            f"Received: input_shape={tuple(input_shape)}"
        )
    if min(input_shape[:2]) < shortest:
        raise ValueError(
            f"Expected images of at least {shortest}×{shortest} pixels for target {name!r}; "
            f"`lenet_300_100` takes any size. Received: input_shape={tuple(input_shape)}"
        )
