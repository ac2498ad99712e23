"""`cvhn-tf compare`: files of many complexities, measured side by side."""

import pathlib
from typing import Annotated

import typer

from cvhn_tf_cli.arguments import (
    CLIENTS,
    DATASETS,
    QUANTIZATIONS,
    SPARSITIES,
    as_metric_name,
    check_choice,
    check_sparsity,
    check_writable,
    parse_names,
    parse_numbers,
)
from cvhn_tf_cli.commands.shared import ANY, Client, Metric, Model, TrainingData, command_line
from cvhn_tf_cli.loading import load_dataset, load_model


def compare(
    model: Model,
    dataset: TrainingData = "digits",
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
    client: Client = ANY,
    metric: Metric = None,
):
    """Export at many complexities, sparsities and encodings; measure every file; mark the best trade-offs."""
    check_choice("--dataset", dataset, DATASETS)
    parsed_sparsities = parse_numbers("--sparsities", sparsities)
    for sparsity in parsed_sparsities:
        check_sparsity("--sparsities", sparsity)
    parsed_complexities = parse_numbers("--complexities", complexities) if complexities else None
    names = parse_names("--encodings", [encodings], QUANTIZATIONS)
    clients = parse_names("--client", client, CLIENTS)
    metric = as_metric_name(metric)
    check_writable(output / "table.csv")
    hypernetwork = load_model(model)
    from cvhn_tf_cli.work import compare as work

    for complexity in parsed_complexities or ():
        hypernetwork.complexity_range.check(complexity)
    work.compare(
        hypernetwork,
        load_dataset(dataset, hypernetwork),
        output,
        complexities=parsed_complexities,
        sparsities=parsed_sparsities,
        quantizations=list(dict.fromkeys(QUANTIZATIONS[name] for name in names)),
        client=clients,
        metric=metric or "accuracy",
        command=command_line(
            "compare",
            model,
            {
                "--dataset": dataset,
                "--complexities": complexities,
                "--sparsities": sparsities,
                "--encodings": encodings,
                "--client": ",".join(clients),
                "--metric": metric,
                "--output": output,
            },
        ),
    )
