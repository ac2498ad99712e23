"""The work of `train`: a hypernetwork of a named target, on disk from its first epoch on."""

import time

import keras

import cvhn_tf
from cvhn_tf import targets
from cvhn_tf_cli.saving import save_atomically
from cvhn_tf_cli.terminal import make_table, progress, show


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
    **hypernetwork,
):
    """Trains with the default optimizer and a progress bar, and writes the model to `output`.

    Until it is complete, the model as far as it has come lies beside `output`, as `….partial.keras`. It holds the
    optimizer too, and stays there if the run is stopped. `quiet` shows no progress.
    """
    # Layer names count up within a process, and weight noise is seeded by them.
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    model = cvhn_tf.VariationalHypernetwork(
        targets.get(target, dataset.input_shape, dataset.num_classes),
        complexity_range=complexity_range,
        seed=seed,
        **hypernetwork,
    )
    steps = epochs * -(-len(dataset.x_train) // batch_size)
    schedule = {} if learning_rate is None else {"learning_rate": learning_rate}
    model.compile(
        cvhn_tf.default_optimizer(steps, **schedule), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    partial = _PartialModel(output.with_name(f"{output.stem}.partial{output.suffix}"))
    with progress(f"Training {target} on {dataset.name}", epochs, "epochs", shown=not quiet) as advance:
        try:
            model.fit(
                dataset.x_train,
                dataset.y_train,
                batch_size=batch_size,
                epochs=epochs,
                verbose=0,
                callbacks=[_Progress(advance), partial],
            )
        except KeyboardInterrupt:
            raise KeyboardInterrupt(partial.describe()) from None
    save_atomically(model, output)
    partial.path.unlink(missing_ok=True)
    return model


def show_complexities(model, dataset):
    """Prints accuracy and description length at both ends of the complexity range and in its middle."""
    complexity_range = model.complexity_range
    table = make_table(f"{dataset.name}, all weights kept", "complexity", "description length in bits", "test accuracy")
    for complexity in (complexity_range.low, complexity_range.default_complexity, complexity_range.high):
        outputs = model.at(complexity).predict(dataset.x_test, batch_size=1024, verbose=0)
        accuracy = (outputs.argmax(axis=-1) == dataset.y_test).mean()
        table.add_row(f"{complexity:g}", f"{model.description_length(complexity):,.0f}", f"{accuracy:.4f}")
    show(table)


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


class _PartialModel(keras.callbacks.Callback):
    """Saves the model at the end of epochs: the first, and then as often as takes a twentieth of the time at most.

    `keras.callbacks.ModelCheckpoint` writes in place: a run killed while it saves would lose the last good file.
    """

    def __init__(self, path):
        super().__init__()
        self.path = path
        self._saved_epochs = 0
        self._due = 0.0

    def on_epoch_end(self, epoch, logs=None):
        start = time.monotonic()
        if start < self._due or epoch + 1 == self.params["epochs"]:  # the last epoch is the complete model
            return
        save_atomically(self.model, self.path)
        self._saved_epochs = epoch + 1
        end = time.monotonic()
        self._due = end + 20 * (end - start)

    def describe(self):
        if not self._saved_epochs:
            return ""
        return f"The model after {self._saved_epochs} of {self.params['epochs']} epochs is {self.path}"
