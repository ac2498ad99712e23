"""The `cvhn-tf` command: train once, then export or compare networks of any complexity.

TensorFlow takes seconds to import, so the modules that need it are imported inside the commands, once their options
are known to be good.
"""

import importlib.metadata
import pathlib
import shlex
import sys
from typing import Annotated

import typer

from cvhn_tf_cli.arguments import (
    DATASETS,
    QUANTIZATIONS,
    SCOPES,
    SPARSITIES,
    STRATEGIES,
    STRUCTURES,
    TARGETS,
    check_accuracy_loss,
    check_budgets,
    check_choice,
    check_cluster,
    check_learning_rate,
    check_least_step,
    check_model_output,
    check_rate_weight,
    check_sparsity,
    check_step,
    check_tflite_output,
    check_writable,
    parse_numbers,
)
from cvhn_tf_cli.errors import OneLineErrors
from cvhn_tf_cli.loading import load_dataset, load_model, start_tensorflow
from cvhn_tf_cli.terminal import make_table, show

app = typer.Typer(
    cls=OneLineErrors,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train a network once for a whole range of complexities, then pick the one that fits.",
)

_Model = Annotated[pathlib.Path, typer.Argument(help="Model that `train` wrote.", show_default=False)]
_TrainingData = Annotated[str, typer.Option("--dataset", help=f"One of {', '.join(DATASETS)}.")]
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
    check_writable(output / "table.csv")
    start_tensorflow()
    from cvhn_tf_cli import comparing, training

    model_path = output / "model.keras"
    digits = load_dataset("digits")
    # 1,437 images cannot pay for more than λ = 10.
    model = training.train(
        digits,
        "lenet_300_100",
        model_path,
        epochs=epochs,
        batch_size=64,
        seed=seed,
        complexity_range=(0.01, 10.0),
        restart=True,
    )
    training.show_complexities(model, digits)
    comparing.compare(
        model,
        digits,
        output,
        complexities=[0.01, 0.1, 1.0, 3.0, 10.0],
        sparsities=[0.0, 0.9, 0.98, 0.99, 0.995],
        quantizations=[None, "dynamic_range"],
        command=f"cvhn-tf demo --epochs {epochs} --seed {seed} --output {shlex.quote(str(output))}",
    )
    show(
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
    target: Annotated[str, typer.Option(help=f"One of {', '.join(TARGETS)}.")] = "lenet_300_100",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training images.")] = 40,
    batch_size: _BatchSize = 256,
    complexity_range: Annotated[
        tuple[float, float], typer.Option(metavar="LOW HIGH", help="Complexities to train for, 0 < LOW < HIGH.")
    ] = (0.01, 100.0),
    learning_rate: Annotated[
        float | None, typer.Option(help="Largest learning rate; by default the schedule's own.", show_default=False)
    ] = None,
    seed: _Seed = 0,
    strategy: Annotated[
        str,
        typer.Option(
            help="auto (multiworker if TF_CONFIG names several workers, mirrored if there are several "
            "GPUs, else none) or one of " + ", ".join(STRATEGIES) + "."
        ),
    ] = "auto",
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew where an unfinished training is.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
):
    """Train a variational hypernetwork of a target network and save it.

    Until it is complete, the model as far as it has come is in a file beside it that ends in .partial.keras. A training
    that was stopped or killed goes on from there when it is started again, and ends as it would have. SIGTERM
    lets it finish its epoch and save, with exit code 143.
    """
    check_choice("--dataset", dataset, DATASETS)
    check_choice("--target", target, TARGETS)
    check_learning_rate(learning_rate)
    check_model_output(output)
    check_choice("--strategy", strategy, ("auto", *STRATEGIES))
    check_cluster(strategy)
    start_tensorflow()
    from cvhn_tf.workers import is_chief
    from cvhn_tf_cli import strategies, training

    distribution = strategies.make(strategy, quiet)
    images = load_dataset(dataset)
    model = training.train(
        images,
        target,
        output,
        epochs=epochs,
        batch_size=batch_size,
        seed=seed,
        complexity_range=complexity_range,
        learning_rate=learning_rate,
        quiet=quiet,
        strategy=distribution,
        restart=restart,
    )
    if quiet or not is_chief(distribution):
        return
    training.show_complexities(model, images)
    show(f"Wrote {output}. Next: cvhn-tf compare {output} --dataset {dataset} --output report")


