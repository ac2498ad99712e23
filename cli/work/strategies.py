"""Which devices and machines `train` runs on."""

import atexit
import gc
import multiprocessing.pool

import tensorflow as tf

from cvhn_tf.workers import is_chief
from cvhn_tf_cli.arguments import count_workers
from cvhn_tf_cli.terminal import show


def choose(gpus) -> str:
    """What `--strategy auto` picks on a machine with so many GPUs."""
    return "multiworker" if count_workers() > 1 else "mirrored" if gpus > 1 else "none"


def make(name, quiet=False):
    """Makes the `tf.distribute.Strategy` that `--strategy` names, and says which one it is unless it is to be `quiet`.

    Must come before anything that TensorFlow computes. Waits for the other workers, if there are any. Operations
    are made deterministic: a training that goes on from a backup ends where it would have on GPUs too.
    """
    tf.config.experimental.enable_op_determinism()
    if name == "auto":
        name = choose(len(tf.config.list_physical_devices("GPU")))
    atexit.register(_close_pools)
    if name == "multiworker":
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        role = "the chief, which saves and reports" if is_chief(strategy) else "not the chief"
        description = f"multiworker, {count_workers()} workers with {_count(strategy)}; this one is {role}"
    elif name == "mirrored":
        strategy = tf.distribute.MirroredStrategy()
        description = f"mirrored, {_count(strategy)}"
    else:
        strategy = tf.distribute.get_strategy()
        description = "none, one device"
    if not quiet:
        show(f"Strategy: {description}")
    return strategy


def _close_pools():
    """Tells pools of threads to end that TensorFlow has left open.

    Its sum over workers does so when it fails, as when a worker is lost. The end of the interpreter, where objects go
    in an order of chance, may then write an "Exception ignored" behind the message that the program ends with.
    """
    for pool in [o for o in gc.get_objects() if isinstance(o, multiprocessing.pool.Pool)]:
        pool.close()


def _count(strategy):
    replicas = strategy.num_replicas_in_sync
    return f"{replicas} replica{'s' * (replicas > 1)}"
