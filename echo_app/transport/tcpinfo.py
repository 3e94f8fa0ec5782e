"""TCP_INFO: the kernel's counts of a TCP connection, and the bytes of its stream.

The kernel counts in sequence numbers, in which an end of stream (FIN) has a place like a byte. Seen on Linux
6.18: ``tcpi_bytes_received`` counts the peer's FIN as soon as it has come, read or not; ``tcpi_bytes_acked``
counts ours when it is acknowledged, and ``SIOCOUTQ`` until then; a reset is counted nowhere, and leaves all
counters as they were. The SYN of an accepted connection is counted nowhere either.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from termios import FIONREAD, TIOCOUTQ

from echo_app.tcpfields import tcpInfoReader
from echo_app.transport.sockets import queued

# In the order of TCPInfo's.
_fields = tcpInfoReader(
    "state",
    "lost",
    "rtt",
    "rttvar",
    "total_retrans",
    "bytes_acked",
    "bytes_received",
    "segs_out",
    "segs_in",
    "delivery_rate",
)

# States of include/net/tcp_states.h in which there was a FIN: the peer's, and ours.
_CLOSED = 7
_PEER_ENDED = frozenset({6, 8, 9, 11})  # TIME_WAIT, CLOSE_WAIT, LAST_ACK, CLOSING
_WE_ENDED = frozenset({4, 5, 6, 9, 11})  # FIN_WAIT1, FIN_WAIT2, TIME_WAIT, LAST_ACK, CLOSING


@dataclass(frozen=True, slots=True)
class TCPInfo:
    """The kernel's counts.

    :param state: of ``tcp_states.h``.
    :param lost: segments that are thought lost now.
    :param rtt: the smoothed round-trip time, in microseconds.
    :param rttvar: its variance, in microseconds.
    :param retransmits: segments that were sent again.
    :param acked: what the peer acknowledged.
    :param received: what came from the peer.
    :param segmentsOut: segments to the peer, those without data included.
    :param segmentsIn: segments from the peer, likewise.
    :param deliveryRate: bytes a second, as last measured.
    :param unread: what waits in the kernel's queue to be read.
    :param owed: what the kernel took and the peer did not acknowledge.
    """

    state: int
    lost: int
    rtt: int
    rttvar: int
    retransmits: int
    acked: int
    received: int
    segmentsOut: int
    segmentsIn: int
    deliveryRate: int
    unread: int
    owed: int

    @classmethod
    def of(cls, sock: socket.socket) -> TCPInfo:
        """Asks the kernel, until no acknowledgement has come between its answers."""
        unread, before = queued(sock, FIONREAD), -1
        while before != (owed := queued(sock, TIOCOUTQ)):
            before = owed
            fields = _fields(sock)
        return cls(*(*fields, unread, owed))

    def streamIn(self, isEndRead: bool, error: int | None) -> int:
        """Returns the bytes of the stream from the peer, read or not.

        :param isEndRead: the peer's end of stream was read.
        :param error: the connection's first error; 0 is none, None one that is not known.
        """
        # A reset behind the peer's FIN is EPIPE; a closed connection without an error had both ends.
        isEnded = isEndRead or self.state in _PEER_ENDED
        isEnded = isEnded or (self.state == _CLOSED and error in (0, errno.EPIPE))
        return self.received - isEnded

    def streamOut(self, hasEnded: bool) -> tuple[int, int]:
        """Returns the bytes of the stream to the peer that the kernel took, and those of them that are owed.

        :param hasEnded: our end of stream was given to the kernel, if it was still open then.
        """
        isEnded = self.state in _WE_ENDED or (self.state == _CLOSED and hasEnded)
        # Our end is the last of what is owed.
        return self.acked + self.owed - isEnded, max(0, self.owed - isEnded)
