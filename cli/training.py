"""The work of `train`: a hypernetwork of a named target."""

import contextlib
import os

import keras

import cvhn_tf
from cvhn_tf import targets
from cvhn_tf_cli.terminal import make_table, progress, show


def train(dataset, target, output, *, epochs, batch_size, seed, complexity_range, learning_rate=None, **hypernetwork):
    """Trains with the default optimizer and a progress bar, and writes the model to `output`."""
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
    with progress(f"Training {target} on {dataset.name}", epochs, "epochs") as advance:

        def report(epoch, logs):
            figures = f"loss {logs['loss']:.3f}  accuracy {logs['accuracy']:.3f}  kl_bits {logs['kl_bits']:,.0f}"
            advance(epoch + 1, figures)

        model.fit(
            dataset.x_train,
            dataset.y_train,
            batch_size=batch_size,
            epochs=epochs,
            verbose=0,
            callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=report)],
        )
    with _replacing(output) as path:
        model.save(path)
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


@contextlib.contextmanager
def _replacing(path):
    """Gives a temporary path beside `path`, and moves the file there once it is complete."""
    temporary = path.with_name(f".{path.stem}-{os.getpid()}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
