"""TCP_INFO: the kernel's counts of a TCP connection, and the bytes of its stream.

The kernel counts sequence numbers, and an end of stream (FIN) takes one like a byte. Seen on Linux 6.18:

- ``tcpi_bytes_received`` counts the peer's FIN as soon as it has come, read or not.
- ``tcpi_bytes_acked`` counts our FIN when it is acknowledged, and ``SIOCOUTQ`` counts it until then.
- No counter counts a reset, or the SYN of an accepted connection. A reset leaves all counters as they were.
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

# States of include/net/tcp_states.h after a FIN of the peer, and after ours.
_CLOSED = 7
_PEER_ENDED = frozenset({6, 8, 9, 11})  # TIME_WAIT, CLOSE_WAIT, LAST_ACK, CLOSING
_WE_ENDED = frozenset({4, 5, 6, 9, 11})  # FIN_WAIT1, FIN_WAIT2, TIME_WAIT, LAST_ACK, CLOSING


@dataclass(frozen=True, slots=True)
class TCPInfo:
    """The kernel's counts of a TCP connection.

    :param state: a state of ``tcp_states.h``.
    :param lost: segments that the kernel thinks lost now.
    :param rtt: the smoothed round-trip time, in microseconds.
    :param rttvar: its mean deviation, in microseconds.
    :param retransmits: segments that were sent again.
    :param acked: bytes that the peer acknowledged, with our FIN.
    :param received: bytes that came from the peer, with its FIN.
    :param segmentsOut: segments to the peer, with those without data.
    :param segmentsIn: segments from the peer, with those without data.
    :param deliveryRate: bytes a second, as last measured.
    :param unread: bytes in the kernel's receive queue.
    :param owed: bytes that the kernel took and the peer did not acknowledge, with our FIN.
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
        """Reads the counts of a socket, again if an acknowledgement came between two system calls."""
        unread, before = queued(sock, FIONREAD), -1
        while before != (owed := queued(sock, TIOCOUTQ)):
            before = owed
            fields = _fields(sock)
        return cls(*(*fields, unread, owed))

    def streamIn(self, isEndRead: bool, error: int | None) -> int:
        """Returns the bytes of the stream from the peer, read or not.

        :param isEndRead: the peer's end of stream was read.
        :param error: the errno of the connection's first error; 0 is none, None is an unknown one.
        """
        # A reset behind the peer's FIN is EPIPE; a closed connection without an error had both ends.
        isEnded = isEndRead or self.state in _PEER_ENDED
        isEnded = isEnded or (self.state == _CLOSED and error in (0, errno.EPIPE))
        return self.received - isEnded

    def streamOut(self, hasEnded: bool) -> tuple[int, int]:
        """Returns the bytes to the peer that the kernel took, and those of them that are owed.

        :param hasEnded: our end of stream was given to the kernel, if it was still open then.
        """
        isEnded = self.state in _WE_ENDED or (self.state == _CLOSED and hasEnded)
        # Our FIN is the last of the owed sequence numbers.
        return self.acked + self.owed - isEnded, max(0, self.owed - isEnded)
