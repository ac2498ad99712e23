"""The `cvhn-tf` command: train once, then export or compare networks of any complexity.

TensorFlow takes seconds to import, so the modules that need it are imported inside the commands, once their options
are known to be good.
"""

import importlib.metadata
import sys
from typing import Annotated

import typer

from cvhn_tf_cli.commands.compare import compare
from cvhn_tf_cli.commands.demo import demo
from cvhn_tf_cli.commands.doctor import doctor
from cvhn_tf_cli.commands.export import export
from cvhn_tf_cli.commands.pack import pack, unpack
from cvhn_tf_cli.commands.train import train
from cvhn_tf_cli.errors import OneLineErrors

app = typer.Typer(
    cls=OneLineErrors,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train a network once for a whole range of complexities, then pick the one that fits.",
)
for command in (demo, train, export, compare, pack, unpack, doctor):
    app.command()(command)


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
