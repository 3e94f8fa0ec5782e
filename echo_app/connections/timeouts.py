"""Time-outs: ends idle connections and resets stalled ones.

The kernel dates the last byte of a TCP connection, so a connection is looked at for idleness when its last
byte is one time-out old. Nothing dates the moment from which on a peer takes no byte: in each sweep one
system call for each connection tells whether it is owed bytes, and only those that are owed some are looked
at. Of UNIX connections nothing is dated, and each sweep compares their counts with those of the sweep before.
There is no timer for each connection, and no work on the path of a byte.

An idle time-out is late by a sweep at the most, a stall time-out by two: what stands still is seen a sweep
late, and cut another one late. So a time-out is exact to a thirtieth of itself, or to two seconds, whichever
is longer.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from echo_app.connections.record import Ending
from echo_app.connections.registry import ConnectionRegistry
from echo_app.transport.sockets import Progress, owes, progressOf

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from echo_app.connections.connection import Connection
    from echo_app.interfaces import IStreamTransport

# Seconds between two sweeps, at the least; and as a share of the time-out.
INTERVAL, SHARE = 1.0, 1 / 60

# Connections in one turn of the reactor, which take about half a millisecond.
BATCH = 400


class Debt(NamedTuple):
    """The bytes that a peer was owed when a sweep looked.

    :param sent: bytes that the peer had acknowledged.
    :param owed: bytes in the kernel's queue to the peer.
    :param paidAt: when some of them had last left, in seconds of the sweep's clock.
    """

    sent: int
    owed: int
    paidAt: float


class TimeoutSweep:
    """Holds the connections to ``idleTimeout`` and ``stallTimeout``.

    :param connections: the registry, with the limits.
    :param clock: tells the time.

    :ivar _debts: what the peers of transports were owed in the last sweep that asked.
    :ivar _found: the debts of the sweep under way.
    :ivar _undated: the counts of UNIX connections in the last sweep, and when they last changed.
    :ivar _compared: those of the sweep under way.
    """

    def __init__(self, connections: ConnectionRegistry, clock: IReactorTime) -> None:
        self._connections = connections
        self._clock = clock
        self._closing: set[Connection] = set()
        self._debts: dict[IStreamTransport, Debt] = {}
        self._found: dict[IStreamTransport, Debt] = {}
        self._undated: dict[Connection, tuple[Progress, float]] = {}
        self._compared: dict[Connection, tuple[Progress, float]] = {}
        self._rest: Iterator[Connection] = iter(())
        self._call: IDelayedCall | None = None
        limits = connections.limits
        asked = [each for each in (limits.idleTimeout, limits.stallTimeout) if each is not None]
        self._isAsked = bool(asked)
        self._interval = _intervalOf(min(asked, default=0.0))
        # Debts are asked for in every how many sweeps; 0 is never.
        stallTimeout = limits.stallTimeout
        self._every = 0 if stallTimeout is None else int(_intervalOf(stallTimeout) // self._interval)
        self._sweeps = 0

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
        self._sweeps += 1
        if self._asksForDebts():
            self._debts, self._found = self._found, {}
        self._undated, self._compared = self._compared, {}
        self._rest = iter(list(opened))
        self._step()

    def _asksForDebts(self) -> bool:
        return bool(self._every) and self._sweeps % self._every == 0

    def _step(self) -> None:
        """Looks at a batch of connections, and schedules the next batch or sweep."""
        now = self._clock.seconds()
        batch = list(islice(self._rest, BATCH))
        if len(batch) < BATCH:
            self._call = self._clock.callLater(self._interval, self._begin)
        else:
            self._call = self._clock.callLater(0, self._step)
        opened, closing, asksForDebts = self._connections.open, self._closing, self._asksForDebts()
        isIdleAsked = self._connections.limits.idleTimeout is not None
        for connection in batch:
            if connection not in opened:
                continue
            if closing and connection in closing:
                # The connection was closed a sweep ago: over TLS, its peer does not answer the close either.
                connection.top()[1].abortConnection()
                continue
            if asksForDebts and self._isStalled(connection, now):
                self._cut(connection, Ending.STALL)
            elif isIdleAsked and now >= connection.idleAt and self._isIdle(connection, now):
                self._cut(connection, Ending.IDLE)

    def _isStalled(self, connection: Connection, now: float) -> bool:
        """Says whether the peer, or the upstream, is owed bytes and has taken none for the time-out."""
        upstream = connection.upstream
        return (owes(connection.transport) and self._stands(connection.transport, now)) or (
            upstream is not None and owes(upstream) and self._stands(upstream, now)
        )

    def _stands(self, transport: IStreamTransport, now: float) -> bool:
        progress = progressOf(transport)
        if progress is None:
            return False
        debt = self._debts.get(transport)
        if debt is None or progress.sent != debt.sent or progress.owed < debt.owed:
            # Nothing was owed, or some of the owed bytes have left.
            debt = Debt(progress.sent, progress.owed, now)
        self._found[transport] = debt
        return now - debt.paidAt >= (self._connections.limits.stallTimeout or 0)

    def _isIdle(self, connection: Connection, now: float) -> bool:
        """Says whether no byte has moved for the time-out; notes when to look again.

        One that is owed bytes is left to the stall time-out, if that is not the longer one.
        """
        limits = self._connections.limits
        timeout = limits.idleTimeout or 0
        protocol, transport = connection.top()
        progress = progressOf(transport)
        if progress is None or progress.held or getattr(protocol, "pending", 0):
            connection.idleAt = now + timeout
            return False
        if progress.owed and timeout >= (limits.stallTimeout or inf):
            return False
        if progress.quiet is None:
            before = self._undated.get(connection)
            unchanged = before if before is not None and before[0] == progress else (progress, now)
            self._compared[connection] = unchanged
            return now - unchanged[1] >= timeout
        connection.idleAt = now - progress.quiet + timeout
        return now >= connection.idleAt

    def _cut(self, connection: Connection, ending: Ending) -> None:
        transport = connection.top()[1]
        progress = progressOf(transport) or Progress(0, 0, 0, 0)
        connection.timeOut(ending)
        if progress.owed or progress.unread:
            transport.abortConnection()
        else:
            self._closing.add(connection)
            connection.finish()


def _intervalOf(timeout: float) -> float:
    return max(INTERVAL, SHARE * timeout)
