"""Training batches in an order that follows from a seed and the epoch, so that a resumed run finds its place."""

from typing import Any

import keras
import tensorflow as tf

from cvhn_tf.checks.arguments import check_integer
from cvhn_tf.training.data import check_finite


def shuffled_batches(arrays: Any, batch_size: int, *, seed: int, first_epoch: int = 0) -> tf.data.Dataset:
    """Batches of one epoch after another without end, each a permutation of its own.

    The order of an epoch depends on `seed` and the epoch's number alone, where that of `fit(x, y)` depends on how many
    came before in the process.

    ```python
    batches = cvhn_tf.shuffled_batches((x, y), 64, seed=0, first_epoch=3)
    model.fit(batches, steps_per_epoch=math.ceil(len(x) / 64), initial_epoch=3, epochs=10)
    ```

    Args:
        arrays: Arrays of the same length, in a structure such as `(x, y)`.
        batch_size: Examples in a batch, of all replicas together; the last one of an epoch has what is left.
        seed: Non-negative integer. The workers of a strategy must have the same.
        first_epoch: Number of the epoch to begin with.

    Returns:
        An endless `tf.data.Dataset`, so that a `VariationalHypernetwork` needs its `train_size`.

    Raises:
        ValueError: If an argument is out of range, or the arrays differ in length, are empty or not finite.
    """
    check_integer("batch_size", batch_size)
    check_integer("seed", seed, at_least=0)
    check_integer("first_epoch", first_epoch, at_least=0)
    counts = [array.shape[0] if getattr(array, "shape", ()) else 0 for array in keras.tree.flatten(arrays)]
    if len(set(counts)) != 1 or not counts[0]:
        raise ValueError(
            f"Expected `arrays` of the same number of examples, at least one. Received: arrays of {counts} examples"
        )
    check_finite("arrays", arrays)
    with tf.device("CPU:0"):
        arrays = keras.tree.map_structure(tf.convert_to_tensor, arrays)
    count = counts[0]

    def indices_of(epoch):
        order = tf.random.experimental.stateless_shuffle(tf.range(count), tf.stack([tf.cast(seed, tf.int64), epoch]))
        steps = tf.data.Dataset.range(-(-count // batch_size))
        return steps.map(lambda step: order[step * batch_size : (step + 1) * batch_size])

    def batch_of(indices):
        return keras.tree.map_structure(lambda array: tf.gather(array, indices), arrays)

    batches = tf.data.Dataset.range(first_epoch, tf.int64.max).flat_map(indices_of)
    batches = batches.map(batch_of, num_parallel_calls=tf.data.AUTOTUNE)
    options = tf.data.Options()
    # Workers read the same batches and take a part of each.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
    return batches.apply(endless).with_options(options).prefetch(tf.data.AUTOTUNE)
