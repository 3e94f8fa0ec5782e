"""Connections, made: from a target to a channel that sends and receives."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import Protocol

from echo_app.probe.load.loop import OUT, Loop
from echo_app.probe.targets import Target

# Seconds until a connection must be there, as in the other commands of the probe.
TIMEOUT = 10.0

_KINDS = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.ETIMEDOUT: "no answer",
    errno.EHOSTUNREACH: "no route",
    errno.ENETUNREACH: "no route",
    # connect(2) to a UNIX socket whose backlog is full.
    errno.EAGAIN: "backlog full",
}


def kindOf(error: OSError) -> str:
    """Returns what an error is counted as."""
    number = error.errno or 0
    return _KINDS.get(number) or (os.strerror(number).lower() if number else str(error))


class Channel(Protocol):
    """What bytes go through; a socket's own methods, where there is nothing between."""

    sock: socket.socket

    def recv(self, size: int, /) -> bytes:
        """Returns some bytes, none at the end.

        :raise BlockingIOError: when there are none.
        """

    def send(self, data: memoryview, /) -> int:
        """Sends what goes; returns its size.

        :raise BlockingIOError: when that is nothing.
        """

    def halfClose(self) -> None:
        """Ends our side."""


class Plain:
    """A socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.recv = sock.recv
        self.send = sock.send

    def halfClose(self) -> None:
        """Sends FIN."""
        self.sock.shutdown(socket.SHUT_WR)


class Address:
    """Where a target is.

    :raise OSError: when its name does not resolve.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.kind = socket.SOCK_DGRAM if target.kind == "udp" else socket.SOCK_STREAM
        self.isTCP = target.kind in ("tcp", "tls")
        self.family: int = socket.AF_UNIX
        self.address: object = target.path
        if target.kind != "unix":
            found = socket.getaddrinfo(target.host, target.port, type=self.kind)
            self.family, _, _, _, self.address = found[0]

    def socket(self) -> socket.socket:
        """Returns a socket that does not block.

        :raise OSError: when there are no more descriptors.
        """
        sock = socket.socket(self.family, self.kind)
        sock.setblocking(False)
        if self.isTCP:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock


class Dial:
    """One attempt to connect.

    :param connected: is called with the channel.
    :param failed: is called with the kind of error, in this call or later.
    """

    def __init__(
        self,
        loop: Loop,
        address: Address,
        connected: Callable[[Channel], object],
        failed: Callable[[str], object],
    ) -> None:
        self._loop = loop
        self._connected = connected
        self._failed = failed
        self._sock = address.socket()
        self._isDone = False
        number = self._sock.connect_ex(address.address)  # type: ignore[arg-type]
        if number not in (0, errno.EINPROGRESS):
            self._end(failed, kindOf(OSError(number, "")))
            return
        loop.watch(self._sock.fileno(), OUT, self._ready)

    def giveUp(self) -> None:
        """Ends it as one that was not answered; harmless if it has ended."""
        if not self._isDone:
            self._end(self._failed, "no answer")

    def _ready(self, event: int) -> None:
        number = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._end(self._failed, kindOf(OSError(number, "")))
            return
        try:
            self._sock.getpeername()
        except OSError:
            # Not yet: the event was that of a socket that had the same descriptor.
            return
        self._isDone = True
        self._loop.forget(self._sock.fileno())
        self._connected(Plain(self._sock))

    def _end(self, tell: Callable[[str], object], kind: str) -> None:
        self._isDone = True
        self._loop.forget(self._sock.fileno())
        self._sock.close()
        tell(kind)
