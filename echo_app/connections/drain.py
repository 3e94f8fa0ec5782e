"""Drain: ends a service's connections without losing an echo.

A connection is quiet when nothing was received for a second and nothing is owed: no byte, and no answer
that is under way or held back on purpose. A quiet connection gets our end of stream, and is closed when no
more input came: a close with unread input would be a reset, which destroys bytes under way to the peer.
If more input comes, the connection lingers, a second at most, and is then aborted. A busy connection runs
until its own end. At the deadline all remaining connections are aborted. Aborts are counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from echo_app.connections.record import Ending
from echo_app.connections.registry import ConnectionRegistry
from echo_app.transport.closing import LINGER
from echo_app.transport.sockets import Progress, canHalfClose, progressOf

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from echo_app.connections.connection import Connection

# Seconds between two looks at a connection: five make a quiet second.
INTERVAL = 0.2

# Seconds by which a look is late when the time since it was due does not count.
LATE = 1.0

# Seconds without input after which nothing more is expected (docs/dev/contract.rst, 7).
QUIET = 1.0


@dataclass(slots=True)
class _Draining:
    """The state of one connection in a drain; times are in seconds of the drain's clock.

    :param since: when the last byte was received.
    :param endedAt: when our end of stream was sent; None before.
    """

    received: int
    since: float
    sent: int
    endedAt: float | None = None
    isClosing: bool = False


class Drain:
    """Waits for connections to end, ends the quiet ones, and aborts the rest in time.

    :param connections: the registry of the connections.
    :param clock: tells the time.
    """

    def __init__(self, connections: ConnectionRegistry, clock: IReactorTime) -> None:
        self._connections = connections
        self._clock = clock
        self._deadline = clock.seconds() + connections.limits.drainTimeout
        self._seen: dict[Connection, _Draining] = {}
        self._aborted: set[Connection] = set()
        self._call: IDelayedCall | None = None
        # When the next look is due.
        self._due = clock.seconds()

    def run(self) -> Deferred[None]:
        """Returns a Deferred that fires when no connection is left; it does not fail."""
        done = self._connections.whenEmpty()
        self._step()
        return done.addCallback(lambda _: self._stopLooking())

    def abort(self) -> None:
        """Aborts and counts all open connections, and any that open later."""
        self._stopLooking()
        self._deadline = self._clock.seconds()
        for connection in list(self._connections.open):
            self._abort(connection)

    def _stopLooking(self) -> None:
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _step(self) -> None:
        self._call = None
        now = self._clock.seconds()
        if now - self._due > LATE:
            # The process was stopped, or a turn took long: no connection could end meanwhile.
            self._deadline += now - self._due
        if now >= self._deadline:
            self.abort()
            return
        for connection in list(self._connections.open):
            self._look(connection, now)
        if self._connections.open:
            wait = min(INTERVAL, self._deadline - now)
            self._due = now + wait
            self._call = self._clock.callLater(wait, self._step)

    def _look(self, connection: Connection, now: float) -> None:
        protocol, transport = connection.top()
        # A connection without a socket counts as quiet.
        progress = progressOf(transport) or Progress(0, 0, 0, 0)
        seen = self._seen.setdefault(connection, _Draining(progress.received, now, progress.sent))
        if seen.isClosing:
            return
        more = progress.received != seen.received or progress.unread > 0
        if more:
            seen.received, seen.since = progress.received, now
        if seen.endedAt is None:
            # The transport refills an empty kernel queue from its buffer, in the reactor's next turn. Both
            # are empty only if, besides, nothing was acknowledged since the last look.
            isSending = progress.owed > 0 or progress.sent != seen.sent
            seen.sent = progress.sent
            isOwed = isSending or progress.held or getattr(protocol, "pending", 0)
            if not isOwed and now - seen.since >= QUIET:
                seen.endedAt = now
                self._end(connection, seen)
        elif not more:
            self._close(connection, seen)
        elif now - seen.endedAt >= LINGER:
            self._abort(connection)

    def _end(self, connection: Connection, seen: _Draining) -> None:
        """Sends our end of stream; the peer's end of stream, or the next look, closes the connection."""
        connection.end(Ending.DRAIN)
        _, transport = connection.top()
        if not canHalfClose(transport):
            # A half-close would shut down the TCP connection below Twisted's TLS: a truncation.
            self._close(connection, seen)
        else:
            transport.unregisterProducer()
            transport.loseWriteConnection()

    def _close(self, connection: Connection, seen: _Draining) -> None:
        seen.isClosing = True
        connection.finish()

    def _abort(self, connection: Connection) -> None:
        if connection not in self._aborted:
            self._aborted.add(connection)
            connection.abort()