@app.command()
def export(
    model: _Model,
    complexity: Annotated[
        float | None,
        typer.Option(help="λ, in the range that the model was trained for; 1 unless there is a budget."),
    ] = None,
    sparsity: Annotated[
        float | None, typer.Option(help="Share of the weights to prune, in [0, 1); 0 unless there is a budget.")
    ] = None,
    structure: Annotated[
        str | None,
        typer.Option(
            help="What is pruned as one: weight, unit (whole units and filters) or block (1×4); weight unless there is "
            "a budget."
        ),
    ] = None,
    scope: Annotated[
        str | None,
        typer.Option(
            help="Without a budget: what is ranked together, all layers (global) or each by itself (layer), which "
            "makes units faster; global by default."
        ),
    ] = None,
    encoding: Annotated[
        str,
        typer.Option(
            "--encoding",
            "--quantization",
            help=f"auto (the smallest file that is good enough) or one of {', '.join(QUANTIZATIONS)}.",
        ),
    ] = "auto",
    max_accuracy_loss: Annotated[
        float | None,
        typer.Option(
            help="With auto and no budget: accuracy that may be lost against float32, on training images; 0.001 by "
            "default. Without a data set the outputs may differ by 5% instead."
        ),
    ] = None,
    step: Annotated[
        float | None,
        typer.Option(
            help="Without a budget: least step, in standard deviations of the weights, to which weights are rounded "
            "before they become 8-bit or 4-bit integers; 0 leaves rounding to the converter; 0.5 by default."
        ),
    ] = None,
    max_bytes: Annotated[int | None, typer.Option(help="Budget: largest size of the file.")] = None,
    max_gzip_bytes: Annotated[int | None, typer.Option(help="Budget: largest size after gzip.")] = None,
    max_description_bits: Annotated[
        float | None, typer.Option(help="Budget: largest description length, before pruning.")
    ] = None,
    max_latency_ms: Annotated[
        float | None, typer.Option(help="Budget: longest time for one example on one thread of this machine.")
    ] = None,
    min_accuracy: Annotated[
        float | None, typer.Option(help="Budget: least accuracy, in [0, 1]; the smallest file of it is written.")
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Data set to choose and measure the file on, to calibrate int8 with and to fine-tune on: "
            + ", ".join(DATASETS)
            + ".",
            show_default=False,
        ),
    ] = None,
    finetune_epochs: Annotated[
        int,
        typer.Option(min=0, help="Passes over the training images to train on what pruning leaves; needs --dataset."),
    ] = 0,
    polyphase: Annotated[
        bool,
        typer.Option(
            "--polyphase",
            help="Compute narrow convolutions before pooling in phases: faster, and some kB more. A latency "
            "budget does so by itself.",
        ),
    ] = False,
    output: Annotated[pathlib.Path, typer.Option(help="File to write.")] = pathlib.Path("model.tflite"),
):
    """Write one TFLite file, of a given complexity and sparsity or the best within budgets.

    A .json file with its metadata and a .md model card come beside it.

    With budgets, what is not given of complexity, sparsity, structure and encoding is searched for on half of the test
    images of the data set; the other half measures the file. A report on all that was tried is written beside it.
    """
    budgets = {
        "--max-bytes": max_bytes,
        "--max-gzip-bytes": max_gzip_bytes,
        "--max-description-bits": max_description_bits,
        "--max-latency-ms": max_latency_ms,
        "--min-accuracy": min_accuracy,
    }
    budgets = {option: value for option, value in budgets.items() if value is not None}
    check_choice("--encoding", encoding, ("auto", *QUANTIZATIONS))
    if sparsity is not None:
        check_sparsity("--sparsity", sparsity)
    if structure is not None:
        check_choice("--structure", structure, STRUCTURES)
    if scope is not None:
        check_choice("--scope", scope, SCOPES)
    unsearched = {
        "--scope": scope,
        "--step": step,
        "--max-accuracy-loss": max_accuracy_loss,
        "--finetune-epochs": finetune_epochs or None,
        "--polyphase": polyphase or None,
    }
    check_budgets(budgets, dataset, unsearched)
    if max_accuracy_loss is not None:
        check_accuracy_loss(max_accuracy_loss)
    if step is not None:
        check_least_step(step)
    if dataset is not None:
        check_choice("--dataset", dataset, DATASETS)
    elif encoding == "int8":
        raise ValueError(
            "Expected `--dataset`, whose images calibrate int8, with `--encoding int8`. Received: no --dataset"
        )
    elif finetune_epochs:
        raise ValueError("Expected `--dataset` to fine-tune on with `--finetune-epochs`. Received: no --dataset")
    check_tflite_output(output)
    hypernetwork = load_model(model)
    if complexity is not None:
        hypernetwork.complexity_range.check(complexity)
    images = None if dataset is None else load_dataset(dataset, hypernetwork)
    if budgets:
        from cvhn_tf_cli import budgeting

        given = {"--complexity": complexity, "--sparsity": sparsity, "--structure": structure, "--dataset": dataset}
        budgeting.export_within(
            hypernetwork,
            output,
            budgets=budgets,
            complexity=complexity,
            sparsity=sparsity,
            structure=structure,
            encoding=encoding,
            dataset=images,
            command=_command_line("export", model, budgets | given | {"--encoding": encoding, "--output": output}),
        )
    else:
        from cvhn_tf_cli import exporting

        settings = {
            "complexity": hypernetwork.complexity_range.check(1.0) if complexity is None else complexity,
            "sparsity": sparsity or 0.0,
            "structure": structure or "weight",
            "scope": scope or "global",
            "encoding": encoding,
            "step": 0.5 if step is None else step,
            "max_accuracy_loss": 0.001 if max_accuracy_loss is None else max_accuracy_loss,
            "finetune_epochs": finetune_epochs,
        }
        options = {f"--{name.replace('_', '-')}": value for name, value in settings.items()}
        options |= {"--dataset": dataset, "--output": output}
        command = _command_line("export", model, options, flags=["--polyphase"] if polyphase else [])
        exporting.export(hypernetwork, output, dataset=images, command=command, polyphase=polyphase, **settings)


