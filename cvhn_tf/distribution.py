"""Training on several replicas and machines: what Keras 3.15 needs mended under `tf.distribute`, and what it cannot do.

`MirroredStrategy` and `MultiWorkerMirroredStrategy` are used as in Keras:

```python
strategy = tf.distribute.MultiWorkerMirroredStrategy()  # first of all; TF_CONFIG says who the workers are
with strategy.scope():
    model = cvhn_tf.VariationalHypernetwork(target)
    model.compile(cvhn_tf.PivotAdam(), "sparse_categorical_crossentropy")
model.fit(x, y, batch_size=256, epochs=10, callbacks=cvhn_tf.distribution.on_chief(checkpoint))
```
"""

import pathlib

import keras
import numpy as np
import tensorflow as tf


class DistributedModel(keras.Model):
    """A Keras model whose `fit`, `evaluate` and `predict` work on several workers too.

    Keras 3.15 fails there twice: it builds the model from a mean of the workers' first batches, and it averages the
    figures of a step, which are scalars, along their first axis.
    """

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        if self._distribute_strategy is None:
            return
        _check_supported(self)
        if iterator is not None:
            _, _, batches = next(iter(iterator))
            local = self.distribute_strategy.experimental_local_results
            data_batch = keras.tree.map_structure(lambda values: local(values)[0], next(batches))
        with self.distribute_strategy.scope():
            self._symbolic_build(data_batch=data_batch)

    def make_predict_function(self, force=False):
        _check_supported(self)
        return super().make_predict_function(force)

    def _make_function(self, step_function):
        strategy = self.distribute_strategy
        if not _has_several_workers(strategy):
            return super()._make_function(step_function)

        def step(data):
            logs = {name: tf.cast(value, tf.float32) for name, value in step_function(data).items()}
            # A list goes out as one message: each by itself would cost more time than a small network's step.
            means = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, list(logs.values()))
            return dict(zip(logs, means, strict=True))

        def step_on_replicas(data):
            logs = strategy.run(self._autoconvert_optionals(step), args=(data,))
            return {name: strategy.experimental_local_results(values)[0] for name, values in logs.items()}

        def step_on_next(batches):
            return step_on_replicas(next(batches))

        if not self.run_eagerly:
            step_on_replicas, step_on_next = tf.function(step_on_replicas), tf.function(step_on_next)

        def function(batches):
            if isinstance(batches, tf.distribute.DistributedIterator):
                return step_on_next(batches)
            return step_on_replicas(next(batches))  # of `train_on_batch`

        return function


def on_chief(strategy, *callbacks) -> list:
    """The callbacks on the worker that saves and reports, and none on the others.

    Keras's `ModelCheckpoint` and `TensorBoard` write on every worker, to the same files where folders are shared.

    Args:
        strategy: The `tf.distribute.Strategy` that the model trains under.
        *callbacks: Keras callbacks that only write; one that may stop the training belongs on every worker.
    """
    return list(callbacks) if is_chief(strategy) else []


def worker_folder(strategy, folder) -> pathlib.Path:
    """A folder of this worker's own in `folder`, made if need be, for `keras.callbacks.BackupAndRestore`.

    Args:
        strategy: The `tf.distribute.Strategy` that the model trains under.
        folder: Path of a folder, which workers may share.
    """
    name = "chief" if is_chief(strategy) else f"worker-{strategy.cluster_resolver.task_id}"
    own = pathlib.Path(folder) / name
    own.mkdir(parents=True, exist_ok=True)
    return own


def count_workers(strategy) -> int:
    """Number of processes that train together under a strategy."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return 1
    return strategy.num_replicas_in_sync // len(strategy.extended.worker_devices)


def is_chief(strategy) -> bool:
    """Whether this process is the one that saves and reports: the chief, else the first worker, or the only one."""
    if not _has_several_workers(strategy):
        return True
    resolver = strategy.cluster_resolver
    has_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_type == "chief" or (not has_chief and resolver.task_id == 0)


def of_chief(strategy, value):
    """The chief's value, on every worker. All of them must call it, with arrays of one shape.

    Args:
        strategy: A `tf.distribute.Strategy`.
        value: Number or NumPy array.

    Returns:
        NumPy array.
    """
    if not _has_several_workers(strategy):
        return np.asarray(value)
    with strategy.scope():
        return tf.Variable(value, trainable=False).numpy()  # variables start everywhere as on the chief


def any_worker(strategy, flag: bool) -> bool:
    """Whether `flag` is set on any worker. All of them must call it."""
    if not _has_several_workers(strategy):
        return flag
    sums = strategy.run(
        lambda: tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tf.constant(int(flag)))
    )
    return bool(strategy.experimental_local_results(sums)[0])


def sum_gradients(gradients, variables) -> list:
    """Each gradient summed over all replicas, in one message for those that are dense.

    Rows of a variable that the same λs select on every replica (`rows_follow_complexity`) are summed row by row;
    other `tf.IndexedSlices` are lined up.

    Args:
        gradients: List of tensors, `tf.IndexedSlices` or None, in the context of a replica.
        variables: List of the `keras.Variable`s they belong to.
    """
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return gradients
    has_common_rows = [
        isinstance(gradient, tf.IndexedSlices) and getattr(variable, "rows_follow_complexity", False)
        for gradient, variable in zip(gradients, variables, strict=True)
    ]
    sent = [g.values if common else g for g, common in zip(gradients, has_common_rows, strict=True)]
    sums = iter(replica.all_reduce(tf.distribute.ReduceOp.SUM, [g for g in sent if g is not None]))
    received = [None if g is None else next(sums) for g in sent]
    return [
        tf.IndexedSlices(total, g.indices, g.dense_shape) if common else total
        for total, g, common in zip(received, gradients, has_common_rows, strict=True)
    ]


class SumsGradientsFirst:
    """Makes a Keras optimizer sum the replicas' gradients before it clips them, as one replica would.

    Keras clips the part of each replica by itself, so that steps would depend on how many replicas there are.
    """

    def apply(self, grads, trainable_variables=None):
        variables = self._trainable_variables if trainable_variables is None else list(trainable_variables)
        super().apply(sum_gradients(list(grads), variables), trainable_variables)

    def _all_reduce_sum_gradients(self, grads_and_vars):
        return grads_and_vars


def _has_several_workers(strategy):
    return count_workers(strategy) > 1


def _check_supported(model):
    strategy = model.distribute_strategy
    if isinstance(strategy, tf.distribute.ParameterServerStrategy):
        raise ValueError(
            "Expected a strategy whose replicas step together, such as MirroredStrategy or "
            "MultiWorkerMirroredStrategy. Received: ParameterServerStrategy, which Keras 3 cannot train under"
        )
    if strategy.num_replicas_in_sync == 1:
        return
    for argument, value, default in (
        ("steps_per_execution", model.steps_per_execution, 1),
        ("jit_compile", model.jit_compile, False),
    ):
        if value != default:
            raise ValueError(
                f"Expected `{argument}={default}` in `compile` with several replicas, under which Keras cannot do "
                f"otherwise. Received: {argument}={value}, {strategy.num_replicas_in_sync} replicas"
            )
