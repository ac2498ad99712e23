"""What targets are made of, and the sizes of images that they take."""

import keras
from keras import layers


def sequential(name, input_shape, *stack) -> keras.Model:
    return keras.Sequential([keras.Input(tuple(input_shape), name="images"), *stack], name=name)


def normalized(name, x):
    return layers.Activation("relu", name=f"{name}_relu")(layers.BatchNormalization(name=f"{name}_norm")(x))


def check_sides(name, input_shape, shortest):
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
