"""Record of one connection: its facts from the accept to the end, besides the kernel's counts.

The transport at the bottom of a connection carries its :class:`ConnectionRecord`, if an access log is asked
for: it is there before any gate, layer or protocol, and outlives them all. Whoever learns something that
the log should say finds the record with :func:`recordOf`, from the transport that it has, and notes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from echo_app.transport.layer import downFrom


class Ending(Enum):
    """Why a connection ended; the value is the word in the access log.

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
    CONTROL = "control"


class PlainCounts(Protocol):
    """Counts the bytes of a stream where the kernel's counts are another stream's.

    :ivar received: bytes from the peer.
    :ivar sent: bytes to the peer.
    """

    received: int
    sent: int


@dataclass(slots=True, eq=False)
class ConnectionRecord:
    """One connection.

    :param start: when, in seconds since the epoch.
    :param began: the same on a clock that is never set.
    :param faults: the texts of the faults that were chosen for it; set as a whole.
    :param ended: why it ended; set by :meth:`end`.
    :param detail: what is to be said of that besides, such as which limit.
    :param prefix: bytes that gates took off the stream's beginning: a header, a login line, a preamble.
    :param greeting: bytes that gates sent before the stream, such as the answer to a login.
    :param plain: counts the bytes inside our TLS; None without it.
    :param isPeerEnded: the peer ended its stream, inside TLS or without, and before we ended ours.
    """

    start: float
    began: float
    faults: Sequence[str] = ()
    ended: Ending | None = None
    detail: str = ""
    prefix: int = 0
    greeting: int = 0
    plain: PlainCounts | None = None
    isPeerEnded: bool = False

    def end(self, ending: Ending, detail: str = "") -> None:
        """Notes why the connection ends; only the first call counts, since later events follow from it.

        :param detail: more about the ending; it is escaped when it is written.
        """
        if self.ended is None:
            self.ended, self.detail = ending, detail


def recordOf(transport: object) -> ConnectionRecord | None:
    """Returns the record of the connection that a transport is a part of; None if it is not recorded."""
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
