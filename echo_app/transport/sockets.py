"""Socket options and the kernel's counts of a connection.

Linux counts the bytes of a TCP connection (``TCP_INFO``) and of every queue (``SIOCINQ``, ``SIOCOUTQ``),
so that the path of a byte needs no counter of ours. For UNIX sockets, which it does not count, the transport
does.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from fcntl import ioctl
from termios import FIONREAD, TIOCOUTQ
from typing import Any, TypeGuard

from twisted.internet import unix
from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import ISSLTransport, ITCPTransport
from twisted.python.failure import Failure

from echo_app.addresses import describe
from echo_app.interfaces import ITLSTransport
from echo_app.tcpfields import tcpInfoReader
from echo_app.transport.carrying import CarryingTransport
from echo_app.transport.layer import bottomOf, downFrom

_counts = tcpInfoReader(
    "unacked", "last_data_sent", "last_data_recv", "last_ack_recv", "rtt", "bytes_acked", "bytes_received"
)
_INT = struct.Struct("=i")
_ROOM = bytes(_INT.size)


@dataclass(frozen=True, slots=True)
class Keepalive:
    """TCP keepalive (RFC 9293, 3.8.4): when a silent peer is probed.

    :param idle: seconds of silence until the first probe.
    :param interval: seconds between probes.
    :param count: probes without an answer until the connection is given up.
    :raise ValueError: on a number that Linux refuses.
    """

    idle: int = 60
    interval: int = 10
    count: int = 6

    def __post_init__(self) -> None:
        # tcp(7): MAX_TCP_KEEPIDLE, MAX_TCP_KEEPINTVL and MAX_TCP_KEEPCNT of the kernel.
        for name, most in (("idle", 32767), ("interval", 32767), ("count", 127)):
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"keepalive {name} must be 1 to {most}: {getattr(self, name)!r}")

    def __str__(self) -> str:
        return f"{self.idle},{self.interval},{self.count}"


@dataclass(frozen=True, slots=True)
class Progress:
    """The counts of a connection at one moment; a count that differs later has moved.

    :param received: bytes from the peer, those in the kernel's queue included.
    :param sent: bytes to the peer that it has acknowledged.
    :param owed: bytes in the kernel's queue to the peer. While it has room, the transport's buffer is empty.
    :param unread: bytes in the kernel's queue from the peer.
    :param held: bytes that our layers hold back on purpose.
    :param quiet: seconds since a byte came or was acknowledged; None over a UNIX socket, where the kernel
        dates none.
    """

    received: int
    sent: int
    owed: int
    unread: int
    held: int = 0
    quiet: float | None = None


class CountingUNIXServer(CarryingTransport, unix.Server):
    """A UNIX transport that counts the bytes that it reads, and those that it writes."""

    received = 0
    written = 0

    def _dataReceived(self, data: bytes | None) -> Any:
        # Private to Twisted, but the only method that sees the bytes between a read and the protocol.
        self.received += len(data or b"")
        return super()._dataReceived(data)

    def writeSomeData(self, data: bytes) -> Any:
        """Writes, and counts the bytes."""
        result = super().writeSomeData(data)
        if isinstance(result, int) and result > 0:
            self.written += result
        return result


def isUNIX(sock: socket.socket) -> bool:
    """Says whether a socket is a UNIX one, whose bytes the kernel does not count."""
    return sock.family == socket.AF_UNIX


def isTCP(sock: object) -> TypeGuard[socket.socket]:
    """Says whether an object is a TCP socket."""
    return isinstance(sock, socket.socket) and sock.type == socket.SOCK_STREAM and not isUNIX(sock)


def proxyOf(transport: object) -> str | None:
    """Returns the address of the proxy whose header names the peer; None without one."""
    bottom = bottomOf(transport)
    # The header's addresses are attributes of the instance: see the PROXY gate.
    if "getPeer" not in vars(bottom):
        return None
    sender = type(bottom).getPeer(bottom)
    return None if sender == bottom.getPeer() else describe(sender)


def listenedHostOf(transport: Any) -> Any:
    """Returns the address of ours that a connection's listener has, behind a PROXY header too."""
    bottom = bottomOf(transport)
    return type(bottom).getHost(bottom)


def socketOf(transport: object) -> socket.socket | None:
    """Returns the socket below a transport, through TLS and wrapping protocols; None if there is none."""
    for each in downFrom(transport):
        try:
            handle = each.getHandle()
        except AttributeError:
            # A layer without one, or a transport of Twisted's that has ended.
            continue
        if isinstance(handle, socket.socket):
            return handle
    return None


