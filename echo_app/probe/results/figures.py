"""Figures by which runs are compared, percentiles among them, and the subjects of a comparison."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from string import ascii_uppercase

from echo_app.probe.results.results import LoadSettings, Results, Run
from echo_app.probe.results.statistics import MEDIAN, TAIL, Output, milliseconds, nameOf, shownIn
from echo_app.text import escaped


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a run.

    :param name: a few words.
    :param of: returns the number, of a run with such settings; None where it can't be stated.
    :param text: formats the number, with its unit.
    :param isBetter: the better end: ``lower``, ``higher``, or empty for neither.
    """

    name: str
    of: Callable[[Run, LoadSettings], float | None]
    text: Callable[[float], str]
    isBetter: str = ""

    def textOf(self, run: Run, settings: LoadSettings) -> str:
        """Formats the number of a run; ``-`` where it can't be stated."""
        value = self.of(run, settings)
        return "-" if value is None else self.text(value)


# The number of colours in the style sheet, and the looks of its dashes.
_COLOURS, DASHES = 6, ("solid", "dashed", "dotted", "dash-dotted")


def kindOf(index: int) -> str:
    """Returns the CSS classes of a subject's lines: dashes and a colour, never a colour alone."""
    return f"dash{index % len(DASHES)} colour{index % _COLOURS}"


def whole(value: float) -> str:
    """Formats a count: ``12,345``; a median between two counts has a half: ``2.5``."""
    return f"{value:,.1f}".removesuffix(".0")


def perSecond(value: float) -> str:
    """Formats a rate to four digits: ``12,340/s``, ``9.876/s``."""
    decimals = next((n for n, limit in ((3, 10), (2, 100), (1, 1000)) if value < limit), 0)
    return f"{value:,.{decimals}f}/s"


def _latency(percent: float) -> Figure:
    return Figure(nameOf(percent), lambda run, _: run.latency.percentile(percent), milliseconds, "lower")


# The figures of a repeat: as many as fit on a screen.
MAIN_FIGURES = (
    Figure("rate", lambda run, _: run.rate, perSecond, "higher"),
    *map(_latency, shownIn(Output.FIGURES)),
    Figure("max", lambda run, _: run.latency.most if len(run.latency) else None, milliseconds, "lower"),
    Figure("errors", lambda run, _: float(sum(run.errors.values())), whole, "lower"),
)

FIGURES = (
    *MAIN_FIGURES,
    Figure("connects", lambda run, _: float(len(run.connects)), whole),
    Figure(
        f"connect {nameOf(MEDIAN)}", lambda run, _: run.connects.percentile(MEDIAN), milliseconds, "lower"
    ),
    Figure(
        "connect max", lambda run, _: run.connects.most if len(run.connects) else None, milliseconds, "lower"
    ),
    Figure("held back", lambda run, _: float(len(run.held)) or None, whole, "lower"),
    Figure("held back max", lambda run, _: run.held.most or None, milliseconds, "lower"),
    Figure(f"probe late {nameOf(TAIL)}", lambda run, _: run.lateness.percentile(TAIL), milliseconds),
)


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject of a comparison: the repeats at one target in one result.

    :param key: its letter, in tables and pictures.
    :param name: its result or its target, or both; escaped.
    :param source: the name of the result, such as a file's; escaped.
    """

    key: str
    name: str
    source: str
    results: Results
    runs: Sequence[Run]

    @property
    def counted(self) -> Sequence[Run]:
        """The complete repeats, or all where none is complete.

        An interrupted repeat has less time for stalls and errors.
        """
        return [run for run in self.runs if not run.isInterrupted] or self.runs

    def values(self, figure: Figure) -> list[float]:
        """Returns a figure of each repeat that has enough answers for it."""
        values = (figure.of(run, self.results.settings) for run in self.counted)
        return [value for value in values if value is not None]


def subjects(results: Sequence[Results], names: Sequence[str] = ()) -> list[Subject]:
    """Returns the subjects of results, in order, each with a name of its own.

    :param names: of the results; by default they are numbered.
    """
    names = [escaped(name) for name in names] or [f"result {n}" for n in range(1, len(results) + 1)]
    pairs = [
        (name, each, target) for name, each in zip(names, results, strict=True) for target in each.targets()
    ]
    isOneTarget = len({target for _, _, target in pairs}) == 1
    found = []
    for index, (name, each, target) in enumerate(pairs):
        # A file alone needs no name, and a label is one.
        words = [name] if len(results) > 1 else []
        words += [escaped(each.label)] if each.label else []
        if not (len(results) > 1 and isOneTarget):
            words.append(escaped(target))
        key = ascii_uppercase[index] if index < len(ascii_uppercase) else str(index + 1)
        found.append(Subject(key, ": ".join(words), name, each, each.runsAt(target)))
    return found


def summary(figure: Figure, values: Sequence[float]) -> tuple[str, str]:
    """Formats a figure of all repeats: the median, and the range from the lowest to the highest.

    :return: two texts; the second one is empty where the range is.
    """
    if not values:
        return "-", ""
    low, high = figure.text(min(values)), figure.text(max(values))
    return figure.text(median(values)), f"{low} to {high}" if len(values) > 1 and low != high else ""
