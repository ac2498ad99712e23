"""The `cvhn-tf` command: train once, then export or compare networks of any complexity.

TensorFlow takes seconds to import, so everything that needs it is imported inside the commands.
"""

import contextlib
import importlib.metadata
import os
import pathlib
import sys
import tempfile
import traceback
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from typer.core import TyperGroup

_DATASETS = ("digits", "mnist", "fashion_mnist", "cifar10")
_TARGETS = ("lenet_300_100", "lenet_5", "lenet_5_caffe", "mlp_50", "convnet")
_QUANTIZATIONS = {
    "float32": None,
    "none": None,
    "float16": "float16",
    "dynamic_range": "dynamic_range",
    "int8": "int8",
}
_SPARSITIES = "0,0.5,0.8,0.9,0.95,0.98,0.99"
_LONGEST_TABLE = 20
_CALIBRATION_EXAMPLES = 256


class _OneLineErrors(TyperGroup):
    """Turns what the user can mend into one line on stderr; anything else is a bug and keeps its traceback."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _fail("Interrupted.", 130)
        except ValueError as error:
            if not _is_ours(error):
                raise
            _fail(error, 2)
        except OSError as error:
            _fail(error, 1)
        except RuntimeError as error:
            if not _is_ours(error):
                raise
            _fail(error, 1)


app = typer.Typer(
    cls=_OneLineErrors,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train a network once for a whole range of complexities, then pick the one that fits.",
)

_Model = Annotated[pathlib.Path, typer.Argument(help="Model that `train` wrote.", show_default=False)]
_TrainingData = Annotated[str, typer.Option("--dataset", help=f"One of {', '.join(_DATASETS)}.")]
_BatchSize = Annotated[int, typer.Option(min=1, help="Examples per training step.")]
_Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Equal seeds give equal runs.")]


def main():
    """Entry point of the `cvhn-tf` command."""
    try:
        app()
    except KeyboardInterrupt:  # before a command began
        sys.exit(130)


def _show_version(wanted: bool):
    if wanted:
        typer.echo(f"cvhn-tf {importlib.metadata.version('cvhn-tf')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
):
    pass


@app.command()
def demo(
    output: Annotated[pathlib.Path, typer.Option(help="Folder for the model, the files and the table.")] = pathlib.Path(
        "cvhn-demo"
    ),
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 60,
    seed: _Seed = 0,
):
    """Train on scikit-learn's 8×8 digits, export at many complexities, compare. Offline, under two minutes."""
    _check_writable(output / "table.csv")
    _start_tensorflow()
    model_path = output / "model.keras"
    dataset = _load_dataset("digits")
    # 1,437 images cannot pay for more than λ = 10; two weight sets learn fastest from so few.
    model = _train(
        dataset,
        "lenet_300_100",
        epochs=epochs,
        batch_size=64,
        seed=seed,
        complexity_range=(0.01, 10.0),
        parameterization="linear",
        complexity_samples=4,
    )
    with _replacing(model_path) as path:
        model.save(path)
    _print_complexities(model, dataset)
    _compare(model, dataset, output, [0.01, 0.1, 1.0, 3.0, 10.0], [0.0, 0.9, 0.95, 0.98], [None, "dynamic_range"])
    _print(
        "Next:\n"
        f"  cvhn-tf export {model_path} --complexity 3 --sparsity 0.97 --dataset digits --output digits.tflite\n"
        "  cvhn-tf train --dataset mnist --output mnist.keras\n"
        "  cvhn-tf compare mnist.keras --dataset mnist --output report"
    )


