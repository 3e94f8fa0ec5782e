"""The registry of connections: admission, caps, descriptors kept free, numbers, and counts of ends.

The rules of :class:`ConnectionRegistry`: a connection is in `open` from ``opened`` to ``closed``, and both
are called once for each connection. `perPeer` never holds a zero. A refused peer is not in `perPeer`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.logger import Logger

from echo_app.addresses import InternetAddress, describe, peerKey
from echo_app.connections.connection import Connection
from echo_app.connections.limits import Limits
from echo_app.connections.record import Ending
from echo_app.connections.refusal import Refusal
from echo_app.text import escaped

if TYPE_CHECKING:
    from twisted.internet.interfaces import IAddress
    from twisted.python.failure import Failure

    from echo_app.access.networks import Access
    from echo_app.accesslog.transports import UnknownTransports

log = Logger()

# Descriptors that stay free for other uses: the peer that is being refused, log files that are rotated,
# the resolver. Twisted itself keeps one in reserve for the same reason.
RESERVED_DESCRIPTORS = 16

# Seconds between two lines about the same kind of event: an attack must not fill the disk.
LOG_INTERVAL = 60.0


class ReasonCounter:
    """Counts events by their reason, with one log line a minute at most.

    :param what: the line's subject, such as ``refused peers``.
    :param seconds: returns the time, in seconds.
    """

    def __init__(self, what: str, seconds: Callable[[], float] = monotonic) -> None:
        self.byReason: Counter[str] = Counter()
        self._what = what
        self._seconds = seconds
        self._nextLine = -inf

    def add(self, reason: str, detail: str = "") -> None:
        """Counts one event; the first one is logged at once, and the sum at most once a minute.

        :param detail: more about this event, for the line that reports it; it is escaped.
        """
        self.byReason[reason] += 1
        now = self._seconds()
        if now >= self._nextLine:
            self._nextLine = now + LOG_INTERVAL
            last = f" (the last one: {escaped(detail)})" if detail else ""
            log.warn("{what}: {counts}{last}", what=self._what, counts=str(self), last=last)

    def __str__(self) -> str:
        return ", ".join(f"{n} {reason}" for reason, n in sorted(self.byReason.items())) or "0"


class ConnectionRegistry:
    """The open connections of one or several listeners, held to common limits.

    :param limits: the caps.
    :param seconds: returns the time, in seconds, which spaces the log lines.
    :param descriptorLimit: the number that the process's descriptors stay below; a connection whose
        descriptor comes within 16 of it is refused. None is no such limit.
    :param access: the networks whose peers may connect; None is all.
    :param logConnections: log each connection's beginning and end, at debug level.
    :param unknown: records connections whose transport has no record; None without an access log.

    :ivar admitted: the number of the connection that was admitted last.
    :ivar makeRoom: ends a pending connection in favour of a new one, and returns whether it did.
    """

    def __init__(
        self,
        limits: Limits,
        seconds: Callable[[], float] = monotonic,
        *,
        descriptorLimit: int | None = None,
        access: Access | None = None,
        logConnections: bool = False,
        unknown: UnknownTransports | None = None,
    ) -> None:
        self.limits = limits
        self.open: dict[Connection, None] = {}
        self.perPeer: Counter[str] = Counter()
        self.accepted = 0
        self.admitted = 0
        self.makeRoom: Callable[[], bool] = lambda: False
        self.aborted = 0
        self.lost = 0
        self.refused = ReasonCounter("refused peers", seconds)
        self.timedOut = ReasonCounter("timed out connections", seconds)
        self._access = access
        self._waiting: list[Deferred[None]] = []
        self._logConnections = logConnections
        self._unknown = unknown
        self._highestDescriptor = None if descriptorLimit is None else descriptorLimit - RESERVED_DESCRIPTORS

    def admit(self, address: IAddress | None, pending: Connection | None = None) -> Connection | Refusal:
        """Admits a peer: returns its numbered connection, or the refusal, which is counted.

        :param pending: the peer's open connection, from :meth:`expect`; None makes a new one.
        """
        key = None if self.limits.maxConnectionsPerPeer is None else _keyOf(address)
        refusal = self._refusalOf(address, key, len(self.open) - (pending is not None))
        if refusal is not None:
            return refusal
        self.admitted += 1
        if pending is None:
            return Connection(self, self.admitted, key)
        pending.number, pending.key = self.admitted, key
        if key is not None:
            self.perPeer[key] += 1
        return pending

    def expect(self) -> Connection | Refusal:
        """Returns a connection whose peer is not known yet, without a number; or the refusal.

        Only the cap on all connections applies now; ``Connection.admit`` applies the other rules later.
        """
        return self._refusalOf(None, None, len(self.open)) or Connection(self)

    def refusal(self, ending: Ending, reason: str, line: str = "") -> Refusal:
        """Counts the refusal of a connection that was not admitted, and returns the refusal.

        :param reason: the name of the count.
        :param line: a text about this connection for the log.
        """
        self.refused.add(reason, line)
        return Refusal(ending, "" if reason == ending.value else reason)

    def _refusalOf(self, address: IAddress | None, key: str | None, others: int) -> Refusal | None:
        if self._access is not None and address is not None and not self._access.permits(address):
            return self.refusal(Ending.DENIED, "denied", describe(address))
        limits = self.limits
        if limits.maxConnections is not None and others >= limits.maxConnections and not self.makeRoom():
            return self.refusal(Ending.LIMIT, "max-connections")
        if key is not None and self.perPeer[key] >= (limits.maxConnectionsPerPeer or 0):
            return self.refusal(Ending.LIMIT, "max-connections-per-peer")
        return None

    def opened(self, connection: Connection) -> bool:
        """Counts a connection as open.

        :return: False if too few descriptors would stay free; the connection is then refused.
        """
        highest = self._highestDescriptor
        if highest is not None:
            fileno = getattr(connection.transport, "fileno", None)
            if fileno is not None and fileno() >= highest:
                connection.refuse(Ending.LIMIT, "descriptors")
                return False
        if self._unknown is not None:
            self._unknown.began(connection.transport)
        self.open[connection] = None
        if connection.key is not None:
            self.perPeer[connection.key] += 1
        return True

    def served(self, connection: Connection) -> None:
        """Counts a connection as accepted."""
        self.accepted += 1
        if self._logConnections:
            log.debug("connection from {peer}", peer=describe(connection.transport.getPeer()))

    def loggedIn(self, connection: Connection) -> None:
        """Logs the user of a connection that is not served yet."""
        if self._logConnections:
            peer = describe(connection.transport.getPeer())
            log.debug("{peer} logged in as {user}", peer=peer, user=escaped(connection.user or ""))

    def closed(self, connection: Connection, reason: Failure) -> None:
        """Counts a connection's end; a served one that ended with an error, not by our abort, is lost."""
        if connection not in self.open:
            return
        del self.open[connection]
        key = connection.key
        if key is not None:
            self.perPeer[key] -= 1
            if not self.perPeer[key]:
                del self.perPeer[key]
        if self._unknown is not None:
            self._unknown.ended(connection, reason)
        if connection.isServed:
            # Failure.check() compares names, which takes seven times as long.
            self.lost += not isinstance(reason.value, (ConnectionDone, ConnectionAborted))
            if self._logConnections:
                log.debug(
                    "connection from {peer} ended: {reason}",
                    peer=describe(connection.transport.getPeer()),
                    reason=escaped(reason.getErrorMessage()),
                )
        if not self.open:
            waiting, self._waiting = self._waiting, []
            for deferred in waiting:
                deferred.callback(None)

    def whenEmpty(self) -> Deferred[None]:
        """Returns a Deferred that fires when no connection is open; it does not fail."""
        if not self.open:
            return succeed(None)
        deferred: Deferred[None] = Deferred()
        self._waiting.append(deferred)
        return deferred


def _keyOf(address: IAddress | None) -> str | None:
    """Returns the key of a peer in the counts by peer; None for a peer without an IP address."""
    return peerKey(address.host) if isinstance(address, InternetAddress) else None
