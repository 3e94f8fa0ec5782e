"""Reports of ``echo-probe ping``: counts and round trips, as lines of text or of JSON."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from echo_app.probe.net.errors import ErrorKind, Reason, hintOf
from echo_app.probe.results.severity import Severity
from echo_app.probe.results.statistics import jitter, milliseconds, nameOf, percentiles, percentileTexts
from echo_app.targets import Target


@dataclass(slots=True)
class PingStatistics:
    """Counts the pings to one target, and their round trips.

    :ivar times: seconds of each round trip, in the order of the answers.
    :ivar missed: pings without an answer, by the reason: timed out or lost, or that of a connection that was
        not made, or ended.
    :ivar corrupt: wrong answers, and streams on which bytes came after the last answer.
    :ivar late: answers to datagrams that were lost by then.
    """

    sent: int = 0
    missed: Counter[ErrorKind] = field(default_factory=Counter)
    corrupt: int = 0
    reordered: int = 0
    duplicated: int = 0
    late: int = 0
    times: array[float] = field(default_factory=lambda: array("d"))

    @property
    def underWay(self) -> int:
        """The number of pings that have no end: those under way at Ctrl-C."""
        return max(0, self.sent - len(self.times) - self.missed.total() - self.corrupt)

    def status(self, isStream: bool) -> Severity | None:
        """Returns the status: without any answer it is a failure.

        On UDP some loss is a warning, as are reordered answers and duplicates.
        """
        if self.corrupt or not self.times or (self.missed and isStream):
            return Severity.FAIL
        return Severity.WARN if self.missed or self.reordered or self.duplicated else None

    def missing(self, isStream: bool) -> dict[ErrorKind, int]:
        """Returns the pings without an answer by their reason, also where there was no time-out or loss."""
        return {ErrorKind.TIMED_OUT if isStream else ErrorKind.LOST: 0} | dict(self.missed)

    def hint(self, target: Target) -> str:
        """Returns the likely cause where a stream had no answer at all; empty where none is known."""
        isUnknown = self.times or not target.isStream
        return "" if isUnknown else hintOf(set(map(str, self.missed)), target.kind == "tls")

    def lines(self, target: Target) -> list[str]:
        """Returns the lines of a summary."""
        counts = [f"{self.sent} sent", f"{len(self.times)} answered"]
        counts += [
            f"{count} {str(kind) or 'failed'}" for kind, count in self.missing(target.isStream).items()
        ]
        counts += [f"{self.corrupt} {ErrorKind.CORRUPT}", f"{self.reordered} reordered"]
        counts += [f"{self.duplicated} {ErrorKind.DUPLICATE}"] if self.duplicated else []
        counts += [f"{self.late} late"] if self.late else []
        counts += [f"{self.underWay} under way"] if self.underWay else []
        said = [f"--- {target}", ", ".join(counts)]
        said += [hint] if (hint := self.hint(target)) else []
        if self.times:
            parts = [f"min {milliseconds(min(self.times))}", f"avg {milliseconds(self._average)}"]
            parts += percentileTexts(percentiles(self.times))
            parts.append(f"max {milliseconds(max(self.times))}")
            moved = jitter(self.times)
            parts += [] if moved is None else [f"jitter {milliseconds(moved)}"]
            said.append(", ".join(parts))
        return said

    def data(self, target: Target) -> dict[str, Any]:
        """Returns the summary for JSON; times are in seconds, and left out where they can't be stated."""
        seconds: dict[str, float | None] = {}
        if self.times:
            seconds = {"min": min(self.times), "avg": self._average}
            seconds |= {nameOf(percent): value for percent, value in percentiles(self.times).items()}
            seconds |= {"max": max(self.times), "jitter": jitter(self.times)}
        return {
            "sent": self.sent,
            "answered": len(self.times),
            "missed": {str(kind) or "failed": n for kind, n in self.missing(target.isStream).items()},
            **{
                name: getattr(self, name)
                for name in ("corrupt", "reordered", "duplicated", "late", "underWay")
            },
            "seconds": {name: value for name, value in seconds.items() if value is not None},
            **({"hint": hint} if (hint := self.hint(target)) else {}),
        }

    @property
    def _average(self) -> float:
        return sum(self.times) / len(self.times)


