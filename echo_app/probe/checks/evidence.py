"""Evidence: everything that the checks of an examination have seen, without a conclusion.

The checks write to it while they run, and the judge reads it. All moments are seconds since the examination's
begin, by the reactor's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.interfaces import IDelayedCall

from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.net.proxyheader import ProxyHeader
from echo_app.targets import Target

# Seconds between two looks at the lateness of this process, and of lateness that is noted.
_LOOK, _LATE = 0.02, 0.002


class Observation:
    """The observations of one check, beyond the records of its connections. The check changes it."""

    @property
    def isFinal(self) -> bool:
        """Says whether the other checks would see nothing."""
        return False

    def __str__(self) -> str:
        """Returns what was seen, in a few words, without a conclusion; bytes of a peer are escaped."""
        return ""

    def data(self) -> Mapping[str, object]:
        """Returns the same for JSON: numbers, texts, lists and mappings of them."""
        return {}


@dataclass(slots=True)
class CheckSettings:
    """The settings of an examination.

    :param isQuick: a few seconds, and a few MiB at the most.
    :param isThorough: longer waits, and more tries.
    :param idle: seconds up to which idle connections are watched; 0 is no idle check.
    :param maxTime: seconds after which what is not examined is left; 0 is no limit.
    :param proxy: the PROXY header that each connection begins with; None is none.
    """

    isQuick: bool = False
    isThorough: bool = False
    idle: float = 0
    maxTime: float = 0
    proxy: ProxyHeader | None = None


@dataclass(slots=True)
class Evidence:
    """Everything that was seen.

    :ivar examination: four random bytes, which the labels of the sent bytes contain.
    :ivar connections: the records of all connections, in the order in which they were begun.
    :ivar observations: by the name of the check.
    :ivar skipped: reasons, by the name of the check that does not apply.
    :ivar unfinished: reasons, by the name of the check that was ended, or not begun, before it had seen all.
    :ivar spacing: seconds from one connection to the next at the least, where a limit on their rate was seen.
    :ivar lateness: moments at which this process was late, with the seconds.
    :ivar further: evidence of the other addresses of the target's name, by address.
    :ivar baseline: of the direct route; None where there is none.
    """

    target: Target
    settings: CheckSettings
    examination: bytes
    connections: list[ConnectionRecord] = field(default_factory=list)
    observations: dict[str, Observation] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    unfinished: dict[str, str] = field(default_factory=dict)
    spacing: float = 0.0
    lateness: list[tuple[float, float]] = field(default_factory=list)
    further: dict[str, Evidence] = field(default_factory=dict)
    baseline: Evidence | None = None

    def newRecord(self, check: str, now: float) -> ConnectionRecord:
        """Adds the record of a connection that begins."""
        record = ConnectionRecord(len(self.connections), check, now)
        self.connections.append(record)
        return record

    def of(self, check: str) -> list[ConnectionRecord]:
        """Returns the records of a check's connections."""
        return [each for each in self.connections if each.check == check]

    def latenessIn(self, begin: float, end: float) -> float:
        """Returns the seconds by which this process was late, at the most, within a time."""
        return max((late for at, late in self.lateness if begin <= at and at - late <= end), default=0.0)


class LatenessMeter:
    """Notes how late the reactor calls: times that the probe measures are late by as much.

    :param start: the examination's begin.
    """

    def __init__(self, clock: Any, evidence: Evidence, start: float) -> None:
        self._clock = clock
        self._evidence = evidence
        self._start = start
        self._due = 0.0
        self._call: IDelayedCall | None = None

    def start(self) -> None:
        """Begins to look."""
        self._due = self._clock.seconds() + _LOOK
        self._call = self._clock.callLater(_LOOK, self._look)

    def stop(self) -> None:
        """Ends looking."""
        if self._call is not None and self._call.active():
            self._call.cancel()

    def _look(self) -> None:
        now = self._clock.seconds()
        if now - self._due >= _LATE:
            self._evidence.lateness.append((now - self._start, now - self._due))
        self.start()
