"""A metric or a loss of Keras's as a number that files are compared by."""

import math
import re

import keras
import numpy as np

from cvhn_tf.checks.arrays import as_input_arrays
from cvhn_tf.checks.errors import with_cause
from cvhn_tf.export.evaluation.keras_outputs import BATCH, all_outputs
from cvhn_tf.export.evaluation.labelled_examples import as_pair, check_lengths
from cvhn_tf.export.evaluation.metric import Metric
from cvhn_tf.training.data import check_finite, check_labels

# Those of Keras's whose labels have another shape than the outputs, by parts of their names.
_LABELS_OF_ANOTHER_SHAPE = ("sparse", "iou", "ctc", "circle")


class KerasMetric(Metric):
    """A metric or a loss of Keras's; of several outputs, the sum over those that have one.

    Args:
        judges: Dict from the outputs, by name or place, to `keras.metrics.Metric` or functions of labels and outputs;
            from None where there is one for a single output.
        names: Dict from the same to what these are called.
        direction: As in `Metric`.
        count: Number of outputs, where it is known.
        is_bound: Whether the outputs are those of a network, by their places.
    """

    def __init__(self, judges, names, direction, count=None, is_bound=False):
        super().__init__("+".join(names.values()), direction)
        self._judges, self._names, self._count, self._is_bound = judges, names, count, is_bound

    def for_outputs(self, names):
        if self._is_bound and self._count == len(names):
            return self
        keys = list(range(len(names))) if self._count == len(names) else list(names)
        keys = [None] if len(names) == 1 and None in self._judges else keys
        if self._is_bound or not set(self._judges) <= set(keys):
            raise ValueError(
                f"Expected `metric` for a network of {len(names)} outputs, {list(names)}: of one output a metric; of "
                "several a list in their order, None for those that do not count, or a dict by their names. "
                f"Received: metric for {_described(self._judges, self._count)}"
            )
        places = {keys.index(key): key for key in sorted(self._judges, key=keys.index)}
        told = {i: self._names[key] for i, key in places.items()}
        if len(names) > 1:  # as Keras calls them in the history of a training
            told = {i: f"{tidy(names[i])}_{name}" for i, name in told.items()}
        judges = {i: self._judges[key] for i, key in places.items()}
        return KerasMetric(judges, told, self.direction, len(names), is_bound=True)

    def examples(self, network, data):
        x, y = as_pair(data)
        arrays = as_input_arrays(network, x, "data")
        labels = self.labels("data", y, output_names(network))
        check_lengths("`data`", arrays, labels)
        x = arrays if len(arrays) > 1 else arrays[0]
        outputs = all_outputs(network, x)
        self.check_classes("data", outputs, labels)
        value = self.value(outputs, labels)  # of all: a function may not know what to do with a few
        if math.isnan(value):
            raise ValueError(
                f"Expected `metric` to give a number for the labels in `data`. Received: metric={self.name!r}, NaN "
                f"for outputs of shapes {[('examples', *output.shape[1:]) for output in outputs]}"
            )
        return x, labels

    def labels(self, name, y, names):
        """The labels of a single output; of several a list, with None for those that have no metric.

        Args:
            name: Name of the user's argument.
            y: What was given: an array; of several outputs, a list of arrays in their order or a dict by their names.
            names: Names of the outputs.

        Raises:
            ValueError: If there are none for an output that needs them, or they are no finite numbers.
        """
        if len(names) == 1 and not isinstance(y, dict):
            y = [y]
        elif isinstance(y, dict) and all(names[i] in y for i in self._judges):
            y = [y.get(each) for each in names]
        elif not isinstance(y, list | tuple) or len(y) != len(names):
            given = f"for {list(y)}" if isinstance(y, dict) else f"as {type(y).__name__}"
            raise ValueError(
                f"Expected the labels in `{name}` as a list, in the order of the outputs {list(names)}, or as a dict "
                f"by their names. Received: labels {given}"
            )
        arrays = [_as_label_array(name, labels) if i in self._judges else None for i, labels in enumerate(y)]
        return arrays if len(names) > 1 else arrays[0]

    def check_classes(self, name, outputs, labels):
        """Raises a `ValueError` if labels that are to be classes are none that outputs have.

        Args:
            name: Name of the user's argument with the labels.
            outputs: Arrays in the order of the network's outputs.
            labels: As `labels` gives them.
        """
        labels = _as_list(labels)
        for i, judge in self._judges.items():
            if _is_of_classes(judge) and outputs[i].ndim > 1:
                check_labels(name, labels[i], outputs[i].shape[-1])

    def value(self, outputs, labels):
        labels = _as_list(labels)
        return sum(
            _value(judge, self._names[i], _of_equal_rank(labels[i], outputs[i]), outputs[i])
            for i, judge in self._judges.items()
        )


