"""The work of `train`: a hypernetwork of a named target, on disk from its first epoch on."""

import hashlib

import keras
import tensorflow as tf

import cvhn_tf
from cvhn_tf import targets
from cvhn_tf.complexity.description import describe_rise
from cvhn_tf.training.resumption import Terminated
from cvhn_tf.workers import is_chief
from cvhn_tf_cli.terminal import make_table, progress, show
from cvhn_tf_cli.work.export import accuracy_of, dense_accuracy
from cvhn_tf_cli.work.saving import save_atomically

# What the other workers get when one is gone.
_WORKER_LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
)


def train(
    dataset,
    target,
    output,
    *,
    epochs,
    batch_size,
    seed,
    complexity_range,
    learning_rate=None,
    quiet=False,
    strategy=None,
    restart=False,
    **hypernetwork,
):
    """Trains with the default optimizer and a progress bar, and writes the model to `output`.

    `target` is a name of `targets`, or a trained network to start from.

    Until it is complete, the model as far as it has come lies beside `output`, as `….partial.keras`. It holds the
    optimizer too, and stays there if the run is stopped: the same call goes on from it, unless it is to `restart`.
    `quiet` shows no progress.

    Returns:
        The model, under `strategy`. Of several workers, only the chief has written it.
    """
    # Layer names count up within a process, and weight noise is seeded by them.
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    pretrained = not isinstance(target, str)
    strategy = strategy or tf.distribute.get_strategy()
    steps = -(-len(dataset.x_train) // batch_size)
    with strategy.scope():
        model = cvhn_tf.VariationalHypernetwork(
            target if pretrained else targets.get(target, dataset.input_shape, dataset.num_classes),
            pretrained=pretrained,
            complexity_range=complexity_range,
            train_size=len(dataset.x_train),
            seed=seed,
            **hypernetwork,
        )
        model.compile(
            cvhn_tf.default_optimizer(epochs * steps, learning_rate, pretrained=pretrained),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
    run = {
        "dataset": dataset.name,
        "data": _checksum(dataset.x_train, dataset.y_train),
        "target": _checksum(*target.get_weights()) if pretrained else target,
        "epochs": epochs,
        "batch_size": batch_size,
        "complexity_range": complexity_range,
        "learning_rate": learning_rate,
        "seed": seed,
        **{name: hypernetwork[name] for name in ("structure_cost", "price", "budget") if name in hypernetwork},
    }
    backup = cvhn_tf.Backup(output.with_name(f"{output.stem}.partial{output.suffix}"), run)
    if restart and is_chief(strategy):
        backup.path.unlink(missing_ok=True)
    first_epoch = _restore(backup, model, quiet)
    arrays = (dataset.x_train, dataset.y_train)
    batches = cvhn_tf.shuffled_batches(arrays, batch_size, seed=seed, first_epoch=first_epoch)
    trained_on = f"Training {target.name if pretrained else target} on {dataset.name}"
    with progress(trained_on, epochs, "epochs", shown=is_chief(strategy) and not quiet) as advance:
        try:
            model.fit(
                batches,
                steps_per_epoch=steps,
                initial_epoch=first_epoch,
                epochs=epochs,
                shuffle=False,  # they come shuffled
                verbose=0,
                callbacks=[_Progress(advance), backup],
            )
        except KeyboardInterrupt:
            raise KeyboardInterrupt(_describe(backup, epochs)) from None
        except _WORKER_LOST as error:
            if strategy.num_replicas_in_sync == 1:
                raise
            raise RuntimeError(
                "Another worker was lost. Start all of them again with the same command, to go on from the chief's "
                f"backup. ({type(error).__name__})"
            ) from error
        except Terminated:
            if is_chief(strategy):
                show(f"Terminated. {_describe(backup, epochs)}")
            raise
    if is_chief(strategy):
        save_atomically(model, output)
    backup.remove()
    return model


def _restore(backup, model, quiet):
    try:
        first_epoch = backup.restore(model)
    except ValueError as error:
        raise ValueError(f"{error}. `--restart` begins anew") from error
    if first_epoch and not quiet and is_chief(model.distribute_strategy):
        show(f"Going on from {backup.path}, after {first_epoch} epochs; --restart would begin anew")
    return first_epoch


def _describe(backup, epochs):
    if not backup.saved_epochs:
        return "No epoch was complete"
    return (
        f"The model after {backup.saved_epochs} of {epochs} epochs is {backup.path}; the same command goes on from it"
    )


def _checksum(*arrays):
    checksum = hashlib.blake2b(digest_size=8)
    for array in arrays:
        checksum.update(array.tobytes())
    return checksum.hexdigest()


def show_complexities(model, dataset, trained=None):
    """Prints accuracy and description length at both ends of the complexity range and in its middle.

    Above them that of the `trained` network, if the model was made from one.
    """
    complexity_range = model.complexity_range
    table = make_table(f"{dataset.name}, all weights kept", "complexity", "description length in bits", "test accuracy")
    if trained is not None:
        table.add_row("as it was", "", f"{accuracy_of(trained, dataset):.4f}")
    lengths = {}
    for complexity in (complexity_range.low, complexity_range.default_complexity, complexity_range.high):
        accuracy = dense_accuracy(model, complexity, dataset)
        lengths[complexity] = model.description_length(complexity)
        table.add_row(f"{complexity:g}", f"{lengths[complexity]:,.0f}", f"{accuracy:.4f}")
    show(table)
    if rise := describe_rise(lengths):
        show(rise)


class _Progress(keras.callbacks.Callback):
    """Tells the progress bar of each step, and of the figures of each epoch."""

    def __init__(self, advance):
        super().__init__()
        self._advance = advance
        self._epoch, self._figures = 0, ""

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        steps = self.params["steps"]
        if steps and batch + 1 < steps:  # the epoch's last step is reported with its figures
            self._advance(self._epoch + (batch + 1) / steps, self._figures)

    def on_epoch_end(self, epoch, logs=None):
        self._figures = f"loss {logs['loss']:.3f}  accuracy {logs['accuracy']:.3f}  kl_bits {logs['kl_bits']:,.0f}"
        self._advance(epoch + 1, self._figures)
