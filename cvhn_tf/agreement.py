"""Whether a variational graph computes what its target does, tried on two examples when it is made.

A config does not hold everything: a call that was replaced, tables that were filled by hand, values that a layer
assigns. What is lost would show in no error, but in other outputs.
"""

import contextlib
import contextvars

import keras
import numpy as np
import tensorflow as tf

from cvhn_tf.structure.choices import is_choice

_EXAMPLES = 2
_FREE = 8  # size of axes whose length is not given
_TOLERANCES = {"float16": 0.05, "bfloat16": 0.3}  # of the narrowest type that a layer computes in, else 0.001

_is_granted = contextvars.ContextVar("is_granted", default=False)


@contextlib.contextmanager
def granted():
    """Within it nothing is compared: the target was made of a config itself."""
    token = _is_granted.set(True)
    try:
        yield
    finally:
        _is_granted.reset(token)


def check_agreement(target, graph, usage=None):
    """Raises a `ValueError` unless a graph gives the target's outputs, and runs in training.

    Where the target itself cannot compute random examples, nothing can be said.

    Args:
        target: Built functional or Sequential Keras model.
        graph: Its variational graph, of the inputs `[*inputs, complexity, seed]`, before it was trained.
        usage: `Usage` of a target with choices, whose graph has a structure for one input more.
    """
    if _is_granted.get():
        return
    flat = [_examples(tensor) for tensor in graph.inputs[: len(target.inputs)]]
    structure = target.inputs[0] if isinstance(target, keras.Sequential) else target._inputs_struct
    drawn = [tf.ones([1]), tf.constant([0, 0])]
    if usage is not None:
        drawn.append(tf.constant([usage.outside_a_hypernetwork()], tf.float32))
    try:
        with _as_before(_seeds(target)):
            expected = keras.tree.flatten(target(keras.tree.pack_sequence_as(structure, flat), training=False))
    except Exception:  # of any kind, since any layer may stand in a target
        return
    tolerance = max(_TOLERANCES.get(layer.compute_dtype, 1e-3) for layer in target._flatten_layers())
    with _as_before(_seeds(graph)):
        received = keras.tree.flatten(graph([*flat, *drawn], training=False)[0])
    for name, ours, theirs in zip(_names(graph), received, expected, strict=True):
        if not _agree(ours, theirs, tolerance):
            raise ValueError(
                "Expected a `target` that Keras can make again from its config. "
                f"Received: target={target.name!r}, of which the copy gives other values for output '{name}'. "
                "A layer with a `call` that was replaced, or with a state that is in no weight, is such a case."
            )
    if not tf.distribute.has_strategy() and not all(map(_is_of_keras, target._flatten_layers())):
        _run_in_training(graph, [*flat, *drawn])


def _run_in_training(graph, inputs):
    """Lets errors come now that would come in the first step, and leaves no trace of the run."""
    with _as_before(graph.non_trainable_variables):
        graph(inputs, training=True)


@contextlib.contextmanager
def _as_before(variables):
    before = [variable.numpy() for variable in variables]
    try:
        yield
    finally:
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)


def _seeds(model):
    """Where the layers of a model draw from, some of them at inference too."""
    weights = {id(weight) for weight in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]


def _is_of_keras(layer):
    """Whether its class is one whose training is known; `SpectralNormalization` assigns values to its weights."""
    return is_choice(layer) or (
        type(layer).__module__.startswith("keras.") and not isinstance(layer, keras.layers.SpectralNormalization)
    )


def _examples(tensor):
    shape = [_EXAMPLES if tensor.shape[0] is None else tensor.shape[0]]
    shape += [_FREE if size is None else size for size in tensor.shape[1:]]
    if tensor.dtype == "string":
        return tf.fill(shape, "")
    if "int" in tensor.dtype or tensor.dtype == "bool":
        values = np.ones(shape)  # an index that most tables have
    else:
        values = np.random.default_rng(0).normal(size=shape)
    if len(shape) > 1 and shape[1] > 1:
        values[-1, -1] = 0  # as a sequence that is padded
    return tf.cast(values, tensor.dtype)


def _agree(ours, theirs, tolerance):
    ours, theirs = (keras.ops.convert_to_numpy(values) for values in (ours, theirs))
    if ours.shape != theirs.shape:
        return False
    if not np.issubdtype(theirs.dtype, np.number) and theirs.dtype.name != "bfloat16":
        return np.array_equal(ours, theirs)
    ours, theirs = ours.astype("float64"), theirs.astype("float64")
    scale = np.abs(theirs[np.isfinite(theirs)]).max(initial=1e-6)
    return np.allclose(ours, theirs, rtol=tolerance, atol=tolerance * scale, equal_nan=True)


def _names(graph):
    return [tensor.name for tensor in keras.tree.flatten(graph._outputs_struct[0])]
