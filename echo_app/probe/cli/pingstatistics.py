"""Statistics of pings: counts and round trips, and their lines in a summary."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass, field

from echo_app.probe.checks.check import Status
from echo_app.probe.net.errors import ErrorKind, hintOf
from echo_app.probe.results.statistics import jitter, milliseconds, percentiles, percentileTexts
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

    def status(self, isStream: bool) -> Status:
        """Returns the status: without any answer it is a failure.

        On UDP some loss is a warning, as are reordered answers and duplicates.
        """
        if self.corrupt or not self.times or (self.missed and isStream):
            return Status.FAIL
        return Status.WARN if self.missed or self.reordered or self.duplicated else Status.PASS

    def lines(self, target: Target) -> list[str]:
        """Returns the lines of a summary."""
        missing = ErrorKind.TIMED_OUT if target.isStream else ErrorKind.LOST
        missed = {missing: 0} | dict(self.missed)
        counts = [f"{self.sent} sent", f"{len(self.times)} answered"]
        counts += [f"{count} {kind or 'failed'}" for kind, count in missed.items()]
        counts += [f"{self.corrupt} {ErrorKind.CORRUPT}", f"{self.reordered} reordered"]
        counts += [f"{self.duplicated} {ErrorKind.DUPLICATE}"] if self.duplicated else []
        counts += [f"{self.late} late"] if self.late else []
        counts += [f"{self.underWay} under way"] if self.underWay else []
        said = [f"--- {target}", ", ".join(counts)]
        if (
            not self.times
            and target.isStream
            and (hint := hintOf(set(map(str, self.missed)), target.kind == "tls"))
        ):
            said.append(hint)
        if self.times:
            least, most = min(self.times), max(self.times)
            average = sum(self.times) / len(self.times)
            parts = [f"min {milliseconds(least)}", f"avg {milliseconds(average)}"]
            parts += percentileTexts(percentiles(self.times))
            parts.append(f"max {milliseconds(most)}")
            moved = jitter(self.times)
            parts += [] if moved is None else [f"jitter {milliseconds(moved)}"]
            said.append(", ".join(parts))
        return said