@app.command()
def compare(
    model: _Model,
    dataset: _TrainingData = "digits",
    output: Annotated[pathlib.Path, typer.Option(help="Folder for the tables, the plot and the files.")] = pathlib.Path(
        "report"
    ),
    complexities: Annotated[
        str | None,
        typer.Option(help="λs, separated by commas; by default nine over the model's range.", show_default=False),
    ] = None,
    sparsities: Annotated[str, typer.Option(help="Shares of weights to prune, separated by commas.")] = SPARSITIES,
    encodings: Annotated[
        str, typer.Option(help=f"Separated by commas, of {', '.join(QUANTIZATIONS)}.")
    ] = "float32,dynamic_range",
):
    """Export at many complexities, sparsities and encodings; measure every file; mark the best trade-offs."""
    check_choice("--dataset", dataset, DATASETS)
    parsed_sparsities = parse_numbers("--sparsities", sparsities)
    for sparsity in parsed_sparsities:
        check_sparsity("--sparsities", sparsity)
    parsed_complexities = parse_numbers("--complexities", complexities) if complexities else None
    names = encodings.split(",")
    for name in names:
        check_choice("--encodings", name, QUANTIZATIONS)
    check_writable(output / "table.csv")
    hypernetwork = load_model(model)
    from cvhn_tf_cli import comparing

    for complexity in parsed_complexities or ():
        hypernetwork.complexity_range.check(complexity)
    comparing.compare(
        hypernetwork,
        load_dataset(dataset, hypernetwork),
        output,
        complexities=parsed_complexities,
        sparsities=parsed_sparsities,
        quantizations=list(dict.fromkeys(QUANTIZATIONS[name] for name in names)),
        command=_command_line(
            "compare",
            model,
            {
                "--dataset": dataset,
                "--complexities": complexities,
                "--sparsities": sparsities,
                "--encodings": encodings,
                "--output": output,
            },
        ),
    )