@app.command()
def train(
    output: Annotated[pathlib.Path, typer.Option(help="File to write, ending in .keras.")] = pathlib.Path(
        "model.keras"
    ),
    dataset: _TrainingData = "digits",
    target: Annotated[str, typer.Option(help=f"One of {', '.join(_TARGETS)}.")] = "lenet_300_100",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 40,
    batch_size: _BatchSize = 256,
    complexity_range: Annotated[
        tuple[float, float], typer.Option(metavar="LOW HIGH", help="Complexities to train for, 0 < LOW < HIGH.")
    ] = (0.01, 100.0),
    learning_rate: Annotated[
        float | None, typer.Option(help="Largest learning rate; by default the schedule's own.", show_default=False)
    ] = None,
    seed: _Seed = 0,
):
    """Train a variational hypernetwork of a target network and save it."""
    _check_choice("--dataset", dataset, _DATASETS)
    _check_choice("--target", target, _TARGETS)
    if output.suffix != ".keras":
        raise ValueError(f"Expected `--output` to end in .keras. Received: --output={output}")
    if learning_rate is not None and not learning_rate > 0:
        raise ValueError(f"Expected `--learning-rate` to be positive. Received: --learning-rate={learning_rate}")
    _check_writable(output)
    _start_tensorflow()
    images = _load_dataset(dataset)
    model = _train(
        images,
        target,
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        complexity_range=complexity_range,
        learning_rate=learning_rate,
    )
    with _replacing(output) as path:
        model.save(path)
    _print_complexities(model, images)
    _print(f"Wrote {output}. Next: cvhn-tf compare {output} --dataset {dataset} --output report")


@app.command()
def export(
    model: _Model,
    complexity: Annotated[float, typer.Option(help="λ, in the range that the model was trained for.")] = 1.0,
    sparsity: Annotated[float, typer.Option(help="Share of the weights to prune, in [0, 1).")] = 0.0,
    encoding: Annotated[
        str,
        typer.Option(
            "--encoding", "--quantization", help=f"auto (the smallest file) or one of {', '.join(_QUANTIZATIONS)}."
        ),
    ] = "auto",
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Data set to measure the file on, and to calibrate int8 with: " + ", ".join(_DATASETS) + ".",
            show_default=False,
        ),
    ] = None,
    output: Annotated[pathlib.Path, typer.Option(help="File to write.")] = pathlib.Path("model.tflite"),
):
    """Write the TFLite file of the network at one complexity."""
    _check_choice("--encoding", encoding, ("auto", *_QUANTIZATIONS))
    _check_sparsity("--sparsity", sparsity)
    if dataset is not None:
        _check_choice("--dataset", dataset, _DATASETS)
    elif encoding == "int8":
        raise ValueError(
            "Expected `--dataset`, whose images calibrate int8, with `--encoding int8`. Received: no --dataset"
        )
    _check_writable(output)
    hypernetwork = _load_model(model)
    hypernetwork.complexity_range.check(complexity)
    images = dataset and _load_dataset(dataset, hypernetwork)

    from cvhn_tf import export as stages

    calibration = images and images.x_train[:_CALIBRATION_EXAMPLES]
    network = stages.compact(stages.prune(hypernetwork, complexity, sparsity=sparsity))
    if encoding == "auto":
        artifact = stages.smallest(network, representative_data=calibration)
    else:
        artifact = stages.to_tflite(network, quantization=_QUANTIZATIONS[encoding], representative_data=calibration)
    artifact.save(output)

    table = _table(f"{output}", "", "")
    table.add_row("size_bytes", f"{artifact.size_bytes:,}")
    table.add_row("gzip_bytes", f"{artifact.gzip_bytes:,}")
    table.add_row("complexity", f"{complexity:g}")
    table.add_row("description length", f"{hypernetwork.description_length(complexity):,.0f} bits before pruning")
    table.add_row("sparsity", f"{sparsity:g}")
    table.add_row("encoding", _encoding(artifact))
    if images:
        measured = stages.evaluate_tflite(artifact, images.x_test, images.y_test)
        table.add_row("test accuracy", f"{measured.accuracy:.4f}")
        table.add_row("latency", f"{measured.latency_ms:.4f} ms")
    _print(table)


