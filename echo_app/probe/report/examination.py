"""Report of an examination, as text and as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict

from echo_app import __version__
from echo_app.probe.checks.check import Context, Cost, Result, Status
from echo_app.text import binarySize, escaped

# Columns of the status and of the name.
_STATUS, _NAME = 6, 14

_ORDER = (Status.FAIL, Status.WARN, Status.PASS, Status.SKIP)


def lines(result: Result) -> list[str]:
    """Returns the lines of a result: the result, and its meaning if it has one."""
    name = f"{result.name:{_NAME - 2}}  "
    first = f"{result.status.value:{_STATUS}}{name}{escaped(result.seen)}"
    return [first, " " * (_STATUS + _NAME) + escaped(result.meaning)] if result.meaning else [first]


def skipLines(results: Sequence[Result]) -> list[str]:
    """Returns the lines of skipped checks, one for all checks that have the same reason."""
    names: dict[str, list[str]] = {}
    for each in results:
        if isQuiet(each):
            names.setdefault(each.seen, []).append(each.name)
    return [
        line for seen, each in names.items() for line in lines(Result(", ".join(each), Status.SKIP, seen))
    ]


def isQuiet(result: Result) -> bool:
    """Says whether a result is of a check that was not run."""
    return result.status is Status.SKIP and not result.meaning


class Examination:
    """Reports an examination: in lines while it goes on, and as data at its end.

    :param say: called with each line.
    :ivar results: so far.
    """

    def __init__(self, context: Context, cost: Cost, seed: int, say: Callable[[str], None]) -> None:
        self._context = context
        self._cost = cost
        self._seed = seed
        self._say = say
        self._start = context.reactor.seconds()
        self._seconds = 0.0
        self.results: list[Result] = []
        most = f"{binarySize(cost.bytes)}, {cost.connections} connections, {cost.seconds:.0f} s"
        say(f"{context.target}; at most {most}")

    def found(self, result: Result) -> None:
        """Reports a result; those of skipped checks are reported at the end."""
        self.results.append(result)
        if not isQuiet(result):
            for line in lines(result):
                self._say(line)

    def end(self, how: str = "") -> None:
        """Reports skipped checks and the counts.

        :param how: text before the counts.
        """
        self._seconds = self._context.reactor.seconds() - self._start
        counts = Counter(each.status for each in self.results)
        said = [f"{counts[status]} {status.value.lower()}" for status in _ORDER if counts[status]]
        counted = f"{how}{', '.join(said) or 'nothing done'} in {self._seconds:.0f} s"
        for line in [*skipLines(self.results), counted]:
            self._say(line)

    def data(self) -> dict[str, object]:
        """Returns the examination for JSON."""
        settings = self._context.settings
        return {
            "version": __version__,
            "target": str(self._context.target),
            "settings": {"quick": settings.isQuick, "thorough": settings.isThorough, "idle": settings.idle},
            "seed": self._seed,
            "cost": asdict(self._cost),
            "results": [_dataOf(each) for each in self.results],
            "seconds": round(self._seconds, 3),
        }


def _dataOf(result: Result) -> dict[str, object]:
    return {
        "name": result.name,
        "status": result.status.name.lower(),
        "seen": result.seen,
        "meaning": result.meaning,
        "details": dict(result.details),
    }