class PingReport(ABC):
    """Counts the pings to one target, and reports each.

    :param say: called with each line.
    """

    def __init__(self, target: Target, say: Callable[[str], None]) -> None:
        self.target = target
        self._say = say
        self.statistics = PingStatistics()

    def answered(self, number: int, size: int, seconds: float) -> None:
        """Counts an answer.

        :param size: bytes of the ping.
        """
        self.statistics.times.append(seconds)
        text = f"{size} bytes, number {number}, {milliseconds(seconds)}"
        self._tell(text, number=number, bytes=size, seconds=seconds)

    def missed(self, number: int, why: Reason, before: str = "") -> None:
        """Counts a ping without an answer.

        :param before: words in front of the reason.
        """
        self.statistics.missed[why.kind] += 1
        detail = f"{before}{why.detail}".removesuffix(": ")
        self._tell(
            f"number {number}: {before}{why}", number=number, error=str(why.kind) or "failed", detail=detail
        )

    def corrupt(self, number: int | None, what: str) -> None:
        """Counts a wrong answer.

        :param number: of the ping; None where the answer is to no ping.
        """
        self.statistics.corrupt += 1
        text = what if number is None else f"number {number}: {what}"
        self._tell(text, number=number, error=str(ErrorKind.CORRUPT), detail=what)

    def again(self, number: int) -> None:
        """Counts a further answer to a ping."""
        self.statistics.duplicated += 1
        self._tell(f"number {number} again", number=number, error=str(ErrorKind.DUPLICATE))

    def late(self, number: int, seconds: float) -> None:
        """Counts an answer to a datagram that was lost by then."""
        self.statistics.late += 1
        self._tell(f"number {number}: late, after {milliseconds(seconds)}", number=number, late=seconds)

    def unresolved(self, why: Reason) -> None:
        """Reports that the target has no address, so that nothing is sent."""
        self._tell(str(why), error=str(why.kind), detail=why.detail)

    @abstractmethod
    def _tell(self, text: str, **data: Any) -> None:
        """Reports an event, as a text or as data."""

    @abstractmethod
    def end(self) -> None:
        """Reports the summary."""


def now() -> datetime:
    """Returns the time of the calendar, in UTC."""
    return datetime.now(UTC)


class TextReport(PingReport):
    """Reports as lines of text.

    :param clock: returns the time that stands before each event; None is no time.
    """

    def __init__(
        self, target: Target, say: Callable[[str], None], clock: Callable[[], datetime] | None = None
    ) -> None:
        super().__init__(target, say)
        self._clock = clock

    def _tell(self, text: str, **data: Any) -> None:
        moment = f"{self._clock().isoformat(timespec='milliseconds')} " if self._clock else ""
        self._say(f"{moment}{self.target}: {text}")

    def end(self) -> None:
        """Reports the summary, in lines without a time."""
        for line in self.statistics.lines(self.target):
            self._say(line)


class JsonReport(PingReport):
    """Reports as lines of JSON, an object for each event, and one for the summary.

    :param clock: returns the time of an event.
    """

    def __init__(
        self, target: Target, say: Callable[[str], None], clock: Callable[[], datetime] = now
    ) -> None:
        super().__init__(target, say)
        self._clock = clock

    def _tell(self, text: str, **data: Any) -> None:
        self._object({name: value for name, value in data.items() if value not in (None, "")})

    def end(self) -> None:
        """Reports the summary."""
        self._object({"summary": self.statistics.data(self.target)})

    def _object(self, data: dict[str, Any]) -> None:
        moment = self._clock().isoformat(timespec="microseconds")
        self._say(json.dumps({"time": moment, "target": str(self.target), **data}))
