"""How many examples and batches the data of a `fit` has: N of the KL term, and the length of its warm-up."""

import math

import keras
import numpy as np
import tensorflow as tf

from cvhn_tf.checks.arguments import check_integer, is_finite_number


class TrainingData:
    """The data of a call of `fit`, as far as its size and sanity matter.

    Args:
        x: As in `keras.Model.fit`: arrays, `tf.data.Dataset`, `keras.utils.PyDataset` or generator.
        y: As in `fit`.
        batch_size: As in `fit`; counts for arrays.
        validation_split: As in `fit`; counts for arrays.
        steps_per_epoch: As in `fit`.
        workers: Number of workers that train together.

    Raises:
        ValueError: If a number is out of its range.
    """

    def __init__(self, x, y, batch_size, validation_split, steps_per_epoch, workers=1):
        if batch_size is not None:
            check_integer("batch_size", batch_size)
        if steps_per_epoch is not None:
            check_integer("steps_per_epoch", steps_per_epoch)
        if validation_split and not (is_finite_number(validation_split) and 0 <= validation_split < 1):
            raise ValueError(
                f"Expected `validation_split` to lie in [0, 1). Received: validation_split={validation_split!r}"
            )
        self._x, self._y = x, y
        self._batch_size = batch_size or 32
        self._validation_split = validation_split or 0.0
        self._steps_per_epoch = steps_per_epoch
        self._workers = workers

    def check_finite(self):
        """Raises a `ValueError` if an array holds NaN or infinity. Datasets are not read for this."""
        if not self._is_batched():
            check_finite("x", self._x)
            check_finite("y", self._y)

    def check_inputs(self, inputs, flatten=keras.tree.flatten):
        """Raises a `ValueError` unless `x` is arrays of finite numbers, or batches, that fit a model's inputs.

        Args:
            inputs: The model's inputs, a list of `keras.KerasTensor`.
            flatten: Function that makes a list of arrays in the order of the inputs from a structure of them.
        """
        if not self._is_batched():
            self._array_length()
            x, described = self._x, "x"
        elif isinstance(self._x, tf.data.Dataset):
            spec = self._x.element_spec
            x, described = spec[0] if isinstance(spec, tuple) else spec, "a dataset with x"
        else:
            return
        arrays = flatten(x)
        expected = [(None, *tensor.shape[1:]) for tensor in inputs]
        received = [getattr(array, "shape", None) for array in arrays]
        fits = len(received) == len(expected) and all(map(_fits, received, expected))
        if not fits:
            raise ValueError(
                f"Expected `x` of shapes {[('examples', *shape[1:]) for shape in expected]}, in batches if it is a "
                f"dataset. Received: {described} of shapes {[shape and tuple(shape) for shape in received]}"
            )
        for array, tensor in zip(arrays, inputs, strict=True):
            dtype = tf.as_dtype(tensor.dtype)
            given = getattr(array, "dtype", None)
            name = getattr(given, "name", str(given))
            is_text = name == "string" or name == "object" or getattr(given, "kind", "") in ("U", "S")
            if "complex" in name or is_text != (dtype == tf.string):
                raise ValueError(f"Expected `x` to be of dtype {dtype.name}. Received: {described} of dtype {name}")
        self.check_finite()

    def check_labels(self, loss, outputs, validation_data=None):
        """Raises a `ValueError` if arrays of labels are missing, or name classes that a classifier does not have.

        Args:
            loss: What the model was compiled with. Only the sparse categorical cross entropy tells what labels are.
            outputs: The model's outputs, a list of `keras.KerasTensor`, classes last. Labels are looked at where
                there is one.
            validation_data: As in `fit`.
        """
        if isinstance(validation_data, tuple | list) and len(validation_data) > 1:
            check_not_one_hot(loss, validation_data[1], outputs)
        if self._is_batched() or loss is None:
            return
        if self._y is None:
            raise ValueError("Expected `y`, the targets of the loss. Received: y=None")
        is_sparse = _is_sparse(loss)
        if is_sparse and isinstance(loss, keras.losses.SparseCategoricalCrossentropy):
            is_sparse = loss.get_config().get("ignore_class") is None
        check_not_one_hot(loss, self._y, outputs)
        if is_sparse and len(outputs) == 1 and not isinstance(self._y, dict | list | tuple):
            check_labels("y", self._y, outputs[0].shape[-1])

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

    def count_batches(self, used_for: str = "the KL warm-up is a share of") -> int:
        """Number of steps of an epoch.

        Args:
            used_for: Who asks, for the error.

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
                f"The number of training steps, which {used_for}, cannot be told from the data. "
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
                "`VariationalHypernetwork(...)`. Received: a dataset with AutoShardPolicy.OFF"
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


def check_finite(name, data):
    """Raises a `ValueError` if an array of a structure holds NaN or infinity.

    Args:
        name: Name of the user's argument.
        data: Structure of arrays or tensors; anything else in it is passed over.
    """
    for array in keras.tree.flatten(data):
        if tf.is_tensor(array) and array.dtype.is_floating and hasattr(array, "numpy"):
            array = array.numpy()
        is_float = isinstance(array, np.ndarray) and np.issubdtype(array.dtype, np.floating)
        if is_float and not np.isfinite(array).all():
            count = int((~np.isfinite(array)).sum())
            raise ValueError(f"Expected `{name}` to be finite. Received: {name} with {count} NaN or infinite values")


def check_finite_others(sample_weight=None, validation_data=None, **_):
    """Raises a `ValueError` if what `fit` takes beside its examples holds NaN or infinity."""
    check_finite("sample_weight", sample_weight)
    if isinstance(validation_data, tuple | list):
        check_finite("validation_data", validation_data)


def check_labels(name, labels, classes):
    """Raises a `ValueError` unless labels are integers in [0, classes).

    Args:
        name: Name of the user's argument.
        labels: Array of labels; integers in a type of floats will do.
        classes: Number of classes.
    """
    labels = np.asarray(labels)
    problem = None
    if labels.dtype.kind not in "buif":
        problem = f"dtype {labels.dtype}"
    elif labels.size and not np.array_equal(labels, np.round(labels)):
        problem = "numbers that are no integers"
    elif labels.size and classes is not None and not (labels.min() >= 0 and labels.max() < classes):
        problem = f"labels from {labels.min():g} to {labels.max():g}"
    if problem:
        raise ValueError(f"Expected `{name}` to be class labels, integers in [0, {classes}). Received: {problem}")


def check_not_one_hot(loss, y, outputs):
    """Raises a `ValueError` if labels have an axis of classes, of which a sparse loss takes the numbers.

    Args:
        loss: What the model was compiled with.
        y: Labels, arrays or tensors.
        outputs: Structure of the model's outputs, classes last. Labels are looked at where there is one.
    """
    outputs = keras.tree.flatten(outputs)
    labels = keras.tree.flatten(y)
    if not (_is_sparse(loss) and len(outputs) == len(labels) == 1 and hasattr(labels[0], "shape")):
        return
    received, expected = tuple(labels[0].shape), tuple(outputs[0].shape)
    if len(received) == len(expected) and received[-1] == expected[-1] != 1:
        raise ValueError(
            f"Expected class labels, integers in [0, {expected[-1]}), for a sparse loss. "
            f"Received: y of shape {received}, as one-hot labels have; give `y.argmax(-1)`, or take the loss "
            "'categorical_crossentropy'"
        )


def _is_sparse(loss):
    names = ("sparse_categorical_crossentropy", keras.losses.sparse_categorical_crossentropy)
    return loss in names or isinstance(loss, keras.losses.SparseCategoricalCrossentropy)


def _fits(received, expected):
    """Whether a shape is one of `expected`, or of another rank that Keras makes one by an axis of one."""
    if received is None:
        return False
    if getattr(received, "rank", 0) is None:
        return True
    received = tuple(received)
    if len(received) == len(expected) - 1:
        return expected[-1] == 1
    if len(received) == len(expected) + 1:
        return received[-1] == 1
    if len(received) != len(expected):
        return False
    return all(size in (None, given) or given is None for size, given in zip(expected, received, strict=True))
