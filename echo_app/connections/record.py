"""Record of one connection: its facts from the accept to the end, besides the kernel's counts.

With an access log, the transport at the bottom of a connection carries its :class:`ConnectionRecord`. The
record exists before any gate, layer or protocol, and outlives them all. Any of these can find the record
with :func:`recordOf`, from its own transport, and note a fact for the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from echo_app.transport.layer import downFrom


class Ending(Enum):
    """The reason for which a connection ended; the value is the word in the access log.

    The transport's end shows the first five. The part that ends the connection notes the others.
    """

    FIN = "fin"
    RESET = "reset"
    TIMEOUT = "timeout"
    CLOSED = "closed"
    ERROR = "error"
    IDLE = "idle"
    STALL = "stall"
    DRAIN = "drain"
    LIMIT = "limit"
    DENIED = "denied"
    HEADER = "header"
    PREAMBLE = "preamble"
    AUTH = "auth"
    TLS = "tls"
    FAULT = "fault"
    RESPONDER = "responder"
    UPSTREAM = "upstream"
    CONTROL = "control"


class PlainCounts(Protocol):
    """Counts of the plain text inside TLS; the kernel counts the encrypted bytes.

    :ivar received: bytes from the peer.
    :ivar sent: bytes to the peer.
    """

    received: int
    sent: int


@dataclass(slots=True, eq=False)
class UpstreamFacts:
    """The facts of the connection to an upstream.

    :param address: the upstream's address.
    :param connectSeconds: time from the client's connection to the upstream's, with the look-up of a name.
    :param received: bytes from the upstream, read or not; those of TLS, where that was begun here.
    :param sent: bytes to the upstream that the kernel took.
    :param rtt: the smoothed round-trip time, in microseconds; None over a UNIX socket.
    :param retransmits: segments that were sent again; None over a UNIX socket.
    :param firstEnd: the side whose stream or connection ended first: ``client`` or ``upstream``.
    :param look: reads the counts again, while the connection is open.
    """

    address: str
    connectSeconds: float
    received: int | None = None
    sent: int | None = None
    rtt: int | None = None
    retransmits: int | None = None
    firstEnd: str | None = None
    look: Callable[[], object] = lambda: None


@dataclass(slots=True, eq=False)
class ConnectionRecord:
    """The facts of one connection, for its entry in the access log.

    :param start: when it began, in seconds since the epoch.
    :param began: the same on a monotonic clock.
    :param faults: the texts of the faults that were chosen for it; set as a whole.
    :param messageFaults: the number of messages that a fault took effect on, by the fault's name.
    :param ended: why it ended; set by :meth:`end`.
    :param detail: more about the ending, such as the name of a limit.
    :param prefix: bytes that gates took off the stream's beginning: a header, a login line, a preamble.
    :param greeting: bytes that gates sent before the stream, such as the answer to a login.
    :param plain: counts the bytes inside our TLS; None without it.
    :param upstream: the facts of the connection to the upstream; None without one.
    :param isPeerEnded: the peer ended its stream, inside TLS or without, and before we ended ours.
    """

    start: float
    began: float
    faults: Sequence[str] = ()
    messageFaults: Counter[str] | None = None
    ended: Ending | None = None
    detail: str = ""
    prefix: int = 0
    greeting: int = 0
    plain: PlainCounts | None = None
    upstream: UpstreamFacts | None = None
    isPeerEnded: bool = False

    def end(self, ending: Ending, detail: str = "") -> None:
        """Notes why the connection ends; only the first call counts, since later events follow from that end.

        :param detail: more about the ending; it is escaped when it is written.
        """
        if self.ended is None:
            self.ended, self.detail = ending, detail


def recordOf(transport: object) -> ConnectionRecord | None:
    """Returns the record of a transport's connection; None if there is no record."""
    for each in downFrom(transport):
        record = getattr(each, "record", None)
        if isinstance(record, ConnectionRecord):
            return record
    return None


def noteEnd(transport: object, ending: Ending, detail: str = "") -> None:
    """Notes in a connection's record, if there is one, why it ends."""
    record = recordOf(transport)
    if record is not None:
        record.end(ending, detail)
