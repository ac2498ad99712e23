"""A short training of the weights that pruning has left, while the others stay zero."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from cvhn_tf.architecture import finalize_normalization, freeze_alike
from cvhn_tf.checks.arguments import check_integer, check_positive
from cvhn_tf.checks.arrays import check_pair, flatten_inputs
from cvhn_tf.checks.finite_weights import check_finite_weights
from cvhn_tf.export.networks.check_network import check_network
from cvhn_tf.optimizers import HoldThenDecay
from cvhn_tf.training.data import TrainingData


def finetune(
    pruned_model: keras.Model,
    data: tuple[Any, Any] | tf.data.Dataset,
    epochs: int = 3,
    loss: str | keras.losses.Loss = "sparse_categorical_crossentropy",
    learning_rate: float = 3e-3,
    batch_size: int = 256,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: Any = 0,
) -> keras.Model:
    """A network like `pruned_model`, its weights trained on, those that are zero kept zero.

    Goes behind `prune` or `compact`, or with any Keras model that has zeros. Every trainable weight that is zero stays
    exactly zero, whichever tensor it is in; all others, biases too, are trained by Adam at a learning rate that holds
    for half of the steps and then falls to zero. Layers and weights that are not trainable stay as they are.

    Normalization layers are trained like the others. Batch normalization uses the statistics of the batches, and its
    moving ones, which pruning has put out of date, are measured anew: their momentum is lowered for this training
    where it is short, so that they forget those of the network before it. Dropout is active.

    Args:
        pruned_model: Built functional or Sequential Keras model. It is not changed.
        data: Pair of arrays (x, y), or `tf.data.Dataset` of batches of such pairs, of known length; only arrays
            are shuffled.
        epochs: Passes over the data, at least 1.
        loss: `keras.losses.Loss` or its name.
        learning_rate: Learning rate of the first half of the steps, positive.
        batch_size: Examples per step, where `data` is arrays.
        callbacks: `keras.callbacks.Callback`s of the training.
        verbose: As in `keras.Model.fit`.

    Returns:
        Plain Keras model, not compiled.

    Raises:
        ValueError: If an argument is out of range, the data holds NaN or infinity, does not fit the network or its
            length is not known, or a weight is not finite.
    """
    # First, so that `finetune(model, x, y)` is told of the pair and not of its `epochs`.
    data = data if isinstance(data, tf.data.Dataset) else check_pair(data)
    check_training(epochs, learning_rate, batch_size)
    network = copy_of(pruned_model)
    arguments, steps = _fit_arguments(data, batch_size, network, loss)
    for weight in network.trainable_weights:
        weight.constraint = _KeepZeros(weight, weight.constraint)
    for layer in network._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = min(layer.momentum, short_momentum(steps * epochs))
    network.compile(keras.optimizers.Adam(HoldThenDecay(learning_rate, steps * epochs)), loss)
    network.fit(**arguments, epochs=epochs, verbose=verbose, callbacks=list(callbacks))
    # The constraints, the momentum and the optimizer stay behind.
    finetuned = copy_of(pruned_model)
    finetuned.set_weights(network.get_weights())
    finalize_normalization(finetuned)
    return finetuned


def copy_of(model):
    """A new model of the same layers and weights.

    Raises:
        ValueError: If it is no built functional or Sequential Keras model, or a weight is not finite.
    """
    check_network("model", model)
    check_finite_weights("model", model)
    copied = keras.models.clone_model(model)
    copied.set_weights(model.get_weights())
    freeze_alike(copied, model)
    finalize_normalization(copied)
    return copied


def short_momentum(steps):
    """Momentum of a moving average that remembers a tenth of a training of that many steps."""
    return max(0.0, 1 - 10 / steps)


def check_training(epochs, learning_rate, batch_size):
    """Raises a `ValueError` unless the numbers are positive, and whole ones where they count."""
    check_integer("epochs", epochs)
    check_integer("batch_size", batch_size)
    check_positive("learning_rate", learning_rate)


class _KeepZeros:
    """A constraint, which Keras applies after each step: weights that are zero now go back to zero.

    Args:
        weight: `keras.Variable`.
        constraint: Constraint that comes first, or None.
    """

    def __init__(self, weight, constraint):
        self._kept = keras.ops.convert_to_numpy(weight) != 0
        self._constraint = constraint

    def __call__(self, value):
        value = value if self._constraint is None else self._constraint(value)
        # Not a product: that of infinity is no zero, and that of a negative number is -0.
        return keras.ops.where(self._kept, value, keras.ops.zeros_like(value))


def _fit_arguments(data, batch_size, network, loss):
    """What `fit` needs to know of the data, and the number of steps of an epoch."""
    if isinstance(data, tf.data.Dataset):
        batches = int(data.cardinality())
        if batches <= 0:  # infinite and unknown are negative
            raise ValueError(
                "Expected `data` of known length, at least one batch; `tf.data.experimental.assert_cardinality` "
                f"tells that of a dataset. Received: data={data!r}"
            )
        return {"x": data, "shuffle": False}, batches
    x, y = data
    examples = TrainingData(x, y, batch_size, None, None)
    names = getattr(network, "_inputs_struct", network.inputs)
    names = keras.tree.map_structure(lambda tensor: tensor.name, names)
    examples.check_inputs(network.inputs, lambda x: flatten_inputs(x, names))
    examples.check_labels(loss, network.outputs)
    return {"x": x, "y": y, "batch_size": batch_size}, examples.count_batches()
