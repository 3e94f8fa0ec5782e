"""Shows the progress of the benchmark."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from benchmarks.peers import Peer
from benchmarks.rows import Row

Told = Callable[[Row, int, Peer], None]


@contextmanager
def showProgress(console: Console, total: int) -> Iterator[Told]:
    """Yields a function to call before each measurement; shows a bar, or lines without a terminal."""
    if not console.is_terminal:
        yield _Lines(console).tell
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    # Drawn only between measurements: a thread that draws would take time from the load.
    with Progress(*columns, console=console, auto_refresh=False, transient=True) as progress:
        task = progress.add_task("", total=total)
        told = 0

        def tell(row: Row, number: int, peer: Peer) -> None:
            nonlocal told
            progress.update(
                task, completed=told, description=f"{row.name:11} round {number} {peer.name:12}", refresh=True
            )
            told += 1

        yield tell


class _Lines:
    """A line for each round of each row."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = ""

    def tell(self, row: Row, number: int, peer: Peer) -> None:
        """Prints row and round, when one of them has changed."""
        line = f"{row.name}, round {number}"
        if line != self._last:
            self._console.print(line)
        self._last = line
