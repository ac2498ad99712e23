"""Outputs of a Keras model for any number of examples."""

import keras
import numpy as np

# What is run at a time.
BATCH = 1000


def keras_outputs(keras_model, x) -> np.ndarray:
    """The output of a Keras model that has one, for all of `x`, an array or a structure of them."""
    return all_outputs(keras_model, x)[0]


def all_outputs(keras_model, x) -> list[np.ndarray]:
    """All outputs of a Keras model for all of `x`, an array, a structure of them or a list in the order of its inputs.

    Not by `predict`, which traces a graph for each new model, and from the fifth on warns that it does.
    """
    examples = len(keras.tree.flatten(x)[0])
    x = as_taken(keras_model, x)
    batches = [
        keras_model(keras.tree.map_structure(lambda array, i=i: array[i : i + BATCH], x), training=False)
        for i in range(0, examples, BATCH)
    ]
    return joined(batches)


def as_taken(keras_model, x):
    """Inputs as a Keras model takes them, from a list in their order: by name if its inputs are a dict."""
    structure = getattr(keras_model, "_inputs_struct", None)
    by_name = isinstance(x, list) and isinstance(structure, dict)
    return keras.tree.pack_sequence_as(structure, x) if by_name else x


def joined(batches) -> list[np.ndarray]:
    """The outputs of a model, in their order, from those of several batches."""
    parts = [
        [np.asarray(keras.ops.convert_to_numpy(output)) for output in keras.tree.flatten(batch)] for batch in batches
    ]
    return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]
