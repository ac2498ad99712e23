"""What Keras 3.15 needs mended to train on several workers, and what it cannot do on several replicas.

`MirroredStrategy` and `MultiWorkerMirroredStrategy` are used as in Keras:

```python
strategy = tf.distribute.MultiWorkerMirroredStrategy()  # first of all; TF_CONFIG says who the workers are
with strategy.scope():
    model = cvhn_tf.VariationalHypernetwork(target)
    model.compile(cvhn_tf.PivotAdam(), "sparse_categorical_crossentropy")
model.fit(x, y, batch_size=256, epochs=10, callbacks=cvhn_tf.workers.on_chief(strategy, checkpoint))
```
"""

import keras
import tensorflow as tf

from cvhn_tf.workers import count_workers


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
        if count_workers(strategy) == 1:
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
    accumulated = getattr(getattr(model, "optimizer", None), "gradient_accumulation_steps", None)
    if accumulated:
        raise ValueError(
            "Expected `gradient_accumulation_steps=None` in an optimizer that steps with several replicas, which Keras "
            f"cannot accumulate over. Received: gradient_accumulation_steps={accumulated}, "
            f"{strategy.num_replicas_in_sync} replicas"
        )
