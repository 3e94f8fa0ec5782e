"""Ends a service's connections without losing an echo.

A connection is quiet when nothing was received for a second and nothing is owed: no byte, and no answer
that is under way or held back on purpose. A quiet one gets our end of stream, and is closed when nothing
more came: a close with unread input would be a reset, which destroys what is still under way to the peer.
While input does come it lingers, a second at most, and is then aborted. A busy one runs until its own end.
At the deadline whatever is left is aborted. What is aborted is counted.
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

# Seconds between two looks: five of them make out a quiet second.
INTERVAL = 0.2

# Seconds by which a look is late when the time since it was due does not count.
LATE = 1.0

# Seconds without input after which nothing more is expected (docs/dev/contract.rst, 7).
QUIET = 1.0


@dataclass(slots=True)
class _Draining:
    """What is known of a connection: bytes sent and received, since when no more, how far its end has come.

    :param since: when the last byte was received.
    """

    received: int
    since: float
    sent: int
    endedAt: float | None = None
    isClosing: bool = False


class Drain:
    """Waits for connections to end, ends the quiet ones, and aborts the rest in time.

    :param connections: what is to be emptied.
    :param clock: what time is.
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
        return done.addCallback(lambda _: self._rest())

    def abort(self) -> None:
        """Aborts, and counts, every connection that is still open, and those that are accepted yet."""
        self._rest()
        self._deadline = self._clock.seconds()
        for connection in list(self._connections.open):
            self._abort(connection)

    def _rest(self) -> None:
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
        # Without a socket to ask, a connection counts as quiet.
        progress = progressOf(transport) or Progress(0, 0, 0, 0)
        seen = self._seen.setdefault(connection, _Draining(progress.received, now, progress.sent))
        if seen.isClosing:
            return
        more = progress.received != seen.received or progress.unread > 0
        if more:
            seen.received, seen.since = progress.received, now
        if seen.endedAt is None:
            # A kernel's queue that the peer has emptied is filled again from the transport's buffer, in the
            # reactor's next turn. Both are empty where nothing was acknowledged since the last look either.
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
        """Sends our end of stream; the peer's own, or the next look, closes the connection."""
        connection.end(Ending.DRAIN)
        _, transport = connection.top()
        if not canHalfClose(transport):
            # It would shut down the TCP connection below Twisted's TLS: a truncation.
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