def output_names(network) -> list[str]:
    """What a user calls the outputs of a network, in the order in which Keras has them."""
    if isinstance(network, keras.Sequential):
        return [network.layers[-1].name]
    structure = getattr(network, "_outputs_struct", None)
    if isinstance(structure, dict) and len(structure) == len(network.outputs):
        return keras.tree.flatten({name: name for name in structure})
    return list(network.output_names)


def _as_list(labels):
    return labels if isinstance(labels, list) else [labels]


def tidy(name):
    """A name that any table can have."""
    return re.sub(r"\W+", "_", str(name)).strip("_") or "metric"


def made_of(judge):
    """The function behind a metric or a loss that wraps one, else itself."""
    return getattr(judge, "_fn", None) or getattr(judge, "fn", None) or judge


def kind(judge):
    """What Keras calls the function or the class, whatever name a user has given to the object."""
    function = made_of(judge)
    return getattr(function, "__name__", type(function).__name__)


def _as_label_array(name, labels):
    array = np.asarray(labels)
    if array.ndim == 0 or array.dtype.kind not in "buif":
        raise ValueError(
            f"Expected the labels in `{name}` to be an array of numbers. "
            f"Received: labels of shape {array.shape}, dtype {array.dtype}"
        )
    check_finite(name, array)
    return array.astype(keras.backend.floatx())  # as Keras hands them to metrics and losses


def _of_equal_rank(labels, outputs):
    """Labels with the last axis of one if outputs have it: two shapes would make a table of all pairs of them."""
    if labels.ndim == outputs.ndim - 1 and outputs.shape[-1] == 1:
        return labels[..., None]
    return labels[..., 0] if labels.ndim == outputs.ndim + 1 and labels.shape[-1] == 1 else labels


def _is_of_keras(judge):
    return (getattr(made_of(judge), "__module__", None) or "").startswith("keras.")


def _is_of_classes(judge):
    """Whether all labels are to be classes that outputs have."""
    if not _is_of_keras(judge) or "sparse" not in kind(judge).lower():
        return False
    return not isinstance(judge, keras.losses.Loss) or judge.get_config().get("ignore_class") is None


def _takes_another_shape(judge):
    """Whether labels may be of another shape than outputs."""
    of_one_hot = getattr(judge, "sparse_y_true", True) is False  # a mean IoU, which would take the largest example
    return not of_one_hot and any(part in kind(judge).lower() for part in _LABELS_OF_ANOTHER_SHAPE)


def _value(judge, name, labels, outputs) -> float:
    shapes = f"labels of shape {('examples', *labels.shape[1:])}, outputs of shape {('examples', *outputs.shape[1:])}"
    expected = f"Expected `metric` to give one number for labels and outputs. Received: metric={name!r}, {shapes}"
    if _is_of_keras(judge) and labels.shape != outputs.shape and not _takes_another_shape(judge):
        raise ValueError(f"{expected}, of which it would compare all with all")
    try:
        result = _run(judge, labels, outputs)
    except Exception as error:  # a user's function may raise any
        raise ValueError(f"{expected} ({with_cause(error)})") from error
    if result.size != 1 or result.dtype.kind not in "buif":
        raise ValueError(f"{expected}, result of shape {result.shape}, dtype {result.dtype}")
    return float(result.item())


def _run(judge, labels, outputs):
    if keras.backend.is_float_dtype(outputs.dtype.name):  # of 16 bits in mixed precision, in which no user's labels are
        outputs = outputs.astype(keras.backend.floatx())
    if not isinstance(judge, keras.metrics.Metric):
        result = judge(keras.ops.convert_to_tensor(labels), keras.ops.convert_to_tensor(outputs))
        result = np.asarray(keras.ops.convert_to_numpy(result))
        return result.astype("float64").mean(keepdims=True) if result.dtype.kind in "buif" else result
    judge.reset_state()
    # One of a function takes the mean of what that gives for batches, large or small: so it gets all at once as well.
    size = len(labels) if isinstance(judge, keras.metrics.MeanMetricWrapper) else BATCH
    for i in range(0, len(labels), size):
        judge.update_state(labels[i : i + size], outputs[i : i + size])
    result = np.asarray(keras.ops.convert_to_numpy(judge.result()))
    judge.reset_state()
    return result


def _described(judges, count):
    if None in judges:
        return "one output"
    return f"{count} outputs" if count is not None else f"the outputs {list(judges)}"
