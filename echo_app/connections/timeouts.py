"""Time-outs: ends idle connections and resets stalled ones.

One sweep a second over all connections compares what the kernel counts with what it counted before.
There is no timer by connection, and nothing on the path of a byte. A time-out is therefore exact to a
second or two.
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

    from echo_app.interfaces import Counted

# Seconds between two sweeps.
INTERVAL = 1.0

# Connections that are looked at before the reactor has its turn: about a millisecond's worth.
BATCH = 100


class TimeoutSweep:
    """Holds the connections to ``idleTimeout`` and ``stallTimeout``.

    The state of a connection is what was last seen of it and since when: since when nothing moved in
    either direction, and since when nothing that is owed moved.

    :param connections: the connections and their limits.
    :param clock: what time is.
    """

    def __init__(self, connections: ConnectionRegistry, clock: IReactorTime) -> None:
        self._connections = connections
        self._clock = clock
        self._seen: dict[Counted, tuple[Progress, float, float]] = {}
        self._closing: set[Counted] = set()
        self._rest: Iterator[Counted] = iter(())
        self._call: IDelayedCall | None = None

    def start(self) -> None:
        """Begins to sweep, unless both time-outs are never."""
        limits = self._connections.limits
        isAsked = limits.idleTimeout is not None or limits.stallTimeout is not None
        if isAsked and self._call is None:
            self._call = self._clock.callLater(INTERVAL, self._begin)

    def stop(self) -> None:
        """Ends the sweeping."""
        if self._call is not None:
            self._call.cancel()
            self._call = None
        self._seen.clear()

    def _begin(self) -> None:
        everyone = self._connections.open
        self._seen = {each: seen for each, seen in self._seen.items() if each in everyone}
        self._closing.intersection_update(everyone)
        self._rest = iter(list(everyone))
        self._step()

    def _step(self) -> None:
        """Looks at a batch of connections; then comes the reactor's turn, or the next sweep."""
        now = self._clock.seconds()
        batch = list(islice(self._rest, BATCH))
        if len(batch) < BATCH:
            self._call = self._clock.callLater(INTERVAL, self._begin)
        else:
            self._call = self._clock.callLater(0, self._step)
        for protocol in batch:
            if protocol in self._connections.open:
                self._look(protocol, now)

    def _look(self, protocol: Counted, now: float) -> None:
        if protocol in self._closing:
            # It was closed a sweep ago: its peer, over TLS, does not answer to that either.
            protocol.transport.abortConnection()
            return
        progress = progressOf(protocol.transport)
        if progress is None:
            return
        before, movedAt, paidAt = self._seen.get(protocol, (None, now, now))
        if progress != before or progress.held or protocol.pending:
            movedAt = now
            if before is None or _isPaying(before, progress):
                paidAt = now
            self._seen[protocol] = (progress, movedAt, paidAt)
        limits = self._connections.limits
        if limits.stallTimeout is not None and progress.owed and now - paidAt >= limits.stallTimeout:
            self._cut(protocol, Ending.STALL, progress)
        elif limits.idleTimeout is not None and now - movedAt >= limits.idleTimeout:
            self._cut(protocol, Ending.IDLE, progress)

    def _cut(self, protocol: Counted, ending: Ending, progress: Progress) -> None:
        self._connections.timeOut(protocol.transport, ending)
        if progress.owed or progress.unread:
            protocol.transport.abortConnection()
        else:
            self._closing.add(protocol)
            protocol.finish()


def _isPaying(before: Progress, progress: Progress) -> bool:
    """Says whether what is owed has moved, or had not been owed at all."""
    return not before.owed or progress.sent != before.sent or progress.owed < before.owed
