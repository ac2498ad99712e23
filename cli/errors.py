"""What the user can mend is one line on stderr; anything else is a bug and keeps its traceback."""

import shlex
import traceback

import typer
from rich.console import Console
from typer.core import TyperGroup

# Click's `UsageError`, which newer versions of Typer carry within themselves.
(_UsageError,) = typer.BadParameter.__bases__
_OUR_PACKAGES = ("cvhn_tf", "cvhn_tf_cli")


class OneLineErrors(TyperGroup):
    """A group of commands that ends with an exit code and one line: 2 for bad input, 1 for the world's failures."""

    def invoke(self, ctx):
        words = [*getattr(ctx, "_protected_args", ()), *ctx.args]  # empty once they are parsed
        try:
            return super().invoke(ctx)
        except typer.Exit:  # a RuntimeError of Click's
            raise
        except _UsageError as error:
            help_command = f"`{error.ctx.command_path if error.ctx else ctx.command_path} --help` explains"
            _fail(f"{error.format_message().rstrip('.')}. Received: {shlex.join(words)}. {help_command}", 2)
        except KeyboardInterrupt as interrupt:
            _fail(f"Interrupted. {interrupt}", 130)
        except ValueError as error:
            if not _is_ours(error):
                raise
            _fail(error, 2)
        except OSError as error:
            _fail(error, 1)
        except (RuntimeError, ImportError) as error:
            if not _is_ours(error):
                raise
            _fail(error, 1)


def _is_ours(error) -> bool:
    """Whether our own code raised it: its text is then written for the user."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return frames[-1].f_globals.get("__name__", "").partition(".")[0] in _OUR_PACKAGES


def _fail(message, code):
    text = " ".join(str(message).split())
    Console(stderr=True).print(f"Error: {text}", style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(code)
