"""A sign on stderr of how far it is, for what takes longer than one waits without a word."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


@contextlib.contextmanager
def progress_bar(title: str, verbose: bool) -> Iterator[Callable[[int, int, str], None]]:
    """Gives `advance(done, total, words)`: a bar with the time left in a terminal, at most eleven lines elsewhere.

    Elsewhere is a log or a notebook, where Rich would draw nothing before the end, or not without ipywidgets.

    Args:
        title: What is done.
        verbose: Whether to show it.
    """
    console = Console(stderr=True, quiet=not verbose, force_jupyter=False)
    bar = Progress(
        TextColumn(title), BarColumn(), TextColumn("{task.fields[words]}"), TimeRemainingColumn(), console=console
    )
    task = bar.add_task("", total=None, words="")
    told = 0

    def advance(done, total, words):
        nonlocal told
        bar.update(task, completed=done, total=total, words=words)
        tenths = done * 10 // total if total else 0
        if not console.is_terminal and tenths > told:
            told = tenths
            console.print(f"{title}: {10 * tenths}%, {words}", soft_wrap=True, highlight=False, markup=False)

    # Elsewhere a bar that is not drawn would still end with an empty line, before Rich 14.
    with bar if console.is_terminal else contextlib.nullcontext():
        yield advance
