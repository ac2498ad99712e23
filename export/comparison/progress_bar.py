"""A bar on stderr, for what takes longer than one waits without a word."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


@contextlib.contextmanager
def progress_bar(title: str, verbose: bool) -> Iterator[Callable[[int, int, str], None]]:
    """Gives `advance(done, total, words)`, which moves the bar and estimates the time left.

    Args:
        title: What is done.
        verbose: Whether to show it.
    """
    bar = Progress(
        TextColumn(title),
        BarColumn(),
        TextColumn("{task.fields[words]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not verbose,
    )
    task = bar.add_task("", total=None, words="")
    with bar:
        yield lambda done, total, words: bar.update(task, completed=done, total=total, words=words)
