"""Batch-normalization statistics of one network, in the place of those that training left."""

import contextlib
import functools
from typing import Any

import keras
import numpy as np

from cvhn_tf.architecture import finalize_normalization, freeze_alike
from cvhn_tf.checks.arguments import check_integer
from cvhn_tf.checks.arrays import as_input_arrays
from cvhn_tf.export.networks.check_network import check_network
from cvhn_tf.export.networks.rebuild import as_functional


def recalibrate(network: keras.Model, x: Any, batch_size: int = 256) -> keras.Model:
    """A copy of a network whose batch normalization has the statistics of the network's own activations.

    In training the moving averages are of noisy weights and lag behind them; pruning moves the activations once more.
    One pass over some training examples mends both. No labels, no gradients: weights stay as they are.

    Args:
        network: Built functional or Sequential Keras model, such as `prune` or `VariationalHypernetwork.at` gives. It
            is not changed.
        x: Array of training examples (or a list or dict of arrays for several inputs). Some hundreds are enough.
        batch_size: Examples of one forward pass, over whose statistics the averages are taken.

    Returns:
        Keras model, or `network` itself if it has no batch normalization with moving averages.

    Raises:
        ValueError: If `x` does not fit the inputs, or `batch_size` is not positive.

    Example:

    ```python
    network = export.recalibrate(export.prune(model, complexity=0.1, sparsity=0.5), x_train[:1000])
    artifact = export.to_tflite(export.compact(network))
    ```
    """
    check_network("network", network)
    check_integer("batch_size", batch_size)
    arrays = as_input_arrays(network, x, "x")
    if not _normalizations(network):
        return network
    copy = keras.models.clone_model(network)
    copy.set_weights(network.get_weights())
    freeze_alike(copy, network)
    finalize_normalization(copy)
    structure = copy.inputs if isinstance(copy, keras.Sequential) else copy._inputs_struct
    normalizations = _normalizations(copy)
    momenta = [layer.momentum for layer in normalizations]
    with _without_dropout(copy):
        # A last batch that is small would count as much as a full one.
        for i, start in enumerate(range(0, max(len(arrays[0]) // batch_size, 1) * batch_size, batch_size)):
            for layer in normalizations:
                layer.momentum = i / (i + 1)  # the mean over the batches so far
            batch = [keras.ops.convert_to_tensor(array[start : start + batch_size]) for array in arrays]
            _measure(copy, batch[0] if len(batch) == 1 else keras.tree.pack_sequence_as(structure, batch))
    for layer, momentum in zip(normalizations, momenta, strict=True):
        layer.momentum = momentum
    return copy


def _normalizations(model):
    # Frozen ones do not move, in training or here.
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    return [layer for layer in layers if layer.trainable]


def _measure(model, inputs):
    """Runs a model with batch normalization in training, and what has none of it not: dropout, noise, augmentation."""
    functional = as_functional(model)
    if functional is None:  # its calls of layers are not known
        return model(inputs, training=bool(_normalizations(model)))

    def call(operation, *args, **kwargs):
        if isinstance(operation, keras.Sequential | keras.Function):
            return _measure(operation, *args)
        if isinstance(operation, keras.layers.Layer):  # which hands it on to layers of its own, if it takes it or not
            kwargs["training"] = bool(_normalizations(operation))
        return operation(*args, **kwargs)

    # Not by a call of the model, which hands one `training` to all of its layers.
    return functional._run_through_graph(inputs, operation_fn=lambda operation: functools.partial(call, operation))


@contextlib.contextmanager
def _without_dropout(model):
    noisy = [layer for layer in model._flatten_layers() if isinstance(getattr(layer, "rate", None), float | np.number)]
    rates = [layer.rate for layer in noisy]
    for layer in noisy:
        layer.rate = 0.0
    try:
        yield
    finally:
        for layer, rate in zip(noisy, rates, strict=True):
            layer.rate = rate
