"""The workers of a strategy: who saves, and what they tell each other."""

import os
import pathlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf


def on_chief(strategy: tf.distribute.Strategy, *callbacks: keras.callbacks.Callback) -> list[keras.callbacks.Callback]:
    """The callbacks on the worker that saves and reports, and none on the others.

    Keras's `ModelCheckpoint` and `TensorBoard` write on every worker, to the same files where folders are shared.

    Args:
        strategy: The `tf.distribute.Strategy` that the model trains under.
        *callbacks: Keras callbacks that only write; one that may stop the training belongs on every worker.
    """
    return list(callbacks) if is_chief(strategy) else []


def worker_folder(strategy: tf.distribute.Strategy, folder: str | os.PathLike[str]) -> pathlib.Path:
    """A folder of this worker's own in `folder`, made if need be, for `keras.callbacks.BackupAndRestore`.

    Args:
        strategy: The `tf.distribute.Strategy` that the model trains under.
        folder: Path of a folder, which workers may share.
    """
    name = "chief" if is_chief(strategy) else f"worker-{strategy.cluster_resolver.task_id}"
    own = pathlib.Path(folder) / name
    own.mkdir(parents=True, exist_ok=True)
    return own


def count_workers(strategy: tf.distribute.Strategy) -> int:
    """Number of processes that train together under a strategy."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 1
    return strategy.num_replicas_in_sync // len(strategy.extended.worker_devices)


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that saves and reports: the chief, else the first worker, or the only one."""
    if count_workers(strategy) == 1:
        return True
    resolver = strategy.cluster_resolver
    has_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_type == "chief" or (not has_chief and resolver.task_id == 0)


def of_chief(strategy: tf.distribute.Strategy, value: Any) -> np.ndarray:
    """The chief's value, on every worker. All of them must call it, with arrays of one shape.

    Args:
        strategy: A `tf.distribute.Strategy`.
        value: Number or NumPy array.

    Returns:
        NumPy array.
    """
    if count_workers(strategy) == 1:
        return np.asarray(value)
    with strategy.scope():
        return tf.Variable(value, trainable=False).numpy()  # variables start everywhere as on the chief


def any_worker(strategy: tf.distribute.Strategy, flag: bool) -> bool:
    """Whether `flag` is set on any worker. All of them must call it."""
    if count_workers(strategy) == 1:
        return flag
    sums = strategy.run(
        lambda: tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.constant(int(flag)))
    )
    return bool(strategy.experimental_local_results(sums)[0])
