"""The weight β of the KL, which grows from 0 to 1, so that a network learns before it forgets."""

import numbers

import tensorflow as tf


def check_kl_warmup(kl_warmup):
    """Returns a share of the training as a float, a number of steps as an int, or raises a `ValueError`."""
    is_steps = isinstance(kl_warmup, numbers.Integral) and not isinstance(kl_warmup, bool) and kl_warmup >= 0
    is_share = isinstance(kl_warmup, float) and 0.0 <= kl_warmup <= 1.0
    if not (is_steps or is_share):
        raise ValueError(
            "Expected `kl_warmup` to be a share of the training in [0.0, 1.0] or a number of steps. "
            f"Received: kl_warmup={kl_warmup!r}"
        )
    return int(kl_warmup) if is_steps else kl_warmup


def kl_warmup_weight(step, warmup_steps):
    """β: grows linearly from 0 to 1 over the warm-up.

    Args:
        step: Integer tensor, the steps that were made before this one.
        warmup_steps: Float tensor, the length of the warm-up.
    """
    step = tf.cast(step, tf.float32)
    return tf.where(step < warmup_steps, step / tf.maximum(warmup_steps, 1), 1.0)
