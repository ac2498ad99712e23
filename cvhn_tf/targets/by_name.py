"""Targets by name."""

from collections.abc import Sequence

import keras
import numpy as np

from cvhn_tf.targets.classic import convnet, lenet_5, lenet_5_caffe, lenet_300_100, mlp_50
from cvhn_tf.targets.mlperf_tiny import autoencoder_640, ds_cnn, mobilenet_v1_025, resnet_8
from cvhn_tf.targets.searchable import convolutional_fabric, searchable_convnet, searchable_mlp

_TARGETS = {
    build.__name__: build
    for build in (
        lenet_300_100,
        lenet_5,
        lenet_5_caffe,
        mlp_50,
        convnet,
        resnet_8,
        ds_cnn,
        mobilenet_v1_025,
        searchable_mlp,
        searchable_convnet,
        convolutional_fabric,
    )
}


def names() -> tuple[str, ...]:
    """The names of networks that classify images, or what has the shape of images, such as cepstra."""
    return tuple(_TARGETS)


def get(name: str, input_shape: Sequence[int], num_classes: int | None = None) -> keras.Model:
    """Builds a target network.

    Args:
        name: One of `names()`, or `"autoencoder_640"`.
        input_shape: Shape of one image: (height, width, channels); (features,) for the autoencoder.
        num_classes: Number of classes, at least 2; not for the autoencoder, which has none.

    Returns:
        A built `keras.Model` whose output sums to one over the classes; that of the autoencoder is like its input.

    Raises:
        ValueError: If `name` is unknown, `num_classes` is below 2, or `input_shape` is no shape of images or too small
            for the network.
    """
    if name == autoencoder_640.__name__:
        if num_classes is not None:
            raise ValueError(f"Expected no `num_classes` for target {name!r}. Received: num_classes={num_classes!r}")
        _check_shape(input_shape)
        return autoencoder_640(input_shape)
    if name not in _TARGETS:
        raise ValueError(
            f"Expected `name` to be one of {[*names(), autoencoder_640.__name__]}. Received: name={name!r}"
        )
    if not isinstance(num_classes, int | np.integer) or num_classes < 2:
        raise ValueError(f"Expected `num_classes` to be an integer of 2 or more. Received: num_classes={num_classes!r}")
    _check_shape(input_shape)
    return _TARGETS[name](input_shape, int(num_classes))


def _check_shape(input_shape):
    is_shape = isinstance(input_shape, Sequence) and not isinstance(input_shape, str) and len(input_shape) > 0
    if not (is_shape and all(isinstance(size, int | np.integer) and size > 0 for size in input_shape)):
        raise ValueError(
            "Expected `input_shape` to be the shape of one image, (height, width, channels). "
            f"Received: input_shape={input_shape!r}"
        )
