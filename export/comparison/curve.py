"""A callback that draws the size-accuracy curve while a model trains."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from cvhn_tf.callbacks import EveryFewEpochs
from cvhn_tf.export.comparison.compare import compare
from cvhn_tf.export.evaluation.as_metric import as_metric
from cvhn_tf.export.evaluation.labelled_examples import as_arrays, as_pair
from cvhn_tf.export.evaluation.metric import ACCURACY


class SizeAccuracyCurve(EveryFewEpochs):
    """Exports and measures at some complexities every few epochs, and draws accuracy, or another metric, against size.

    Writes `epoch-<number>.png` and `epoch-<number>.csv` to a folder, as `compare` has them, after every `frequency`
    epochs and after the last. A file takes about a second.

    Args:
        folder: Folder to write to; made if it is missing.
        data: As in `cvhn_tf.export.compare`.
        frequency: Number of epochs from one curve to the next.
        complexities: λs; by default three over the model's range, evenly spaced in log λ.
        sparsities: Shares of pruned weights, each in [0, 1).
        **compare_arguments: Further arguments of `cvhn_tf.export.compare`.

    Raises:
        ValueError: If `frequency` is no positive integer, `data` are no examples with labels, of classes unless there
            is another metric, or the metric is none.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        data: tuple[Any, Any] | tf.data.Dataset,
        frequency: int = 10,
        complexities: Sequence[float] | None = None,
        sparsities: Sequence[float] = (0.5, 0.9, 0.98),
        **compare_arguments: Any,
    ) -> None:
        super().__init__(frequency)
        given = {name: compare_arguments[name] for name in ("metric", "direction") if name in compare_arguments}
        metric = as_metric(**given)
        self.folder, self.data = pathlib.Path(folder), as_arrays(data) if metric is ACCURACY else as_pair(data)
        self.complexities, self.sparsities, self.compare_arguments = complexities, sparsities, compare_arguments

    def on_train_begin(self, logs=None):
        self.complexities = self.model.complexity_range.grid_or(self.complexities, count=3)
        self.folder.mkdir(parents=True, exist_ok=True)

    def write(self, epoch: int) -> None:
        """Writes the table and the picture."""
        comparison = compare(
            self.model,
            self.data,
            complexities=self.complexities,
            sparsities=self.sparsities,
            **{"quantizations": ("dynamic_range",), **self.compare_arguments},
        )
        name = f"epoch-{epoch + 1:0{len(str(self.params['epochs']))}d}"
        comparison.to_csv(self.folder / f"{name}.csv")
        if comparison.rows:
            comparison.plot(self.folder / f"{name}.png")
