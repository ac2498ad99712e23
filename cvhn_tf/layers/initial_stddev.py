"""How far weights may be off before training: a number for all of them, or a share of what a tensor's weights are."""

import numpy as np

from cvhn_tf.parameterizations.base import INITIAL_STDDEV, LOG_STDDEV_RATE

# Noise that a trained network hardly feels, whatever the scale of its layers: each output of a layer is off by this
# share of what it is, if the weights' parts in it are independent.
_RELATIVE = 0.05


def initial_log_stddev(mean, initial_stddev):
    """The "_log_stddev" of a tensor before training.

    Args:
        mean: NumPy array, the tensor's initial means.
        initial_stddev: Standard deviation of every weight, or `"relative"`: 0.05 times the root mean square of
            the tensor, or 0.004 where all of it is zero.

    Returns:
        NumPy array of the shape and type of `mean`: log σ in nats, divided by `LOG_STDDEV_RATE`.
    """
    stddev = initial_stddev
    if stddev == "relative":
        size = float(np.sqrt(np.mean(np.square(mean, dtype="float64")))) if mean.size else 0.0
        stddev = np.clip(_RELATIVE * size, 1e-8, 1e4) if size else INITIAL_STDDEV
    return np.full_like(mean, np.log(stddev) / LOG_STDDEV_RATE)
