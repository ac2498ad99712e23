"""The inputs on which a file is compared with its Keras model: the user's examples, or random ones of both signs."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from cvhn_tf.checks.arrays import as_input_arrays

MOST_EXAMPLES = 1024
"""Number of the user's examples that are compared at most, spread evenly over all of them."""

FREE_SIZE = 8
"""What stands in the place of a size of the inputs that is free."""

_RANDOM_EXAMPLES = 16
# A batch has about so many numbers, and examples between these.
_NUMBERS_A_BATCH = 2**19
_LEAST_BATCH, _MOST_BATCH = 16, 256
# Of inputs drawn further, each is so many times as large as the one before.
_GROWTH = 4.0
_DRAWS = 6


def verification_inputs(keras_model: keras.Model, representative_data: Any = None) -> list[np.ndarray]:
    """List of input arrays to compare on.

    Of representative data up to 1,024 examples, evenly spread over all of them, in an order in which each batch is
    spread as well. Without, 16 random examples in [−1, 1); in [0, 1) where the network gives no finite numbers on
    these, as behind a logarithm.
    """
    if representative_data is not None:
        arrays = as_input_arrays(keras_model, representative_data)
        spread = _spread(len(arrays[0]), batch_size(keras_model, arrays))
        return [array[spread] for array in arrays]
    inputs = random_inputs(keras_model)
    if all(np.isfinite(output).all() for output in outputs_of(keras_model, inputs)):
        return inputs
    return [abs(array) if array.dtype.kind == "f" else array for array in inputs]


def further_inputs(keras_model: keras.Model, inputs: list[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Random inputs of both signs as large as `inputs`, then ever larger ones, up to a thousand times."""
    for draw in range(_DRAWS):
        scales = [float(np.abs(array).max(initial=0.0)) or 1.0 for array in inputs]
        yield [
            (array * (scale * _GROWTH**draw)).astype(array.dtype) if array.dtype.kind == "f" else array
            for array, scale in zip(random_inputs(keras_model, seed=1 + draw), scales, strict=True)
        ]


def random_inputs(keras_model: keras.Model, seed: int = 0) -> list[np.ndarray]:
    """Numbers in [−1, 1); integers that all tables of the network hold."""
    rng = np.random.default_rng(seed)
    examples = _fixed_batch(keras_model) or _RANDOM_EXAMPLES
    return [_random_input(keras_model, tensor, examples, rng) for tensor in keras_model.inputs]


def batch_size(keras_model: keras.Model, inputs: list[np.ndarray]) -> int:
    """Number of examples that are compared at a time."""
    numbers = sum(array[0].size for array in inputs)
    return _fixed_batch(keras_model) or int(np.clip(_NUMBERS_A_BATCH // max(numbers, 1), _LEAST_BATCH, _MOST_BATCH))


def outputs_of(keras_model: keras.Model, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """The outputs of a model on a list of arrays, in the order of the model's inputs, as a list of arrays."""
    structure = getattr(keras_model, "_inputs_struct", None)
    given = inputs[0] if len(inputs) == 1 else keras.tree.pack_sequence_as(structure, inputs)
    return [keras.ops.convert_to_numpy(output) for output in keras.tree.flatten(keras_model(given, training=False))]


def _spread(examples, batch):
    chosen = np.linspace(0, examples - 1, min(examples, MOST_EXAMPLES)).round().astype(int)
    batches = -(-len(chosen) // batch)
    return np.concatenate([chosen[first::batches] for first in range(batches)])


def _fixed_batch(keras_model):
    """The number of examples that the model takes at a time; None if it is free."""
    return next((tensor.shape[0] for tensor in keras_model.inputs if tensor.shape[0] is not None), None)


def _random_input(keras_model, tensor, examples, rng):
    shape = (examples, *(size or FREE_SIZE for size in tensor.shape[1:]))
    if keras.backend.is_float_dtype(tensor.dtype):
        # Each example has a size of its own: of examples all alike in size, sums over many numbers hardly vary.
        sizes = rng.uniform(0, 1, (examples, *(1 for _ in shape[1:])))
        return (sizes * rng.uniform(-1, 1, shape)).astype(tensor.dtype)
    entries = [layer.input_dim for layer in keras_model._flatten_layers() if isinstance(layer, keras.layers.Embedding)]
    return rng.integers(0, min(entries, default=2), shape).astype(tensor.dtype)
