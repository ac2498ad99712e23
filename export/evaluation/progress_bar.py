"""A sign on stderr of how far it is, for what takes longer than one waits without a word."""

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

# In a log, without a tenth done.
_LONGEST_SILENCE_SECONDS = 30


@contextlib.contextmanager
def progress_bar(title: str, verbose: bool) -> Iterator[Callable[[int, int, str], None]]:
    """Gives `advance(done, total, words)`: a bar with the time left in a terminal, lines elsewhere.

    Elsewhere is a log or a notebook, where Rich would draw nothing before the end, or not without ipywidgets. There is
    a line for each tenth, and where `advance` is called half a minute after the last line.

    Args:
        title: What is done.
        verbose: Whether to show it.
    """
    console = Console(stderr=True, quiet=not verbose, force_jupyter=False)
    bar = Progress(
        TextColumn(title), BarColumn(), TextColumn("{task.fields[words]}"), TimeRemainingColumn(), console=console
    )
    task = bar.add_task("", total=None, words="")
    told, told_at = 0, time.monotonic()

    def advance(done, total, words):
        nonlocal told, told_at
        bar.update(task, completed=done, total=total, words=words)
        tenths = done * 10 // total if total else 0
        is_due = tenths > told or time.monotonic() - told_at >= _LONGEST_SILENCE_SECONDS
        if not console.is_terminal and is_due:
            told, told_at = tenths, time.monotonic()
            console.print(f"{title}: {10 * tenths}%, {words}", soft_wrap=True, highlight=False, markup=False)

    # Elsewhere a bar that is not drawn would still end with an empty line, before Rich 14.
    with bar if console.is_terminal else contextlib.nullcontext():
        yield advance
