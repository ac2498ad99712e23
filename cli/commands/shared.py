"""Arguments and options that several commands have, and a command as it was given."""

import pathlib
import shlex
from typing import Annotated

import typer

from cvhn_tf_cli.arguments import CLIENTS, DATASETS

Model = Annotated[pathlib.Path, typer.Argument(help="Model that `train` wrote.", show_default=False)]
TrainingData = Annotated[str, typer.Option("--dataset", help=f"One of {', '.join(DATASETS)}.")]
Client = Annotated[
    list[str],
    typer.Option(
        "--client",
        help=f"What will run the file, of {', '.join(CLIENTS)}; several are separated by commas, or given one by one. "
        "any: all but micro.",
    ),
]
ANY = ["any"]
Metric = Annotated[
    str | None,
    typer.Option(
        "--metric",
        help="What files are compared by: a metric or a loss by its name in Keras, such as "
        "sparse_categorical_crossentropy, in the place of accuracy.",
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Equal seeds give equal runs.")]


def command_line(command, model, options, flags=()):
    """What makes the same result again, for the report; without the options that were not given."""
    given = [f"{option}={_as_given(value)}" for option, value in options.items() if value is not None]
    return shlex.join(["cvhn-tf", command, str(model), *given, *flags])


def _as_given(value):
    """A number as short as it can be without being another."""
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else value
