"""The four networks of the MLPerf Tiny benchmark, for microcontrollers.

Layers are those of [its reference models](https://github.com/mlcommons/tiny), convolutions with a bias before the
normalization too. Weight regularizers are left out: the description length takes their place.

Reference: [Banbury et al., 2021](https://arxiv.org/abs/2106.07597).
"""

from collections.abc import Sequence

import keras
from keras import layers

from cvhn_tf.targets.blocks import check_sides, sequential


def resnet_8(input_shape: Sequence[int], num_classes: int) -> keras.Model:
    """Three residual stacks of two 3×3 convolutions each, of 16, 32 and 64 filters: image classification.

    78,666 parameters on 32×32×3 images with 10 classes.

    Raises:
        ValueError: If `input_shape` is not that of images.
    """
    check_sides("resnet_8", input_shape, 1)
    images = keras.Input(tuple(input_shape), name="images")
    x = layers.Activation("relu")(layers.BatchNormalization()(_convolution(16, 3)(images)))
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        y = layers.Activation("relu")(layers.BatchNormalization()(_convolution(filters, 3, strides)(x)))
        y = layers.BatchNormalization()(_convolution(filters, 3)(y))
        shortcut = x if strides == 1 else _convolution(filters, 1, strides)(x)
        x = layers.Activation("relu")(layers.Add()([shortcut, y]))
    x = layers.GlobalAveragePooling2D()(x)
    outputs = layers.Dense(num_classes, activation="softmax", kernel_initializer="he_normal")(x)
    return keras.Model(images, outputs, name="resnet_8")


def ds_cnn(input_shape: Sequence[int], num_classes: int) -> keras.Model:
    """A convolution and four depthwise separable ones, of 64 filters: keyword spotting.

    24,908 parameters on 49×10×1 cepstra (49 windows, 10 coefficients) with 12 classes.

    Reference: [Zhang et al., 2017](https://arxiv.org/abs/1711.07128).

    Raises:
        ValueError: If `input_shape` is not (windows, coefficients, channels).
    """
    check_sides("ds_cnn", input_shape, 1)
    stack = [layers.Conv2D(64, (10, 4), strides=2, padding="same"), *_normalization(), layers.Dropout(0.2)]
    for _ in range(4):
        stack += [layers.DepthwiseConv2D(3, padding="same"), *_normalization()]
        stack += [layers.Conv2D(64, 1), *_normalization()]
    stack += [layers.Dropout(0.4), layers.GlobalAveragePooling2D(), layers.Dense(num_classes, activation="softmax")]
    return sequential("ds_cnn", input_shape, *stack)


def mobilenet_v1_025(input_shape: Sequence[int], num_classes: int) -> keras.Model:
    """MobileNetV1 of a quarter of its width, 8 to 256 filters, with ReLU: visual wake words.

    221,794 parameters on 96×96×3 images with 2 classes.

    Reference: [Howard et al., 2017](https://arxiv.org/abs/1704.04861).

    Raises:
        ValueError: If `input_shape` is not that of images.
    """
    check_sides("mobilenet_v1_025", input_shape, 1)
    stack = [_convolution(8, 3, 2), *_normalization()]
    blocks = [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1)]
    for filters, strides in blocks:
        depthwise = layers.DepthwiseConv2D(3, strides=strides, padding="same", depthwise_initializer="he_normal")
        stack += [depthwise, *_normalization(), _convolution(filters, 1), *_normalization()]
    stack += [layers.GlobalAveragePooling2D(), layers.Dense(num_classes, activation="softmax")]
    return sequential("mobilenet_v1_025", input_shape, *stack)


def autoencoder_640(input_shape: Sequence[int] = (640,)) -> keras.Model:
    """Four dense layers of 128 units on either side of one of 8: anomaly detection, by how far it is from its input.

    It gives values, not classes: train it with `loss="mse"`, and its inputs as labels.
    269,992 parameters on 640 features (5 frames of 128 mel bands).

    Reference: [Koizumi et al., 2020](https://arxiv.org/abs/2006.05822).

    Raises:
        ValueError: If `input_shape` is not (features,).
    """
    if len(input_shape) != 1:
        raise ValueError(
            "Expected `input_shape` to be (features,) for target 'autoencoder_640'. "
            f"Received: input_shape={tuple(input_shape)}"
        )
    stack = []
    for units in (*[128] * 4, 8, *[128] * 4):
        stack += [layers.Dense(units), *_normalization()]
    features = keras.Input(tuple(input_shape), name="features")
    return keras.Sequential([features, *stack, layers.Dense(input_shape[0])], name="autoencoder_640")


def _convolution(filters, size, strides=1):
    return layers.Conv2D(filters, size, strides=strides, padding="same", kernel_initializer="he_normal")


def _normalization():
    return layers.BatchNormalization(), layers.Activation("relu")
