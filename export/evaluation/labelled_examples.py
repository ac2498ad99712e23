"""The examples with class labels on which files are chosen and measured."""

import keras
import numpy as np
import tensorflow as tf

from cvhn_tf.checks.arrays import as_input_arrays, check_pair
from cvhn_tf.training.data import check_finite, check_labels


def as_pair(data):
    """Examples and labels, as they are, of a pair of them or of a dataset of batches.

    Raises:
        ValueError: If it is neither, or a dataset without examples, without an end or of something else.
    """
    if isinstance(data, tf.data.Dataset):
        _check_is_of_batches(data)
        batches = [(x, y) for x, y, *_ in data.as_numpy_iterator()]
        if not batches:
            raise ValueError("Expected `data` with at least one example. Received: an empty dataset")
        x, y = (
            keras.tree.map_structure(lambda *parts: np.concatenate(parts), *parts)
            for parts in zip(*batches, strict=True)
        )
        return x, y
    return check_pair(data)


def as_arrays(data):
    """Examples and class labels of a pair of arrays or of a dataset of batches.

    Raises:
        ValueError: If it is neither, there are no examples, not a label for each, they are not finite, or the labels
            are no classes.
    """
    x, y = as_pair(data)
    y = np.asarray(y)
    if y.ndim == 2 and y.shape[1] > 1:
        y = y.argmax(1)
    if y.dtype.kind not in "buif" or not np.array_equal(y, np.round(y)):
        raise ValueError(
            "Expected class labels, to measure accuracy, or another `metric`, such as 'mse'. "
            "Received: labels that are no classes"
        )
    check_lengths("`data`", _inputs(x), y)
    check_finite("data", x)
    return x, y


def as_examples(network, data):
    """Examples as a classifier takes them, an array or a list of arrays in the order of its inputs, and class labels.

    Args:
        network: Built functional or Sequential Keras model.
        data: Pair (x, y) of arrays, where x may be a list or dict of them, or `tf.data.Dataset` of batches of such
            pairs.

    Raises:
        ValueError: As `as_arrays`; or if the network is no classifier, the examples do not fit its inputs, or the
            labels are not its classes.
    """
    x, y = as_arrays(data)
    if len(network.outputs) != 1 or len(network.outputs[0].shape) != 2:
        raise ValueError(
            "Expected a classifier, of one output of shape (examples, classes). "
            f"Received: outputs of shapes {[('examples', *tensor.shape[1:]) for tensor in network.outputs]}"
        )
    arrays = as_input_arrays(network, x, "data")
    classes = network.outputs[0].shape[-1]
    check_labels("data", y, 2 if classes == 1 else classes)
    return (arrays if len(arrays) > 1 else arrays[0]), y


def check_lengths(name, arrays, labels):
    """Raises a `ValueError` unless there are as many labels as examples, one at least.

    Args:
        name: What the user calls them.
        arrays: List of arrays of examples.
        labels: An array, or a list of arrays and None.
    """
    examples = [len(array) for array in arrays]
    counts = [len(array) for array in labels if array is not None] if isinstance(labels, list) else [len(labels)]
    if len({*examples, *counts}) != 1 or counts[0] == 0:
        raise ValueError(
            f"Expected {name} of as many labels as examples, at least one. Received: {examples} examples and "
            f"{counts if isinstance(labels, list) else counts[0]} labels"
        )


def _check_is_of_batches(dataset):
    spec, problem = dataset.element_spec, None
    if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        problem = "a dataset without an end, of which `take` gives a part"
    elif not isinstance(spec, tuple) or len(spec) < 2:
        problem = f"a dataset of elements {spec}"
    elif any(part.shape.rank == 0 for part in keras.tree.flatten(spec[:2])):
        problem = "a dataset of single examples, of which `batch` makes batches"
    if problem:
        raise ValueError(f"Expected `data` of batches (x, y). Received: {problem}")


def _inputs(x):
    return list(x.values()) if isinstance(x, dict) else x if isinstance(x, list | tuple) else [x]
