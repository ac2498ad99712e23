"""A training that was killed goes on from its last backup, and ends where it would have ended."""

import json
import os
import pathlib
import signal
import threading
import time
import zipfile
import zlib
from typing import Any

import keras

from cvhn_tf.checks.finite_weights import first_non_finite
from cvhn_tf.files.archive import check_archive
from cvhn_tf.files.atomic import remove_leftovers, replacing
from cvhn_tf.training.tracing import build_optimizer
from cvhn_tf.workers import any_worker, is_chief, of_chief

_RECORD = "run.json"


class Terminated(SystemExit):
    """SIGTERM came; the training has stopped after an epoch and is backed up. Exit code 143, as by the signal."""

    def __init__(self):
        super().__init__(128 + signal.SIGTERM)


class NonFiniteWeights(RuntimeError):
    """Training has made a weight NaN or infinite, after which it can only go on to nothing."""


class Backup(keras.callbacks.Callback):
    """Saves a training at the end of epochs, for `restore` to go on from.

    ```python
    backup = cvhn_tf.Backup("model.partial.keras", run={"learning_rate": 3e-3, "batch_size": 64})
    first_epoch = backup.restore(model)
    batches = cvhn_tf.shuffled_batches((x, y), 64, seed=0, first_epoch=first_epoch)
    model.fit(batches, steps_per_epoch=steps, initial_epoch=first_epoch, epochs=10, callbacks=[backup])
    model.save("model.keras")
    backup.remove()
    ```

    The backup is a `.keras` file that loads as any other. It holds weights, optimizer, the position in the warm-up and
    in the sequences of λ and noise, the states of the layers' random generators, and the number of the epoch. It is
    written whole or not at all, by the chief worker alone; the others get what it has read. The first epoch is saved,
    and then as many as takes a twentieth of the time.

    SIGTERM, to any worker, lets the epoch come to its end, which is saved; then `fit` raises `Terminated` on all of
    them, so that this callback should be the last one. A second SIGTERM ends the process at once.

    Args:
        path: File of the backup, ending in .keras.
        run: Dict of what the result depends on, as JSON can hold it. A backup of another run is refused.

    Raises:
        ValueError: If `path` does not end in .keras, or JSON cannot hold `run`.
        NonFiniteWeights: By `fit`, if a weight is NaN or infinite after an epoch, which then is not saved: the backup
            stays that of an epoch before.
        FileNotFoundError: When training begins, if the folder of `path` is missing.
    """

    def __init__(self, path: str | os.PathLike[str], run: dict[str, Any] | None = None) -> None:
        super().__init__()
        if not isinstance(path, str | os.PathLike) or pathlib.Path(path).suffix != ".keras":
            raise ValueError(f"Expected `path` to be that of a file ending in .keras. Received: path={path!r}")
        self.path = pathlib.Path(path)
        try:
            self.run = json.loads(json.dumps(run or {}))
        except (TypeError, ValueError) as error:
            raise ValueError(f"Expected `run` to hold what JSON can hold. Received: run={run!r} ({error})") from error
        self.saved_epochs = 0
        self._due = 0.0
        self._sigterm = self._handler = None
        self._is_terminated = False
        self._divergence = None
        self._strategy = None

    def restore(self, model: keras.Model) -> int:
        """Sets a compiled model to the backup, if there is one. All workers must call it.

        Returns:
            How many epochs the model has been trained for: 0 where there is no backup.

        Raises:
            ValueError: If the backup is of another run or none that can be read, or `run` is not the same on all
                workers.
        """
        if not getattr(model, "compiled", False):
            raise ValueError(f"Expected `model` to be compiled. Received: model={model!r}, which is not")
        strategy = self._strategy = model.distribute_strategy
        digest = zlib.crc32(json.dumps(self.run, sort_keys=True).encode()) >> 1  # fits int32
        if any_worker(strategy, digest != of_chief(strategy, digest)):
            raise ValueError(f"Expected the same `run` on all workers. Received: run={self.run}, and another elsewhere")
        with strategy.scope():
            build_optimizer(model)  # by all workers: new variables are a message too
        problem = None
        if is_chief(strategy):
            remove_leftovers(self.path)
            try:
                self.saved_epochs = self._load(model)
            except ValueError as error:
                problem = error
        # The other workers must not wait for a chief that has gone.
        self.saved_epochs = int(of_chief(strategy, -1 if problem else self.saved_epochs))
        if problem:
            raise problem
        if self.saved_epochs < 0:
            raise ValueError("Expected a backup to go on from. Received: what the chief's error says")
        if self.saved_epochs:
            for variable in [*model.weights, *_random_states(model), *model.optimizer.variables]:
                variable.assign(of_chief(strategy, variable.numpy()))
        return self.saved_epochs

    def remove(self) -> None:
        """Removes the backup, once the result of the training is safe. Goes behind `restore` or `fit`."""
        if is_chief(self._strategy if self.model is None else self.model.distribute_strategy):
            self.path.unlink(missing_ok=True)

    def on_train_begin(self, logs=None):
        if is_chief(self.model.distribute_strategy) and not self.path.parent.is_dir():
            raise FileNotFoundError(f"Expected `path` in a folder that exists. Received: path={str(self.path)!r}")
        self._sigterm = threading.Event()
        if threading.current_thread() is threading.main_thread():

            def stop(number, frame):
                self._sigterm.set()
                signal.signal(signal.SIGTERM, signal.SIG_DFL)

            self._handler = signal.signal(signal.SIGTERM, stop)

    def on_epoch_end(self, epoch, logs=None):
        self._is_terminated = any_worker(self.model.distribute_strategy, self._sigterm.is_set())
        self._divergence = self._find_divergence(epoch)
        if self._divergence:
            self.model.stop_training = True
            return
        is_due = self._is_terminated or time.monotonic() >= self._due
        if is_due and is_chief(self.model.distribute_strategy):
            self._save(epoch + 1)
        if self._is_terminated:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        if self._handler is not None:
            signal.signal(signal.SIGTERM, self._handler)
        if self._divergence:
            raise NonFiniteWeights(self._divergence)
        if self._is_terminated:
            raise Terminated

    def _find_divergence(self, epoch):
        """Says which weight is not finite. Replicas hold the same ones, so that all workers come to the same end."""
        path = first_non_finite(self.model.trainable_variables)
        if path is None:
            return None
        step = int(self.model.optimizer.iterations.numpy())
        kept = f"The backup of epoch {self.saved_epochs} stays" if self.saved_epochs else "There is no backup"
        return (
            f"Training has diverged: {path!r} holds NaN or infinity after epoch {epoch + 1}, step {step}. "
            f"A smaller learning rate may help. {kept}: {str(self.path)!r}"
        )

    def _save(self, epochs):
        start = time.monotonic()
        record = {
            "epochs": epochs,
            "run": self.run,
            "random_states": [state.numpy().tolist() for state in _random_states(self.model)],
        }
        with replacing(self.path) as temporary:
            self.model.save(temporary)
            with zipfile.ZipFile(temporary, "a") as archive:
                archive.writestr(_RECORD, json.dumps(record))
        self.saved_epochs = epochs
        end = time.monotonic()
        self._due = end + 20 * (end - start)

    def _load(self, model):
        if not self.path.exists():
            return 0
        try:
            check_archive(self.path)
            with zipfile.ZipFile(self.path) as archive:
                record = json.loads(archive.read(_RECORD))
            saved, random_states, epochs = (record[name] for name in ("run", "random_states", "epochs"))
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise self._refusal(error) from error
        self._check_run(saved)
        try:
            model.load_weights(self.path)
            for state, value in zip(_random_states(model), random_states, strict=True):
                state.assign(value)
        except Exception as error:  # whatever broken weights make Keras and HDF5 raise
            raise self._refusal(error) from error
        return epochs

    def _refusal(self, error):
        return ValueError(f"Expected the backup of a training, or no file. Received: {str(self.path)!r} ({error})")

    def _check_run(self, saved):
        names = [name for name in {**saved, **self.run} if saved.get(name) != self.run.get(name)]
        if names:
            expected, received = (", ".join(f"{name}={run.get(name)!r}" for name in names) for run in (saved, self.run))
            raise ValueError(
                f"Expected the arguments of the unfinished training in {str(self.path)!r}: {expected}. "
                f"Received: {received}"
            )


def _random_states(model):
    """States of the layers' random generators, such as a dropout's, which Keras does not save."""
    saved = {id(variable) for variable in model.weights}
    saved |= {id(variable) for metric in model.metrics for variable in metric.variables}
    return [variable for variable in model.variables if id(variable) not in saved]
