"""Record of one connection of an examination: its bytes, times and ends, and what the kernel says of it."""

from __future__ import annotations

import socket
import struct
from dataclasses import asdict, dataclass
from typing import Any

from echo_app.probe.net.errors import ErrorKind, Reason, timedOut
from echo_app.probe.results.difference import StreamDifference
from echo_app.tcpfields import tcpInfoReader

# Fields of TCP_INFO, in the kernel's order.
_FIELDS = (
    *(
        "state",
        "retransmits",
        "backoff",
        "options",
        "snd_mss",
        "unacked",
        "rtt",
        "total_retrans",
        "bytes_acked",
        "bytes_received",
    ),
    *("segs_out", "segs_in", "notsent_bytes", "min_rtt", "data_segs_in", "data_segs_out"),
    *("dsack_dups", "reord_seen", "rcv_ooopack"),
)
_read = tcpInfoReader(*_FIELDS)

# States of a connection whose peer has reset it, or sent FIN: CLOSE and CLOSE_WAIT (net/tcp_states.h).
ENDED_STATES = (7, 8)

# The kernel's value of ``min_rtt`` before there is a sample.
_NO_SAMPLE = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class TCPSample:
    """The kernel's counts of a TCP connection at one moment (``TCP_INFO``, linux/tcp.h).

    :param state: of the connection (net/tcp_states.h); 1 is ESTABLISHED.
    :param retransmits: retransmissions in a row of the oldest segment that is not acknowledged.
    :param backoff: how often the retransmission time-out was doubled.
    :param options: those of both SYNs, a bit each; 4 is window scaling (RFC 7323, 2).
    :param sendMSS: payload bytes of the largest segment that is sent.
    :param unacked: segments that are sent, and not acknowledged.
    :param roundTrip: seconds of the kernel's smoothed round trip (RFC 6298, 2); 0 before there is a sample.
    :param allRetransmits: segments that were sent again, SYNs too.
    :param bytesAcked: payload bytes that the far end has acknowledged, and one for each of SYN and FIN.
    :param segmentsIn: segments that came, acknowledgements too.
    :param dataSegmentsIn: segments with payload that came.
    :param notSent: payload bytes that wait in this kernel to be sent for the first time.
    :param minRTT: seconds of the shortest round trip that the kernel has measured; None without one.
    :param needless: segments that were sent again although the first copy had arrived (DSACK, RFC 2883).
    :param reorderings: how often acknowledgements showed that segments of ours were reordered, not lost.
    :param outOfOrder: segments that came out of order.
    """

    state: int
    retransmits: int
    backoff: int
    options: int
    sendMSS: int
    unacked: int
    roundTrip: float
    allRetransmits: int
    bytesAcked: int
    bytesReceived: int
    segmentsOut: int
    segmentsIn: int
    notSent: int
    minRTT: float | None
    dataSegmentsIn: int
    dataSegmentsOut: int
    needless: int
    reorderings: int
    outOfOrder: int


def sampleOf(sock: socket.socket) -> TCPSample | None:
    """Asks the kernel; returns None for a socket that is not TCP, or is closed, and before Linux 5.4."""
    if sock.fileno() < 0 or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    try:
        values = list(_read(sock))
    except struct.error:
        # The structure is shorter.
        return None
    shortest = _FIELDS.index("min_rtt")
    values[shortest] = None if values[shortest] == _NO_SAMPLE else values[shortest] / 1e6
    values[_FIELDS.index("rtt")] /= 1e6
    return TCPSample(*values)


@dataclass(slots=True)
class ConnectionRecord:
    """Record of one connection. All moments are seconds since the examination's begin.

    :ivar number: of the connection, in the order in which they were begun.
    :ivar check: the name of the check that made it.
    :ivar began: when connecting began.
    :ivar connected: seconds until the connection was there; None if it is not.
    :ivar shaken: seconds until the TLS handshake was done as well; None without one.
    :ivar failure: why it was not made; None if it was, or was given up.
    :ivar local: the host and port of this end; empty for a UNIX socket.
    :ivar sent: payload bytes that were given to be sent.
    :ivar came: bytes that came back and were as sent.
    :ivar answered: messages of a segment at the most that came back whole, each sent when nothing was due.
    :ivar firstAnswer: seconds from the first write to the first byte that came; None without one.
    :ivar difference: the first difference between the bytes sent and those that came.
    :ivar foreign: the bytes from the difference on, some of them.
    :ivar due: the bytes that were due there, or at the end or the silence, some of them.
    :ivar end: how the peer ended; None if it has not, as far as was read.
    :ivar ended: when that was seen.
    :ivar isHalfClosed: we had ended our side before: an end was due.
    :ivar silence: seconds of the last wait in which no byte came that was due; 0 without one.
    :ivar lastCame: when the last byte came.
    :ivar longestWait: seconds of the longest wait for bytes that were due, after others had come.
    :ivar waitedAt: the offset of the byte that this wait was for.
    :ivar waitedSince: when this wait began.
    :ivar closed: when we closed it.
    :ivar made: the kernel's counts when the connection was made.
    :ivar silent: the kernel's counts at the end of the silence.
    :ivar last: the kernel's counts when it was closed.
    """

    number: int
    check: str
    began: float
    connected: float | None = None
    shaken: float | None = None
    failure: Reason | None = None
    local: tuple[str, int] | None = None
    sent: int = 0
    came: int = 0
    answered: int = 0
    firstAnswer: float | None = None
    difference: StreamDifference | None = None
    foreign: bytes = b""
    due: bytes = b""
    end: Reason | None = None
    ended: float | None = None
    isHalfClosed: bool = False
    silence: float = 0
    lastCame: float | None = None
    longestWait: float = 0
    waitedAt: int = 0
    waitedSince: float = 0
    closed: float | None = None
    made: TCPSample | None = None
    silent: TCPSample | None = None
    last: TCPSample | None = None

    @property
    def isMade(self) -> bool:
        """Says whether the connection was there, with TLS where TLS was asked for."""
        return self.connected is not None and self.failure is None

    @property
    def age(self) -> float | None:
        """Returns the seconds from the connection's begin to the peer's end; None while it has not ended."""
        return None if self.ended is None else self.ended - self.began

    @property
    def isCut(self) -> bool:
        """Says whether the peer ended the connection before we did, or reset it."""
        return self.end is not None and (not self.isHalfClosed or self.end.kind is ErrorKind.RESET)

    @property
    def isShort(self) -> bool:
        """Says whether bytes are missing that were waited for."""
        return self.isMade and self.came < self.sent and (self.end is not None or self.silence > 0)

    @property
    def isServed(self) -> bool:
        """Says whether a byte came back, as sent."""
        return self.came > 0

    @property
    def endOrSilence(self) -> Reason | None:
        """Returns the peer's end, or the time-out of the last wait; None where there was neither."""
        return self.end or (timedOut(self.silence) if self.silence else None)

    def data(self) -> dict[str, Any]:
        """Returns the record for JSON, without what is not known or did not happen."""
        values = asdict(self)
        values["foreign"], values["due"] = self.foreign[:64].hex(), self.due[:64].hex()
        for name in ("failure", "end", "difference"):
            values[name] = str(getattr(self, name) or "")
        return {name: value for name, value in values.items() if value or name in ("number", "sent", "came")}
