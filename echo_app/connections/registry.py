"""The registry of connections: admission, caps, numbers, and counts of how connections ended.

The rules of :class:`ConnectionRegistry`: a connection is in `open` from ``opened`` to ``closed``, and both
are called exactly once for it, or from ``entered`` to ``left``; `perPeer` never holds a zero; a peer is
refused before its connection is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.logger import Logger

from echo_app.addresses import InternetAddress, describe, peerKey
from echo_app.connections.limits import Limits
from echo_app.connections.record import Ending, noteEnd, recordOf
from echo_app.connections.refusal import Refusal
from echo_app.text import escaped

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from echo_app.access.networks import Access
    from echo_app.accesslog.transports import UnknownTransports
    from echo_app.interfaces import Counted, IStreamTransport

log = Logger()

# Descriptors that stay free for what is not a connection: the peer that is being refused, log files
# that are rotated, the resolver. Twisted itself keeps one in reserve for the same reason.
RESERVED_DESCRIPTORS = 16

# Seconds between two lines about the same kind of event: an attack must not fill the disk.
LOG_INTERVAL = 60.0


class ReasonCounter:
    """Counts events by their reason, with one log line a minute at most.

    :param what: the line's subject, such as ``refused peers``.
    :param seconds: returns what time it is, in seconds.
    """

    def __init__(self, what: str, seconds: Callable[[], float] = monotonic) -> None:
        self.byReason: Counter[str] = Counter()
        self._what = what
        self._seconds = seconds
        self._nextLine = -inf

    def add(self, reason: str, detail: str = "") -> None:
        """Counts one event; the first one is logged at once, and the sum at most once a minute.

        :param detail: what a line that comes of this event says of it besides; it is escaped.
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
    :param seconds: returns what time it is, in seconds: what log lines are spaced by.
    :param descriptorLimit: the number that the process's descriptors stay below; a connection whose
        descriptor comes within 16 of it is refused. None is no such limit.
    :param access: the networks whose peers may connect; None is all.
    :param logConnections: log each connection's beginning and end, at debug level.
    :param unknown: records connections whose transport has no record; None where nothing is recorded.

    :ivar admitted: the number of the connection that was admitted last.
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
        self.open: dict[Counted, str | None] = {}
        self.perPeer: Counter[str] = Counter()
        self.accepted = 0
        self.admitted = 0
        self.aborted = 0
        self.lost = 0
        self.refused = ReasonCounter("refused peers", seconds)
        self.timedOut = ReasonCounter("timed out connections", seconds)
        self._access = access
        self._waiting: list[Deferred[None]] = []
        self._logConnections = logConnections
        self._unknown = unknown
        self._highestDescriptor = None if descriptorLimit is None else descriptorLimit - RESERVED_DESCRIPTORS

    def admit(self, address: object) -> int | Refusal:
        """Admits a peer's connection and numbers it, or refuses and counts it.

        :return: the connection's number, from 1 in the order of admission; or the refusal, with its reason.
        """
        refusal = self.refusalOf(address)
        if refusal is not None:
            return refusal
        self.admitted += 1
        return self.admitted

    def refusalOf(self, address: object) -> Refusal | None:
        """Returns the refusal of a peer, which is counted; None where the peer may connect now.

        :param address: None while it is not known: then only the cap on all connections applies.
        """
        if self._access is not None and address is not None and not self._access.permits(address):
            self.refused.add("denied", describe(address))
            return Refusal(Ending.DENIED)
        limits = self.limits
        key = self._keyOf(address)
        if limits.maxConnections is not None and len(self.open) >= limits.maxConnections:
            reason = "max-connections"
        elif key is not None and self.perPeer[key] >= (limits.maxConnectionsPerPeer or 0):
            reason = "max-connections-per-peer"
        else:
            return None
        self.refused.add(reason)
        return Refusal(Ending.LIMIT, reason)

    def number(self, protocol: Counted, number: int) -> None:
        """Gives a protocol its connection's number if a record will have it: the number costs memory."""
        if self._unknown is not None:
            protocol.number = number

    def refuse(
        self, transport: object, ending: Ending, reason: str, detail: str = "", line: str = ""
    ) -> None:
        """Counts and notes the refusal of a connection that has a transport already.

        :param reason: the reason that is counted.
        :param detail: more about it, for the record; the reason where there is none.
        :param line: a text about this connection for the log.
        """
        self.refused.add(reason, line)
        noteEnd(transport, ending, detail or reason)

    def entered(self, protocol: Counted, peer: object = None) -> bool:
        """Counts a connection that is not served yet, such as one in a gate.

        :param peer: the address that it counts under; None while it is not known.
        :return: whether its descriptor leaves enough for everything else.
        """
        fileno = getattr(protocol.transport, "fileno", None)
        highest = self._highestDescriptor
        if highest is not None and fileno is not None and fileno() >= highest:
            self.refuse(protocol.transport, Ending.LIMIT, "descriptors")
            return False
        if self._unknown is not None:
            self._unknown.began(protocol.transport)
        if protocol.number is not None and (record := recordOf(protocol.transport)) is not None:
            record.number = protocol.number
        key = self.open[protocol] = self._keyOf(peer)
        if key is not None:
            self.perPeer[key] += 1
        return True

    def left(self, protocol: Counted) -> None:
        """Forgets a connection that ended before it was served; a second call is harmless."""
        if protocol in self.open:
            self._forget(protocol)
            self._tellIfEmpty()

    @contextmanager
    def handingOver(self, protocol: Counted) -> Iterator[None]:
        """Forgets a connection that goes on under another protocol, which is counted in here."""
        self._forget(protocol)
        try:
            yield
        finally:
            self._tellIfEmpty()

    def opened(self, protocol: Counted) -> bool:
        """Counts a connection; says whether its descriptor leaves enough for everything else."""
        # A transport makes an address whenever it is asked for one.
        isCapped = self.limits.maxConnectionsPerPeer is not None
        if not self.entered(protocol, protocol.transport.getPeer() if isCapped else None):
            return False
        self.accepted += 1
        if self._logConnections:
            log.debug("connection from {peer}", peer=describe(protocol.transport.getPeer()))
        return True

    def loggedIn(self, peer: object, user: str) -> None:
        """Notes who a peer is, before its connection is served."""
        if self._logConnections:
            log.debug("{peer} logged in as {user}", peer=describe(peer), user=escaped(user))

    def closed(self, protocol: Counted, reason: Failure) -> None:
        """Counts a connection's end, and as lost one that ended with an error not of our making."""
        self._forget(protocol)
        if self._unknown is not None:
            self._unknown.ended(protocol.transport, reason)
        # Failure.check() compares names, which takes seven times as long.
        self.lost += not isinstance(reason.value, (ConnectionDone, ConnectionAborted))
        if self._logConnections:
            log.debug(
                "connection from {peer} ended: {reason}",
                peer=describe(protocol.transport.getPeer()),
                reason=escaped(reason.getErrorMessage()),
            )
        self._tellIfEmpty()

    def whenEmpty(self) -> Deferred[None]:
        """Returns a Deferred that fires when no connection is open; it does not fail."""
        if not self.open:
            return succeed(None)
        deferred: Deferred[None] = Deferred()
        self._waiting.append(deferred)
        return deferred

    def timeOut(self, transport: object, ending: Ending, detail: str = "") -> None:
        """Counts and notes that a connection timed out."""
        self.timedOut.add(ending.value)
        noteEnd(transport, ending, detail)

    def abort(self, transport: IStreamTransport) -> None:
        """Aborts a connection that did not end in time, counts and notes it."""
        self.aborted += 1
        noteEnd(transport, Ending.DRAIN)
        transport.abortConnection()

    def _keyOf(self, address: object) -> str | None:
        """Returns what is counted for a peer; None where no cap by peer applies."""
        if self.limits.maxConnectionsPerPeer is None:
            return None
        return peerKey(address.host) if isinstance(address, InternetAddress) else None

    def _forget(self, protocol: Counted) -> None:
        key = self.open.pop(protocol)
        if key is not None:
            self.perPeer[key] -= 1
            if not self.perPeer[key]:
                del self.perPeer[key]

    def _tellIfEmpty(self) -> None:
        if not self.open:
            waiting, self._waiting = self._waiting, []
            for deferred in waiting:
                deferred.callback(None)