@app.command()
def pack(
    model: _Model,
    complexity: Annotated[float, typer.Option(help="λ, in the range that the model was trained for.")] = 1.0,
    sparsity: Annotated[float, typer.Option(help="Share of the weights to prune, in [0, 1).")] = 0.95,
    step: Annotated[float, typer.Option(help="Quantization step, in standard deviations of the weights.")] = 2.0,
    rate_weight: Annotated[
        float, typer.Option(help="Weight of the file's size against errors of rounding; 0 rounds to the nearest.")
    ] = 0.3,
    dataset: Annotated[
        str | None,
        typer.Option(help="Data set to measure the network on: " + ", ".join(DATASETS) + ".", show_default=False),
    ] = None,
    output: Annotated[pathlib.Path, typer.Option(help="File to write.")] = pathlib.Path("network.cvhn"),
):
    """Write the network at one complexity in the fewest bytes, for `unpack` to read."""
    check_sparsity("--sparsity", sparsity)
    check_step(step)
    check_rate_weight(rate_weight)
    if dataset is not None:
        check_choice("--dataset", dataset, DATASETS)
    check_writable(output)
    hypernetwork = load_model(model)
    from cvhn_tf_cli import packing

    hypernetwork.complexity_range.check(complexity)
    packing.pack(
        hypernetwork,
        output,
        complexity=complexity,
        sparsity=sparsity,
        step=step,
        rate_weight=rate_weight,
        dataset=None if dataset is None else load_dataset(dataset, hypernetwork),
    )


@app.command()
def unpack(
    file: Annotated[pathlib.Path, typer.Argument(help="File that `pack` wrote.", show_default=False)],
    output: Annotated[pathlib.Path, typer.Option(help="File to write, ending in .keras.")] = pathlib.Path(
        "network.keras"
    ),
):
    """Write the plain Keras model of a packed file."""
    if not file.is_file():
        raise ValueError(f"Expected a file that `cvhn-tf pack` wrote. Received: {file}, which is not there")
    check_model_output(output)
    start_tensorflow()
    from cvhn_tf_cli import packing

    packing.unpack(file, output)


@app.command()
def doctor():
    """Show versions, devices and whether LiteRT runs; exit code 1 and a sentence for each problem."""
    from cvhn_tf_cli.doctor import diagnose

    findings = diagnose()
    table = make_table("", "", "found", "needed")
    for finding in findings:
        table.add_row(finding.name, finding.found, finding.needed, style="red" if finding.problem else None)
    show(table)
    problems = [finding.problem for finding in findings if finding.problem]
    for problem in problems:
        show(f"✗ {problem}")
    if problems:
        raise typer.Exit(1)
    show("✓ Everything that cvhn-tf needs is there and works.")


def _command_line(command, model, options, flags=()):
    """What makes the same result again, for the report; without the options that were not given."""
    given = [
        f"{option}={value:g}" if isinstance(value, float) else f"{option}={value}"
        for option, value in options.items()
        if value is not None
    ]
    return shlex.join(["cvhn-tf", command, str(model), *given, *flags])
