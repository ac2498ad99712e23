"""The networks that pruning papers measure, and a small convolutional one."""

from collections.abc import Sequence

import keras
from keras import layers

from cvhn_tf.targets.blocks import check_sides, sequential


def lenet_300_100(input_shape: Sequence[int], num_classes: int) -> keras.Model:
    """The fully connected LeNet with hidden layers of 300 and 100 units, for images of any size.

    266,610 parameters on 28×28×1 images with 10 classes.

    Reference: [LeCun et al., 1998](https://doi.org/10.1109/5.726791).
    """
    return sequential(
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
    return sequential(
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
    check_sides("lenet_5", input_shape, 12)
    return sequential(
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
    check_sides("lenet_5_caffe", input_shape, 16)
    return sequential(
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
    check_sides("convnet", input_shape, 4)
    return sequential(
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


def _convolution(filters):
    # The normalization that follows has its own offset, so a bias would be dead weight.
    return (
        layers.Conv2D(filters, 3, padding="same", use_bias=False),
        layers.BatchNormalization(),
        layers.Activation("relu"),
    )
