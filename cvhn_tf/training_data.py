"""How many examples and batches the data of a `fit` has: N of the KL term, and the length of its warm-up."""

import math

import keras
import numpy as np
import tensorflow as tf


class TrainingData:
    """The data of a call of `fit`, as far as its size and sanity matter.

    Args:
        x: As in `keras.Model.fit`: arrays, `tf.data.Dataset`, `keras.utils.PyDataset` or generator.
        y: As in `fit`.
        batch_size: As in `fit`; counts for arrays.
        validation_split: As in `fit`; counts for arrays.
        steps_per_epoch: As in `fit`.
        workers: Number of workers that train together.
    """

    def __init__(self, x, y, batch_size, validation_split, steps_per_epoch, workers=1):
        self._x, self._y = x, y
        self._batch_size = batch_size or 32
        self._validation_split = validation_split or 0.0
        self._steps_per_epoch = steps_per_epoch
        self._workers = workers

    def check_finite(self):
        """Raises a `ValueError` if an array holds NaN or infinity. Datasets are not read for this."""
        if self._is_batched():
            return
        for name, data in (("x", self._x), ("y", self._y)):
            for array in keras.tree.flatten(data):
                is_float = isinstance(array, np.ndarray) and np.issubdtype(array.dtype, np.floating)
                if is_float and not np.isfinite(array).all():
                    count = int((~np.isfinite(array)).sum())
                    raise ValueError(
                        f"Expected `{name}` to be finite. Received: {name} with {count} NaN or infinite values"
                    )

    def count_examples(self) -> int:
        """Number of training examples.

        For batched data this is the number of batches times the size of the first one.

        Raises:
            ValueError: If the data does not tell.
        """
        if self._is_batched():
            self._check_shared()
            batches = self._cardinality()
            if batches is None:
                raise ValueError(
                    "The number of training examples N, which scales the description length, cannot be told from "
                    "the data. Expected `train_size` in `VariationalHypernetwork(...)`, or data of known length. "
                    f"Received: x={self._x!r}"
                )
            return batches * self._first_batch_size()
        # Keras trains on the first part of arrays and validates on the rest.
        return math.floor(self._array_length() * (1 - self._validation_split))

    def count_batches(self) -> int:
        """Number of steps of an epoch.

        Raises:
            ValueError: If neither the data nor `steps_per_epoch` tells.
        """
        if self._steps_per_epoch is not None:
            return self._steps_per_epoch
        if not self._is_batched():
            return math.ceil(self.count_examples() / self._batch_size)
        batches = self._cardinality()
        if batches is None:
            raise ValueError(
                "The number of training steps, which the KL warm-up is a share of, cannot be told from the data. "
                "Expected `steps_per_epoch` in `fit`, or `kl_warmup` as a number of steps. "
                f"Received: x={self._x!r}"
            )
        return batches

    def _check_shared(self):
        if self._workers == 1 or not isinstance(self._x, tf.data.Dataset):
            return
        policy = self._x.options().experimental_distribute.auto_shard_policy
        if policy == tf.data.experimental.AutoShardPolicy.OFF:
            raise ValueError(
                "The number of training examples N, which scales the description length, cannot be told from data that "
                "each worker has by itself. Expected `train_size`, of all workers together, in "
                f"`VariationalHypernetwork(...)`. Received: a dataset with {policy}"
            )

    def _is_batched(self):
        is_dataset = isinstance(self._x, tf.data.Dataset | tf.distribute.DistributedDataset | keras.utils.PyDataset)
        return is_dataset or hasattr(self._x, "__next__")

    def _array_length(self):
        lengths = [array.shape[0] for array in keras.tree.flatten(self._x) if getattr(array, "shape", ())]
        if not lengths:
            raise ValueError(f"Expected `x` to be arrays or a dataset. Received: x={self._x!r}")
        if lengths[0] == 0:
            raise ValueError("Expected `x` to have at least one example. Received: x with 0 examples")
        return lengths[0]

    def _cardinality(self):
        if isinstance(self._x, tf.data.Dataset):
            batches = int(self._x.cardinality())
            return batches if batches >= 0 else None  # infinite and unknown are negative
        return getattr(self._x, "num_batches", None)

    def _first_batch_size(self):
        if isinstance(self._x, tf.data.Dataset):
            static = keras.tree.flatten(self._x.element_spec)[0].shape
            if static.rank and static[0] is not None:
                return static[0]
            batch = next(iter(self._x.take(1)), None)
        else:
            batch = self._x[0]
        if batch is None:
            raise ValueError("Expected `x` to have at least one example. Received: an empty dataset")
        return keras.tree.flatten(batch)[0].shape[0]
