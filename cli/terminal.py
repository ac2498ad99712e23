"""How tables, notices and progress look, in a terminal and in a log."""

import contextlib

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table


@contextlib.contextmanager
def progress(title, total, unit, shown=True):
    """Gives `advance(done, figures, total)`: a bar with the time left in a terminal, at most ten lines elsewhere.

    A part of a unit, such as 1.5, moves the bar alone. Neither is there unless `shown`.
    Only one of several workers should have it.
    """
    console = Console(stderr=True, quiet=not shown)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit + "  {task.fields[figures]}"),
        TimeRemainingColumn(),
        console=console,
    )
    task = bar.add_task(title, total=total, figures="")

    def advance(done, figures, total=total):
        bar.update(task, completed=done, total=total, figures=figures)
        if console.is_terminal or done != int(done):
            return
        if done * 10 // total > (done - 1) * 10 // total:
            console.print(f"{title}: {done}/{total} {unit}  {figures}".rstrip(), soft_wrap=True, highlight=False)

    # Elsewhere a bar that is not drawn would still end with an empty line, before Rich 14.
    with bar if console.is_terminal else contextlib.nullcontext():
        yield advance


def make_table(title, *columns) -> Table:
    """An empty table; figures are aligned to the right."""
    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, show_header=any(columns))
    for column in columns:
        table.add_column(column, justify="left" if column in ("", "encoding", "found", "needed") else "right")
    return table


def show(renderable):
    """Prints a table or a text to stdout."""
    console = Console()
    if not console.is_terminal:
        console.width = 120  # a pipe or a log wraps by itself
    console.print(renderable, highlight=False, soft_wrap=isinstance(renderable, str))
