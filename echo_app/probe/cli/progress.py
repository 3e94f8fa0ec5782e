"""Progress of a run: a bar on a terminal, elsewhere a line now and then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TextIO

from echo_app.probe.load.run import Running
from echo_app.probe.results.percentiles import Output, shownIn
from echo_app.probe.results.statistics import milliseconds, percentileTexts

# Seconds between two lines, at the least; and how many of them a long run has.
BETWEEN, LINES = 5.0, 100

# Seconds between two looks: what a bar needs to move evenly.
LOOK = 0.25


def phaseOf(run: Running) -> str:
    """Says what is being done."""
    elapsed = run.elapsed
    if elapsed is None:
        return "connecting"
    if elapsed < 0:
        return "warming up"
    left = run.settings.duration - elapsed
    return f"{_clockTime(left)} left" if left > 0 else "waiting for the last answers"


def figuresOf(run: Running) -> str:
    """Says what was measured so far."""
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


class Show(Protocol):
    """Shows one run."""

    def look(self) -> None:
        """Looks what is new; called every quarter of a second."""

    def end(self) -> None:
        """Leaves nothing behind that is in the way of what is printed next."""


class Lines:
    """A line every few seconds.

    :param name: of the run.
    """

    def __init__(self, run: Running, name: str, say: Callable[[str], None]) -> None:
        self._run = run
        self._name = name
        self._say = say
        self._between = max(BETWEEN, run.settings.duration / LINES)
        self._next = self._between

    def look(self) -> None:
        """Says a line when it is time."""
        elapsed = self._run.elapsed
        if elapsed is None or elapsed < self._next:
            return
        self._next = elapsed + self._between
        said = [phaseOf(self._run), figuresOf(self._run)]
        self._say(f"{self._name}: {', '.join(filter(None, said))}")

    def end(self) -> None:
        """Leaves its lines."""


class Bar:
    """A bar, and the figures below it, drawn again and again."""

    def __init__(self, run: Running, name: str, terminal: TextIO) -> None:
        # It takes a tenth of a second to import, and comes with the extra probe.
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
        total = run.settings.warmup + run.settings.duration
        self._task = self._progress.add_task(name, total=total, phase="")
        self._figures = Text(no_wrap=True, overflow="ellipsis")
        # It is drawn from here, not from a thread of its own.
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
        """Draws it."""
        elapsed = self._run.elapsed
        if elapsed is not None and int(elapsed) != self._seconds:
            # Percentiles take some milliseconds to find.
            self._seconds = int(elapsed)
            self._figures.plain = figuresOf(self._run)
        done = 0.0 if elapsed is None else max(0.0, elapsed + self._run.settings.warmup)
        self._progress.update(self._task, completed=done, phase=phaseOf(self._run))
        self._live.refresh()

    def end(self) -> None:
        """Wipes it away."""
        self._live.stop()


def showOf(run: Running, name: str, output: Any) -> Show:
    """Returns what shows a run on a file: standard error."""
    if output.isatty():
        return Bar(run, name, output)
    return Lines(run, name, lambda line: print(line, file=output, flush=True))
