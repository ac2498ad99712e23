"""Which devices and machines `train` runs on."""

import tensorflow as tf

from cvhn_tf.workers import is_chief
from cvhn_tf_cli.arguments import count_workers
from cvhn_tf_cli.terminal import show


def make(name):
    """Makes the `tf.distribute.Strategy` that `--strategy` names, and says which one it is.

    Must come before anything that TensorFlow computes. Waits for the other workers, if there are any. Operations
    are made deterministic: a training that goes on from a backup ends where it would have on GPUs too.
    """
    tf.config.experimental.enable_op_determinism()
    gpus = len(tf.config.list_physical_devices("GPU"))
    if name == "auto":
        name = "multiworker" if count_workers() > 1 else "mirrored" if gpus > 1 else "none"
    if name == "multiworker":
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        role = "the chief, which saves and reports" if is_chief(strategy) else "not the chief"
        show(f"Strategy: multiworker, {count_workers()} workers with {_count(strategy)}; this one is {role}")
    elif name == "mirrored":
        strategy = tf.distribute.MirroredStrategy()
        show(f"Strategy: mirrored, {_count(strategy)}")
    else:
        strategy = tf.distribute.get_strategy()
        show("Strategy: none, one device")
    return strategy


def _count(strategy):
    replicas = strategy.num_replicas_in_sync
    return f"{replicas} replica{'s' * (replicas > 1)}"
