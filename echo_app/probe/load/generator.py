"""Generator in one worker: its connections, from the first attempt to the last end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

from echo_app.probe.load.connection import NEVER, Connection
from echo_app.probe.load.datagrams import DatagramConnection
from echo_app.probe.load.dial import Address
from echo_app.probe.load.ledger import Ledger, Second
from echo_app.probe.load.loop import Loop
from echo_app.probe.load.schedule import endOf
from echo_app.probe.load.stream import StreamConnection
from echo_app.probe.net.errors import Reason
from echo_app.probe.results.results import LoadSettings

# Connections that are opened together at the beginning: fewer than any listening queue holds.
TOGETHER = 100

# Seconds between two steps of a report, and between two checks whether one is due.
STEP, LOOK = 0.001, 0.02

# Seconds of the shortest measured part: one without any time has no rate.
SHORTEST = 1e-6

# Seconds for messages under way after a stop, and for the ends of the streams at the end.
GRACE = 1.0


@dataclass(eq=False)
class LoadGenerator:
    """Generates one worker's share of a load, and reports its measurements.

    :param seed: the same for all workers.
    :param index: of this worker, from 0.
    :param say: called with each report, which becomes a line of JSON.
    :ivar streams: counts the streams of this worker; each number is unique among those of the load.
    """

    loop: Loop
    address: Address
    settings: LoadSettings
    seed: int
    index: int
    say: Callable[[dict[str, Any]], object]

    def __post_init__(self) -> None:
        self.ledger = Ledger()
        self.streams = count(self.index, self.settings.processes)
        kind = StreamConnection if self.address.target.isStream else DatagramConnection
        self._connections: list[Connection] = [kind(self, n) for n in range(self.settings.connections)]
        self._toOpen = iter(self._connections)
        self._untried = set(self._connections)
        self._failed: list[Connection] = []
        self._connecting: Second | None = Second()
        self._deadline = float("inf")
        self._lines: Iterator[float] = iter(())
        settings = self.settings
        self._duration = settings.duration
        self._left: float = NEVER if settings.count is None else settings.count
        if settings.count is not None and settings.rate is not None:
            self._duration = min(self._duration, endOf(settings, self.index, self.seed))

    def take(self, now: float) -> bool:
        """Takes a message of the count; returns False if none is left. Those of a warm-up do not count."""
        if now >= self.ledger.start:
            if not self._left:
                return False
            self._left -= 1
        return True

    def connect(self) -> None:
        """Opens all connections; reports when each is open or has failed."""
        for connection in islice(self._toOpen, TOGETHER):
            connection.open()

    def connected(self, connection: Connection, seconds: float) -> None:
        """Counts a connection that has opened."""
        second = self._connecting or self.ledger.second(self.loop.clock())
        second.connects.record(seconds)
        self._tried(connection)

    def connectFailed(self, connection: Connection, reason: Reason) -> None:
        """Counts a connection that has failed to open."""
        second = self._connecting or self.ledger.second(self.loop.clock())
        second.errors[reason] += 1
        if self._connecting is None:
            connection.openLater()
        else:
            self._failed.append(connection)
            self._tried(connection)

    def _tried(self, connection: Connection) -> None:
        """Opens the next connection of the first attempts, and ends them after the last one."""
        if self._connecting is None:
            return
        self._untried.discard(connection)
        for another in islice(self._toOpen, 1):
            another.open()
        # The connection that was opened here may have failed at once, and may have been the last.
        if not self._untried and self._connecting is not None:
            made, self._connecting = self._connecting, None
            if made.connects:
                made.errors -= self.address.settle()
            self._allTried("".join(made.connects.encoded()), made.errorTexts())

    def _allTried(self, connects: str, errors: dict[str, int]) -> None:
        failed, self._failed = self._failed, []
        if connects:
            for connection in failed:
                connection.openLater()
            self.say({"ready": {"connects": connects, "errors": errors}})
        elif self.address.isLast:
            self._leave({"failed": ", ".join(errors)})
        else:
            self.address.next()
            self._toOpen = iter(self._connections)
            self._untried, self._connecting = set(self._connections), Second()
            self.connect()

    def begin(self, moment: float) -> None:
        """Begins the warm-up at a moment of CLOCK_MONOTONIC."""
        start = moment + self.settings.warmup
        self.ledger.begin(start, start + self._duration)
        self._lines = self._report()
        # A message that is due at that very moment is no longer one of the warm-up.
        self.loop.at(start, lambda moment: self.ledger.carry())
        for connection in self._connections:
            connection.begin(moment)
        self.loop.at(moment, self._tell)

    def stop(self) -> None:
        """Sends no more; messages under way may be answered for GRACE seconds."""
        now = self.loop.clock()
        self.ledger.end = min(self.ledger.end, now)
        self._deadline = min(self._deadline, now + GRACE)
        if self._connecting is not None or self.ledger.count == 0:
            self._connecting = None
            self._leave({"done": True})

    def _leave(self, last: dict[str, Any]) -> None:
        """Sends the last report, and ends all connections and the loop."""
        for connection in self._connections:
            connection.leave()
        self.say(last)
        self.loop.stop()

    def _tell(self, moment: float) -> float | None:
        """Takes the next step of the report; returns the moment of the step after it."""
        self._now = moment
        pause = next(self._lines, None)
        return None if pause is None else max(moment, self.loop.clock() - STEP) + pause

    def _report(self) -> Iterator[float]:
        """Reports each second, and the end; yields the seconds to the next step."""
        number = 0
        while number < self.ledger.count:
            while not self._isOver(number):
                yield LOOK
                self._endByCount()
            if number == self.ledger.count - 1:
                for connection in self._connections:
                    connection.countRest(self.ledger.second(self.ledger.end))
                yield from self._finish()
            data: dict[str, Any] = {"second": number}
            for part in self.ledger.take(number).data():
                data |= part
                yield STEP
            data["differences"], self.ledger.differences = self.ledger.differences, []
            if number == self.ledger.count - 1 and self.address.made:
                data["addresses"] = dict(self.address.made)
            if number == self.ledger.count - 1 and self.settings.count is not None:
                data["ended"] = self.ledger.end - self.ledger.start
            self.say(data)
            number += 1
        self._leave({"done": True})

    def _endByCount(self) -> None:
        """Ends the measured part with the last message of the count, in a closed loop."""
        if not self._left and self.ledger.isSettled:
            self.ledger.end = min(self.ledger.end, max(self.ledger.latest, self.ledger.start + SHORTEST))

    def _isOver(self, number: int) -> bool:
        """Says whether everything that was due in a second is answered or given up."""
        if self._now >= self._deadline:
            return True
        end = min(self.ledger.start + number + 1, self.ledger.end)
        if self._now < end or self.ledger.isPending(number):
            return False
        return not any(each.isBehind(end) for each in self._connections)

    def _finish(self) -> Iterator[float]:
        """Ends every connection, and waits for the ends of the streams: bytes before them are errors."""
        deadline = self._now + GRACE
        for connection in self._connections:
            connection.finish()
        while self._now < deadline and not all(each.isFinished for each in self._connections):
            yield LOOK
