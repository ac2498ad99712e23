"""Training that can be watched: what the model is worth at several complexities, for TensorBoard.

```python
board = cvhn_tf.callbacks.ComplexityBoard("logs", (x_test, y_test))
model.fit(x, y, epochs=60, callbacks=[board])  # then: tensorboard --logdir logs
```
"""

import importlib.util
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cvhn_tf.checks.arguments import check_integer


class EveryFewEpochs(keras.callbacks.Callback):
    """Base class: a subclass gives `write`, which is called every few epochs and after the last one.

    Args:
        frequency: Number of epochs from one writing to the next.

    Raises:
        ValueError: If `frequency` is no positive integer.
    """

    def __init__(self, frequency: int) -> None:
        super().__init__()
        self.frequency = check_integer("frequency", frequency)
        self._unwritten: int | None = None

    def write(self, epoch: int) -> None:
        """Writes what the model is after an epoch; the first is 0."""
        raise NotImplementedError

    def on_epoch_end(self, epoch, logs=None):
        self._unwritten = epoch
        if (epoch + 1) % self.frequency == 0:
            self._write_once()

    def on_train_end(self, logs=None):
        self._write_once()  # of a training that was stopped too

    def _write_once(self):
        if self._unwritten is not None:
            self.write(self._unwritten)
            self._unwritten = None


class ComplexityBoard(EveryFewEpochs):
    """Writes TensorBoard scalars and histograms at some complexities, each as a run of its own.

    A run `complexity_<λ>` has, at each epoch that counts:

    - what `evaluate` gives at this λ: `loss`, `nll`, `kl_bits`, and the metrics that the model was compiled with,
    - `snr_above_1/all` and `snr_above_1/<weight>`: the share of the weights with SNR = |mean| / stddev > 1,
    - histograms `mean/<weight>` and `log10_snr/<weight>`.

    Weights without noise (prior `"l2"`) have no SNR, so their runs have none either. Of several workers each needs
    the callback, since they evaluate together, and a folder of its own.

    Args:
        log_dir: Folder for the runs.
        data: Pair of arrays (x, y), or a `tf.data.Dataset` of batches, to evaluate on.
        complexities: λs; by default both ends of the model's range and its default complexity, where the loss is the
            evidence lower bound.
        frequency: Number of epochs from one writing to the next; the last epoch of a training is always written.
        batch_size: Examples per step of the evaluation; counts for arrays.

    Raises:
        ValueError: If `data` is neither, or `frequency` is no positive integer; when the training begins, if a
            complexity is not in the model's range.
        ImportError: If TensorBoard is not installed, without which TensorFlow writes no summaries.
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        data: tuple[Any, Any] | tf.data.Dataset,
        complexities: Sequence[float] | None = None,
        frequency: int = 1,
        batch_size: int = 256,
    ) -> None:
        super().__init__(frequency)
        if importlib.util.find_spec("tensorboard") is None:
            raise ImportError("Expected TensorBoard to be installed: pip install 'cvhn-tf[tensorboard]'")
        if not isinstance(data, tf.data.Dataset) and not (isinstance(data, tuple | list) and len(data) == 2):
            raise ValueError(f"Expected `data` to be a pair (x, y) or a tf.data.Dataset. Received: data={type(data)}")
        self.log_dir = pathlib.Path(log_dir)
        self.data, self.complexities, self.batch_size = data, complexities, batch_size
        self._writers: dict[str, Any] = {}

    def on_train_begin(self, logs=None):
        bounds = self.model.complexity_range
        chosen = (
            (bounds.low, bounds.default_complexity, bounds.high) if self.complexities is None else self.complexities
        )
        checked = [bounds.check(complexity, "complexities") for complexity in chosen]
        self._writers = {
            complexity: tf.summary.create_file_writer(str(self.log_dir / f"complexity_{complexity:g}"))
            for complexity in checked
        }

    def write(self, epoch: int) -> None:
        """Writes scalars and histograms of each complexity."""
        for complexity, writer in self._writers.items():
            figures = self._evaluate(complexity)
            with writer.as_default(step=epoch + 1):
                for name, value in figures.items():
                    tf.summary.scalar(name, value)
                _write_posterior(self.model.posterior(complexity))
            writer.flush()

    def on_train_end(self, logs=None):
        super().on_train_end(logs)
        for writer in self._writers.values():
            writer.close()

    def _evaluate(self, complexity):
        before = self.model.complexity
        self.model.complexity = complexity
        try:
            if isinstance(self.data, tf.data.Dataset):
                figures = self.model.evaluate(self.data, verbose=0, return_dict=True)
            else:
                x, y = self.data
                figures = self.model.evaluate(x, y, batch_size=self.batch_size, verbose=0, return_dict=True)
        finally:
            self.model.complexity = before
        return {name: value for name, value in figures.items() if name != "complexity"}


def _write_posterior(posterior):
    certain = weights = 0
    for path, distribution in posterior.items():
        mean, stddev = np.asarray(distribution.mean()), np.asarray(distribution.stddev())
        tf.summary.histogram(f"mean/{path}", mean)
        if not stddev.all():
            continue
        snr = np.abs(mean) / stddev
        # A mean of exactly zero has no logarithm.
        tf.summary.histogram(f"log10_snr/{path}", np.log10(np.maximum(snr, np.finfo("float32").tiny)))
        tf.summary.scalar(f"snr_above_1/{path}", np.mean(snr > 1))
        certain, weights = certain + np.sum(snr > 1), weights + snr.size
    if weights:
        tf.summary.scalar("snr_above_1/all", certain / weights)