@app.command()
def compare(
    model: _Model,
    dataset: _TrainingData = "digits",
    output: Annotated[pathlib.Path, typer.Option(help="Folder for the tables, the plot and the files.")] = pathlib.Path(
        "report"
    ),
    complexities: Annotated[
        str | None,
        typer.Option(help="λs, separated by commas; by default five over the model's range.", show_default=False),
    ] = None,
    sparsities: Annotated[str, typer.Option(help="Shares of weights to prune, separated by commas.")] = _SPARSITIES,
    encodings: Annotated[
        str, typer.Option(help=f"Separated by commas, of {', '.join(_QUANTIZATIONS)}.")
    ] = "float32,dynamic_range",
):
    """Export at many complexities, sparsities and encodings; measure every file; mark the best trade-offs."""
    _check_choice("--dataset", dataset, _DATASETS)
    parsed_sparsities = _parse_numbers("--sparsities", sparsities)
    for sparsity in parsed_sparsities:
        _check_sparsity("--sparsities", sparsity)
    parsed_complexities = complexities and _parse_numbers("--complexities", complexities)
    names = encodings.split(",")
    for name in names:
        _check_choice("--encodings", name, _QUANTIZATIONS)
    _check_writable(output / "table.csv")
    hypernetwork = _load_model(model)
    if parsed_complexities:
        for complexity in parsed_complexities:
            hypernetwork.complexity_range.check(complexity)
    else:
        parsed_complexities = hypernetwork.complexity_range.grid(5)
    images = _load_dataset(dataset, hypernetwork)
    quantizations = list(dict.fromkeys(_QUANTIZATIONS[name] for name in names))
    _compare(hypernetwork, images, output, parsed_complexities, parsed_sparsities, quantizations)


def _train(dataset, target, *, epochs, batch_size, seed, complexity_range, learning_rate=None, **hypernetwork):
    """Trains a hypernetwork of the named target with the default optimizer and a progress bar."""
    import keras

    import cvhn_tf
    from cvhn_tf import targets

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
    with _progress(f"Training {target} on {dataset.name}", epochs, "epochs") as advance:

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
    return model


def _compare(model, dataset, folder, complexities, sparsities, quantizations):
    """Compares, then writes and prints what came of it."""
    from cvhn_tf import export as stages

    with _progress("Exporting and measuring", 1, "files") as advance:
        comparison = stages.compare(
            model,
            (dataset.x_test, dataset.y_test),
            complexities=complexities,
            sparsities=sparsities,
            quantizations=quantizations,
            representative_data=dataset.x_train[:_CALIBRATION_EXAMPLES],
            progress=lambda done, total, *_: advance(done, "", total),
        )
    if not comparison.rows:
        raise stages.ConversionError(f"None of the files works in LiteRT: {comparison.skipped[0].reason}")
    comparison.to_csv(folder / "table.csv")
    comparison.to_json(folder / "table.json")
    comparison.to_markdown(folder / "table.md")
    comparison.plot(folder / "plot.png")
    for stale in folder.glob("complexity-*_sparsity-*_*.tflite"):
        stale.unlink()
    kept = _rows_to_keep(comparison.rows)
    for row in kept:
        comparison.artifact_of(row).save(folder / _file_name(row))
    _print_comparison(comparison, kept, folder)


def _rows_to_keep(rows):
    """The Pareto front, and for each complexity the smallest file within one percentage point of its best."""
    kept = [row for row in rows if row.pareto]
    for complexity in dict.fromkeys(row.complexity for row in rows):
        same = [row for row in rows if row.complexity == complexity]
        good = max(row.accuracy for row in same) - 0.01
        kept.append(min((row for row in same if row.accuracy >= good), key=lambda row: row.size_bytes))
    return list(dict.fromkeys(kept))


def _file_name(row) -> str:
    return f"complexity-{row.complexity:.4g}_sparsity-{row.sparsity:.4g}_{_encoding(row, '_')}.tflite"


def _encoding(coded, joint=", ") -> str:
    return (coded.quantization or "float32") + (f"{joint}sparse" if coded.sparse else "")


def _print_complexities(model, dataset):
    """Prints accuracy and description length at both ends of the complexity range and in its middle."""
    complexity_range = model.complexity_range
    table = _table(f"{dataset.name}, all weights kept", "complexity", "description length in bits", "test accuracy")
    for complexity in (complexity_range.low, complexity_range.default_complexity, complexity_range.high):
        outputs = model.at(complexity).predict(dataset.x_test, batch_size=1024, verbose=0)
        accuracy = (outputs.argmax(axis=-1) == dataset.y_test).mean()
        table.add_row(f"{complexity:g}", f"{model.description_length(complexity):,.0f}", f"{accuracy:.4f}")
    _print(table)


