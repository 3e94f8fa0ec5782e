"""Time-outs: ends idle connections and resets stalled ones.

A sweep over all connections compares the kernel's counts with those of the sweep before. There is no timer
for each connection, and no work on the path of a byte. What stands still is seen a sweep late, and cut
another one late. So a time-out is exact to a thirtieth of the shorter one, or to two seconds, whichever is
longer.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from echo_app.connections.record import Ending
from echo_app.connections.registry import ConnectionRegistry
from echo_app.transport.sockets import Progress, progressOf

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from echo_app.connections.connection import Connection

# Seconds between two sweeps, at the least; and as a share of the shorter time-out.
INTERVAL, SHARE = 1.0, 1 / 60

# Connections in one turn of the reactor, which take about a millisecond.
BATCH = 100


class TimeoutSweep:
    """Holds the connections to ``idleTimeout`` and ``stallTimeout``.

    A connection keeps its last counts, when any of them last changed, and when owed bytes last left.

    :param connections: the registry, with the limits.
    :param clock: tells the time.
    """

    def __init__(self, connections: ConnectionRegistry, clock: IReactorTime) -> None:
        self._connections = connections
        self._clock = clock
        self._closing: set[Connection] = set()
        self._rest: Iterator[Connection] = iter(())
        self._call: IDelayedCall | None = None
        limits = connections.limits
        asked = [each for each in (limits.idleTimeout, limits.stallTimeout) if each is not None]
        self._isAsked = bool(asked)
        self._interval = max(INTERVAL, SHARE * min(asked, default=0.0))

    def start(self) -> None:
        """Starts the sweeps, unless both time-outs are off."""
        if self._isAsked and self._call is None:
            self._call = self._clock.callLater(self._interval, self._begin)

    def stop(self) -> None:
        """Stops the sweeps."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _begin(self) -> None:
        opened = self._connections.open
        self._closing.intersection_update(opened)
        self._rest = iter(list(opened))
        self._step()

    def _step(self) -> None:
        """Looks at a batch of connections, and schedules the next batch or sweep."""
        now = self._clock.seconds()
        batch = list(islice(self._rest, BATCH))
        if len(batch) < BATCH:
            self._call = self._clock.callLater(self._interval, self._begin)
        else:
            self._call = self._clock.callLater(0, self._step)
        for connection in batch:
            if connection in self._connections.open:
                self._look(connection, now)

    def _look(self, connection: Connection, now: float) -> None:
        protocol, transport = connection.top()
        if connection in self._closing:
            # The connection was closed a sweep ago: over TLS, its peer does not answer the close either.
            transport.abortConnection()
            return
        progress = progressOf(transport)
        if progress is None:
            return
        connection.noteProgress(progress, bool(progress.held or getattr(protocol, "pending", 0)), now)
        limits = self._connections.limits
        stallTimeout, idleTimeout = limits.stallTimeout, limits.idleTimeout
        if stallTimeout is not None and progress.owed and now - connection.paidAt >= stallTimeout:
            self._cut(connection, Ending.STALL, progress)
        elif idleTimeout is not None and now - connection.movedAt >= idleTimeout:
            self._cut(connection, Ending.IDLE, progress)

    def _cut(self, connection: Connection, ending: Ending, progress: Progress) -> None:
        connection.timeOut(ending)
        if progress.owed or progress.unread:
            connection.top()[1].abortConnection()
        else:
            self._closing.add(connection)
            connection.finish()
