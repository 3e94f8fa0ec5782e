"""Conditions on the figures of a load, such as ``p99>50ms`` or ``errors>0.1%``.

A figure of several repeats is their median, as in a comparison; errors and unanswered messages are those of
all repeats together.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from echo_app.hints import didYouMean, nearest
from echo_app.probe.results.figures import perSecond, whole
from echo_app.probe.results.histogram import Histogram
from echo_app.probe.results.results import LoadSettings, Results, Run
from echo_app.probe.results.statistics import ABOVE, milliseconds
from echo_app.quantities import MESSAGES, PROBABILITY, TIME

_CONDITION = re.compile(r"\s*([A-Za-z0-9.-]+)\s*(<=|>=|<|>)\s*(\S+)\s*")
_PERCENTILE = re.compile(r"(connect-|late-|)p([0-9]{1,2}(?:\.[0-9]{1,6})?)")

_COMPARED: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}

# Counts of messages, which may also be stated as a share of those that were due.
_FAILURES: Mapping[str, Callable[[Run], int]] = {
    "errors": lambda run: sum(run.errors.values()),
    "unanswered": lambda run: run.due - run.answered,
}

_COUNTS: Mapping[str, Callable[[Run], int]] = {
    "sent": lambda run: run.sent,
    "answered": lambda run: run.answered,
    "connects": lambda run: len(run.connects),
    "held": lambda run: len(run.held),
}

_HISTOGRAMS: Mapping[str, Callable[[Run], Histogram]] = {
    "": lambda run: run.latency,
    "connect-": lambda run: run.connects,
    "late-": lambda run: run.lateness,
}

_LONGEST: Mapping[str, Callable[[Run], Histogram]] = {
    "max": lambda run: run.latency,
    "connect-max": lambda run: run.connects,
    "late-max": lambda run: run.lateness,
    "held-max": lambda run: run.held,
}

# For errors: some percentiles, and the names of all other figures.
_KNOWN = ("p50", "p99", "p99.9", *_LONGEST, "rate", *_FAILURES, *_COUNTS, "busy", "connect-p99", "late-p99")


def _percentage(share: float) -> str:
    return f"{share * 100:.3g}%"


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on one figure.

    :param text: as the user typed it.
    :param name: of the figure.
    :param sign: ``>``, ``>=``, ``<`` or ``<=``.
    :param limit: seconds, messages a second, a count, or a share.
    :param isShare: the limit is a share of the messages that were due.
    """

    text: str
    name: str
    sign: str
    limit: float
    isShare: bool = False

    @property
    def isOfErrors(self) -> bool:
        """Says whether the condition says how many messages may fail."""
        return self.name in _FAILURES

    @property
    def shareAbove(self) -> float:
        """The share of the messages above the figure, if it is a percentile of messages; otherwise 0."""
        match = _PERCENTILE.fullmatch(self.name)
        return 0.0 if match is None or match[1] == "connect-" else 1 - float(match[2]) / 100

    def ownShare(self, run: Run) -> float:
        """Returns how late the probe was where the latency is the figure, in seconds, at the most; or 0."""
        if self.name == "max":
            return run.lateness.most
        match = _PERCENTILE.fullmatch(self.name)
        if match is None or match[1]:
            return 0.0
        late = run.lateness.percentile(float(match[2]))
        return run.lateness.most if late is None else late

    def value(self, runs: Sequence[Run], settings: LoadSettings) -> float | None:
        """Returns the figure of some repeats; None where not each of them can state it.

        :param runs: one at least.
        """
        if of := _FAILURES.get(self.name):
            failed = sum(map(of, runs))
            return failed / max(1, sum(run.due for run in runs)) if self.isShare else failed
        values = [self._ofRun(run, settings) for run in runs]
        stated = [value for value in values if value is not None]
        return median(stated) if len(stated) == len(values) else None

    def _ofRun(self, run: Run, settings: LoadSettings) -> float | None:
        if match := _PERCENTILE.fullmatch(self.name):
            return _HISTOGRAMS[match[1]](run).percentile(float(match[2]))
        if longest := _LONGEST.get(self.name):
            times = longest(run)
            return times.most if len(times) or self.name == "held-max" else None
        if count := _COUNTS.get(self.name):
            return float(count(run))
        return run.busy if self.name == "busy" else run.rate

    def holds(self, value: float) -> bool:
        """Says whether the condition holds for a value of its figure."""
        return _COMPARED[self.sign](value, self.limit)

    def textOf(self, value: float | None) -> str:
        """Returns a value of the figure in words, such as ``p99 is 61.2 ms``."""
        if value is None:
            return f"{self.name} can't be stated: it takes {ABOVE} longer times in each repeat"
        return f"{self.name} is {self._format(value)}"

    def cell(self, runs: Sequence[Run], settings: LoadSettings) -> str:
        """Returns the figure of some repeats for a table; ``-`` where it can't be stated."""
        value = self.value(runs, settings)
        return "-" if value is None else self._format(value)

    def _format(self, value: float) -> str:
        if self.isShare or self.name == "busy":
            return _percentage(value)
        if self.name == "rate":
            return perSecond(value)
        return whole(value) if self.name in {**_FAILURES, **_COUNTS} else milliseconds(value)


def conditionOf(text: str) -> Condition:
    """Parses a condition.

    :raise ValueError: says what a condition is, and what the user may have meant.
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise ValueError("not FIGURE>VALUE or FIGURE<VALUE, such as p99>50ms, errors>0.1% or rate<5k")
    name, sign, written = match.groups()
    if name not in _KNOWN and not _isPercentile(name):
        near = didYouMean(nearest(name, _KNOWN)) or f"; there are {', '.join(_KNOWN)}"
        raise ValueError(f"no figure {name!r}{near}")
    try:
        limit, isShare = _limitOf(name, written)
    except ValueError as error:
        raise ValueError(f"{written!r} is {error}") from None
    return Condition(text.strip(), name, sign, limit, isShare)


def _isPercentile(name: str) -> bool:
    match = _PERCENTILE.fullmatch(name)
    return match is not None and float(match[2]) > 0


def _limitOf(name: str, written: str) -> tuple[float, bool]:
    """Returns the limit of a figure, and whether it is a share."""
    if name == "busy" or (name in _FAILURES and written.endswith("%")):
        return PROBABILITY.parse(written), name != "busy"
    if name in _FAILURES or name in _COUNTS:
        if "/" in written:
            raise ValueError("not a count, such as 10 or 5k, or a share, such as 0.1%")
        return MESSAGES.parse(written), False
    return (MESSAGES if name == "rate" else TIME).parse(written), False


@dataclass(frozen=True, slots=True)
class Outcome:
    """A condition at one target.

    :param value: of its figure; None where the figure can't be stated.
    """

    condition: Condition
    target: str
    value: float | None

    @property
    def isMet(self) -> bool:
        """Says whether the condition holds; not where its figure can't be stated."""
        return self.value is not None and self.condition.holds(self.value)

    def __str__(self) -> str:
        return f"{self.condition.text}: {self.condition.textOf(self.value)}"


def outcomesOf(conditions: Sequence[Condition], results: Results) -> list[Outcome]:
    """Returns the outcome of each condition at each target."""
    return [
        Outcome(each, target, each.value(results.runsAt(target), results.settings))
        for target in results.targets()
        for each in conditions
    ]
