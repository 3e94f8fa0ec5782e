"""The two ends of a connection in tests of transports: a scripted protocol, and a far end that blocks."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import directlyProvides, implementer

from tests.support.tls import TLSPeer, clientContext, serverContext


class Mistake(Exception):
    """A mistake in a protocol."""


class Scripted(Protocol):
    """A protocol that does as a test says.

    :ivar made: fires with it when it is connected.
    :ivar lost: fires with the type of the reason when its connection ends; a second end is an error.
    :ivar ends: the ends that it was told of, in order.
    :ivar lastPeer: the peer's address when the connection ended.
    """

    transport: Any

    def __init__(self) -> None:
        self.made: Deferred[Scripted] = Deferred()
        self.lost: Deferred[Any] = Deferred()
        self.received = b""
        self.ends: list[str] = []
        self.onData: Callable[[bytes], object] = lambda data: None
        self.onReadEnd: Callable[[], object] = lambda: None
        self.lastPeer: object = None
        self._awaited: tuple[int, Deferred[bytes]] | None = None

    def halfCloseable(self) -> Scripted:
        """Has it told of half-closes; returns itself."""
        directlyProvides(self, IHalfCloseableProtocol)
        return self

    def has(self, size: int) -> Deferred[bytes]:
        """Returns a Deferred that fires with everything received when that is so many bytes."""
        deferred: Deferred[bytes] = Deferred()
        self._awaited = size, deferred
        self._tell()
        return deferred

    def connectionMade(self) -> None:
        self.made.callback(self)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self.onData(data)
        self._tell()

    def readConnectionLost(self) -> None:
        self.ends.append("read")
        self.onReadEnd()

    def writeConnectionLost(self) -> None:
        self.ends.append("write")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lastPeer = self.transport.getPeer()
        self.lost.callback(reason.type)

    def _tell(self) -> None:
        if self._awaited is not None and len(self.received) >= self._awaited[0]:
            (_, deferred), self._awaited = self._awaited, None
            deferred.callback(self.received)


@implementer(IPushProducer)
class Producer:
    """Notes what it is told, and does something whenever it is asked to go on.

    :ivar resumed: fires when it is first resumed.
    """

    def __init__(self, onResume: Callable[[], object] = lambda: None) -> None:
        self.events: list[str] = []
        self.resumed: Deferred[None] = Deferred()
        self._onResume = onResume

    def pauseProducing(self) -> None:
        self.events.append("pause")

    def resumeProducing(self) -> None:
        self.events.append("resume")
        self._onResume()
        if not self.resumed.called:
            self.resumed.callback(None)

    def stopProducing(self) -> None:
        self.events.append("stop")


class FarEnd:
    """The peer's end of a connection; its methods block.

    :param sock: a socket, or what has a socket's methods.

    :ivar isEnded: the stream to it has ended in order.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.isEnded = False

    def shake(self) -> None:
        """Makes itself known to a layer that asks for it."""

    def send(self, data: bytes) -> None:
        """Sends the data."""
        self.sock.sendall(data)

    def receive(self, size: int) -> bytes:
        """Returns so many bytes, or fewer at the end of the stream."""
        received = bytearray()
        while len(received) < size:
            data = self.sock.recv(min(size - len(received), 1 << 20))
            if not data:
                self.isEnded = True
                break
            received += data
        return bytes(received)

    def receiveAll(self) -> bytes:
        """Returns what comes until the end of the stream."""
        return self.receive(1 << 40)

    def end(self) -> None:
        """Ends what this side sends."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Closes this end, over TCP with a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class TLSFarEnd(FarEnd):
    """A far end that speaks TLS; the end of its stream is ``close_notify`` and FIN.

    :param version: the only version that it speaks; None is any.
    :param isServer: it is the server.
    """

    def __init__(
        self, sock: socket.socket, version: ssl.TLSVersion | None = None, *, isServer: bool = False
    ) -> None:
        super().__init__(sock)
        context = serverContext(version) if isServer else clientContext(version)
        self._peer = TLSPeer(sock, context, isServer=isServer)

    def shake(self) -> None:
        """Does the handshake."""
        self._peer.shake()

    def send(self, data: bytes) -> None:
        """Sends the data, encrypted."""
        self._peer.send(data)

    def receive(self, size: int) -> bytes:
        """Returns so many bytes, or fewer at the end of the stream."""
        received = self._peer.receive(size)
        if len(received) < size:
            self.isEnded = self._peer.isEnded and not self._peer.receiveRest()
        return received

    def end(self) -> None:
        """Ends what this side sends."""
        self.sock.sendall(self._peer.end())
        super().end()