def _print_comparison(comparison, kept, folder):
    rows = sorted(comparison.rows, key=lambda row: (row.size_bytes, -row.accuracy))
    shown = rows if len(rows) <= _LONGEST_TABLE else [row for row in rows if row in kept]
    table = _table(
        "Smallest files first; ★: no smaller file is as accurate",
        *("", "complexity", "sparsity", "encoding", "bits", "size_bytes", "gzip_bytes", "accuracy", "latency_ms"),
    )
    for row in shown:
        table.add_row(
            "★" if row.pareto else "",
            f"{row.complexity:.3g}",
            f"{row.sparsity:.3g}",
            _encoding(row),
            f"{row.description_length_bits:,.0f}",
            f"{row.size_bytes:,}",
            f"{row.gzip_bytes:,}",
            f"{row.accuracy:.4f}",
            f"{row.latency_ms:.4f}",
        )
    _print(table)
    if len(shown) < len(rows):
        _print(f"The Pareto front and the best of each complexity; all {len(rows)} rows are in {folder / 'table.md'}.")
    if comparison.skipped:
        _print(f"{len(comparison.skipped)} files failed their check and were left out.")
    _print(f"Wrote {folder}: {len(kept)} .tflite files, table.csv, table.json, table.md and plot.png.")


def _start_tensorflow():
    """Imports TensorFlow without the notices that it writes to the process's stderr, which no setting silences."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    stderr = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            import tensorflow as tf

            import cvhn_tf.export  # noqa: F401
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
    tf.get_logger().setLevel("ERROR")


def _load_model(path):
    if not path.is_file():
        raise ValueError(f"Expected a model file that `cvhn-tf train` wrote. Received: {path}, which is not there")
    _start_tensorflow()
    import cvhn_tf

    return cvhn_tf.load_model(path, compile=False)


def _load_dataset(name, model=None):
    """Loads a data set, and checks that its images fit `model` if one is given."""
    from cvhn_tf import datasets

    dataset = datasets.load(name)
    if model is not None:
        network = model.at(model.complexity_range.low)
        expected = (tuple(network.input_shape[1:]), network.output_shape[-1])
        received = (dataset.input_shape, dataset.num_classes)
        if expected != received:
            raise ValueError(
                f"Expected a data set of images {expected[0]} in {expected[1]} classes, as the model was trained on. "
                f"Received: --dataset={name} with images {received[0]} in {received[1]} classes"
            )
    return dataset


def _check_choice(option, value, choices):
    if value not in choices:
        raise ValueError(f"Expected `{option}` to be one of {', '.join(choices)}. Received: {option}={value}")


def _check_sparsity(option, value):
    if not 0.0 <= value < 1.0:
        raise ValueError(f"Expected `{option}` in [0, 1), a share of the weights. Received: {option}={value:g}")


def _parse_numbers(option, text):
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"Expected `{option}` to be numbers separated by commas. Received: {option}={text}") from None


def _check_writable(path):
    """Makes the folder of `path`, so that a run does not end with a file that it cannot write."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise ValueError(f"Expected a place to write to. Received: --output={path} ({error.strerror})") from error
    if path.is_dir():
        raise ValueError(f"Expected a file name. Received: --output={path}, which is a folder")


@contextlib.contextmanager
def _replacing(path):
    """Gives a temporary path beside `path`, and moves the file there once it is complete."""
    temporary = path.with_name(f".{path.stem}-{os.getpid()}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _progress(title, total, unit):
    """Gives `advance(done, figures, total)`: a bar in a terminal, at most ten lines elsewhere."""
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit + "  {task.fields[figures]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    task = bar.add_task(title, total=total, figures="")

    def advance(done, figures, total=total):
        bar.update(task, completed=done, total=total, figures=figures)
        if not console.is_terminal and (done * 10 // total > (done - 1) * 10 // total):
            console.print(f"{title}: {done}/{total} {unit}  {figures}".rstrip(), soft_wrap=True, highlight=False)

    with bar:
        yield advance


def _table(title, *columns):
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_header=any(columns))
    for column in columns:
        table.add_column(column, justify="left" if column in ("", "encoding") else "right")
    return table


def _print(renderable):
    console = Console()
    if not console.is_terminal:
        console.width = 120  # a pipe or a log wraps by itself
    console.print(renderable, highlight=False, soft_wrap=isinstance(renderable, str))


def _is_ours(error) -> bool:
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return frames[-1].f_globals.get("__name__", "").partition(".")[0] in ("cvhn_tf", "__main__")


def _fail(message, code):
    text = " ".join(str(message).split())
    Console(stderr=True).print(f"Error: {text}", style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(code)


if __name__ == "__main__":
    main()
