"""Noise that differs from replica to replica of a distributed training."""

import tensorflow as tf


def of_replica(seed):
    """A seed of the replica's own: one noise for all of them would give each the same errors.

    Args:
        seed: Integer tensor of shape (2,).

    Returns:
        Integer tensor of shape (2,).
    """
    context = tf.distribute.get_replica_context()
    replica = 0 if context is None else tf.cast(context.replica_id_in_sync_group, tf.int32)
    return tf.random.experimental.stateless_fold_in(seed, 1 + replica)
