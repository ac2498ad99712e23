"""Targets that move their images at random in training."""

import keras


def with_shifts(target, pixels):
    """The target behind random translations by up to some pixels each way, which are part of training alone.

    Args:
        target: `keras.Sequential` of square images.
        pixels: 0 leaves the target as it is.
    """
    if not pixels:
        return target
    share = pixels / target.input_shape[1]
    translation = keras.layers.RandomTranslation(share, share, fill_mode="constant")
    return keras.Sequential([keras.Input(target.input_shape[1:]), translation, *target.layers], name=target.name)