def descriptorOf(transport: object) -> Any:
    """Returns the reactor's descriptor below a transport; None if there is none."""
    return next((each for each in downFrom(transport) if isinstance(each, FileDescriptor)), None)


def canHalfClose(transport: object) -> bool:
    """Says whether the transport's two sides end independently; those of Twisted's own TLS do not."""
    return ITLSTransport.providedBy(transport) or not ISSLTransport.providedBy(transport)


def reset(transport: ITCPTransport) -> None:
    """Resets a connection now, so that its descriptor is free for the next one.

    ``abortConnection`` acts in the reactor's next turn, but one turn may accept a hundred connections.
    Twisted's TLS needs that turn: after its protocol has called this, it still begins the handshake.
    """
    descriptor = descriptorOf(transport)
    if descriptor is None or not canHalfClose(transport):
        transport.abortConnection()
    else:
        descriptor.connectionLost(Failure(ConnectionAborted()))


def whenLost(transport: object, function: Callable[[Failure], object]) -> None:
    """Calls a function once, with the reason, when a connection has ended under any protocol.

    An attribute of the lowest transport replaces ``connectionLost``, as the PROXY gate replaces ``getPeer``.
    """
    bottom = bottomOf(transport)
    connectionLost = bottom.connectionLost

    def lost(reason: Failure) -> None:
        # Twisted may call it twice, and the transport must not keep a reference to itself.
        vars(bottom).pop("connectionLost", None)
        try:
            connectionLost(reason)
        finally:
            function(reason)

    bottom.connectionLost = lost


def keepUrgentDataInline(transport: object) -> None:
    """Keeps urgent data (RFC 6093) in its place in the stream, instead of losing it.

    The option is set on each connection: UNIX sockets, unlike TCP ones, do not inherit it from the listening
    socket, and a bare protocol's listener does not have it.
    """
    # The path of an accept: a walk through the layers would take a microsecond.
    sock = transport.socket if isinstance(transport, CarryingTransport) else socketOf(transport)
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)


def setConnectionOptions(listening: socket.socket, keepalive: Keepalive | None) -> None:
    """Sets the options of a listening TCP socket that its connections inherit (on Linux).

    SO_OOBINLINE, because urgent bytes that come before the accept are lost otherwise. TCP_NODELAY, because an
    echo that waits for an acknowledgement measures Nagle's algorithm instead of the path.
    """
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if keepalive is not None:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, keepalive.idle)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, keepalive.interval)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, keepalive.count)


def progressOf(transport: object) -> Progress | None:
    """Returns the present counts of a connection; None if its transport has no socket (any more)."""
    sock = socketOf(transport)
    if sock is None or sock.fileno() < 0:
        return None
    if isUNIX(sock):
        counting = descriptorOf(transport)
        received, sent = getattr(counting, "received", 0), getattr(counting, "written", 0)
        quiet = None
    else:
        unacked, sentAgo, receivedAgo, ackedAgo, rtt, sent, received = _counts(sock)
        # In milliseconds, and the round trip in microseconds. While segments are under way, the last
        # acknowledgement dates the last byte: a retransmission counts as sent. While none are, the answers
        # to keepalives and to probes of a closed window are acknowledgements, too, but of no byte.
        quiet = min(receivedAgo, ackedAgo if unacked else max(0.0, sentAgo - rtt / 1000)) / 1000
    held = sum(getattr(each, "held", 0) for each in downFrom(transport))
    return Progress(received, sent, queued(sock, TIOCOUTQ), queued(sock, FIONREAD), held, quiet)


def owes(transport: Any) -> bool:
    """Says whether the kernel has bytes for the peer of a connection; False without a socket.

    One system call, for the sweep over all connections.
    """
    try:
        return ioctl(transport.fileno(), TIOCOUTQ, _ROOM) != _ROOM
    except (AttributeError, OSError, ValueError):
        # No descriptor, one that is closed (-1), or none of a socket.
        return False


def queued(sock: socket.socket, request: int) -> int:
    """Returns the number of bytes in a kernel queue: ``FIONREAD`` is input, ``TIOCOUTQ`` is output."""
    (queued,) = _INT.unpack(ioctl(sock, request, _ROOM))
    return int(queued)
