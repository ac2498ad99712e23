"""`cvhn-tf pack` and `unpack`: a network in the fewest bytes."""

import pathlib
from typing import Annotated

import typer

from cvhn_tf_cli.arguments import (
    DATASETS,
    check_choice,
    check_model_output,
    check_packed_output,
    check_rate_weight,
    check_sparsity,
    check_step,
)
from cvhn_tf_cli.commands.shared import Model
from cvhn_tf_cli.loading import load_dataset, load_model, start_tensorflow


def pack(
    model: Model,
    complexity: Annotated[
        float | None,
        typer.Option(
            help="λ, in the range that the model was trained for; by default 1, or the middle of a range without it.",
            show_default=False,
        ),
    ] = None,
    sparsity: Annotated[float, typer.Option(help="Share of the weights to prune, in [0, 1).")] = 0.95,
    step: Annotated[float, typer.Option(help="Quantization step, in standard deviations of the weights.")] = 2.0,
    rate_weight: Annotated[
        float, typer.Option(help="Weight of the file's size against errors of rounding; 0 rounds to the nearest.")
    ] = 0.3,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Data set to measure the network on, and for the statistics of its batch normalization: "
            + ", ".join(DATASETS)
            + ".",
            show_default=False,
        ),
    ] = None,
    output: Annotated[pathlib.Path, typer.Option(help="File to write.")] = pathlib.Path("network.cvhn"),
):
    """Write the network at one complexity in the fewest bytes, for `unpack` to read."""
    check_sparsity("--sparsity", sparsity)
    check_step(step)
    check_rate_weight(rate_weight)
    if dataset is not None:
        check_choice("--dataset", dataset, DATASETS)
    check_packed_output(output)
    hypernetwork = load_model(model)
    from cvhn_tf_cli.work import pack as work

    if complexity is None:
        complexity = hypernetwork.complexity_range.default_complexity
    hypernetwork.complexity_range.check(complexity)
    work.pack(
        hypernetwork,
        output,
        complexity=complexity,
        sparsity=sparsity,
        step=step,
        rate_weight=rate_weight,
        dataset=None if dataset is None else load_dataset(dataset, hypernetwork),
    )


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
    from cvhn_tf_cli.work import pack as work

    work.unpack(file, output)
