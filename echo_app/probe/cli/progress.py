"""Progress of a run: a bar on a terminal, elsewhere lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TextIO

from echo_app.probe.cli.output import writeLine
from echo_app.probe.load.run import Running
from echo_app.probe.results.statistics import Output, milliseconds, percentileTexts, shownIn

# Seconds between two lines, at the least; and the number of lines of a long run.
BETWEEN, LINES = 5.0, 100

# Seconds between two updates: a bar moves evenly with that.
LOOK = 0.25


def phaseOf(run: Running) -> str:
    """Returns the phase of a run, such as ``0:18 left``."""
    elapsed = run.elapsed
    if elapsed is None:
        return "connecting"
    if elapsed < 0:
        return "warming up"
    if run.settings.count is not None:
        return f"{run.totals.run.answered:,} of {run.settings.count:,} answered"
    left = run.settings.duration - elapsed
    return f"{_clockTime(left)} left" if left > 0 else "waiting for the last answers"


def figuresOf(run: Running) -> str:
    """Returns the figures of a run so far; empty before the first second."""
    totals = run.totals
    if totals.rate is None:
        return ""
    latency = totals.run.latency
    parts = [f"{totals.rate:,.0f}/s", *percentileTexts(latency.percentiles(shownIn(Output.LINE)))]
    parts += [f"max {milliseconds(latency.most)}"] if len(latency) else []
    return ", ".join([*parts, f"{totals.errors:,} error{'' if totals.errors == 1 else 's'}"])


def _clockTime(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Lines:
    """Shows a run as a line every few seconds.

    :param name: of the run.
    """

    def __init__(self, run: Running, name: str, say: Callable[[str], object]) -> None:
        self._run = run
        self._name = name
        self._say = say
        self._between = max(BETWEEN, run.settings.duration / LINES)
        self._next = self._between

    def look(self) -> None:
        """Prints a line when one is due; called every quarter of a second."""
        elapsed = self._run.elapsed
        if elapsed is None or elapsed < self._next:
            return
        self._next = elapsed + self._between
        said = [phaseOf(self._run), figuresOf(self._run)]
        self._say(f"{self._name}: {', '.join(filter(None, said))}")

    def end(self) -> None:
        """Does nothing: the lines stay."""


class Bar:
    """Shows a run as a bar on a terminal, with the figures below it."""

    def __init__(self, run: Running, name: str, terminal: TextIO) -> None:
        # rich takes a tenth of a second to import, and comes with the extra ``probe``.
        from rich.console import Console, Group
        from rich.live import Live
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.text import Text

        self._run = run
        self._seconds: int | None = None
        console = Console(file=terminal)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(20),
            TextColumn("{task.fields[phase]}", markup=False),
            console=console,
        )
        total = run.settings.count or run.settings.warmup + run.settings.duration
        self._task = self._progress.add_task(name, total=total, phase="")
        self._figures = Text(no_wrap=True, overflow="ellipsis")
        # look() draws, not a thread of rich.
        self._live = Live(
            Group(self._progress, self._figures),
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def look(self) -> None:
        """Draws the bar and the figures; called every quarter of a second."""
        elapsed = self._run.elapsed
        if elapsed is not None and int(elapsed) != self._seconds:
            # Percentiles take some milliseconds to compute.
            self._seconds = int(elapsed)
            self._figures.plain = figuresOf(self._run)
        done = 0.0 if elapsed is None else max(0.0, elapsed + self._run.settings.warmup)
        if self._run.settings.count is not None:
            done = self._run.totals.run.answered
        self._progress.update(self._task, completed=done, phase=phaseOf(self._run))
        self._live.refresh()

    def end(self) -> None:
        """Erases the bar: the next output begins at its place."""
        self._live.stop()


def showOf(run: Running, name: str, output: Any) -> Bar | Lines:
    """Returns a bar where the output is a terminal, and lines elsewhere."""
    if output.isatty():
        return Bar(run, name, output)
    return Lines(run, name, lambda line: writeLine(line, output))
