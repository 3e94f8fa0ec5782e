"""Socket options and the kernel's counts of a connection."""

from __future__ import annotations

import socket

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.tcp import Port, Server
from twisted.internet.testing import MemoryReactor, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from echo_app.transport.sockets import (
    CountingUNIXServer,
    Keepalive,
    keepUrgentDataInline,
    progressOf,
    reset,
    setConnectionOptions,
    socketOf,
    whenLost,
)


class FakeTransport:
    """A transport with a socket, or with another transport below."""

    def __init__(self, handle: object, transport: object = None) -> None:
        self._handle = handle
        self.transport = transport

    def getHandle(self) -> object:
        return self._handle


class SocketsTestCase(SynchronousTestCase):
    def pair(self) -> tuple[socket.socket, socket.socket]:
        """Returns both ends of a TCP connection, the accepted one first."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            peer = socket.create_connection(listening.getsockname())
            accepted, _ = listening.accept()
        self.addCleanup(peer.close)
        self.addCleanup(accepted.close)
        return accepted, peer


class SocketOfTests(SocketsTestCase):
    def test_below(self) -> None:
        """The socket is found below a transport whose handle is something else, as with TLS."""
        sock, _ = self.pair()
        self.assertIs(socketOf(FakeTransport(sock)), sock)
        self.assertIs(socketOf(FakeTransport(object(), FakeTransport(sock))), sock)

    def test_none(self) -> None:
        """A transport that has no socket has no progress, and no options."""
        self.assertIs(socketOf(StringTransport()), None)
        self.assertIs(progressOf(StringTransport()), None)
        keepUrgentDataInline(StringTransport())

    def test_closed(self) -> None:
        """A socket that is closed has no progress."""
        sock, _ = self.pair()
        sock.close()
        self.assertIs(progressOf(FakeTransport(sock)), None)


class ResetTests(SocketsTestCase):
    """A connection is reset now where its transport is Twisted's, and soon where it is not."""

    def _server(self) -> tuple[Server, socket.socket]:
        sock, peer = self.pair()
        protocol = Protocol()
        port = Port(0, Factory(), reactor=MemoryReactor())
        server = Server(sock, protocol, sock.getpeername(), port, 0, MemoryReactor())
        protocol.makeConnection(server)
        return server, peer

    def test_now(self) -> None:
        """The descriptor is closed when it returns, and the peer sees a reset."""
        for wrap in (lambda server: server, lambda server: FakeTransport(None, server)):
            server, peer = self._server()
            reset(wrap(server))  # type: ignore[arg-type]
            self.assertEqual(server.fileno(), -1)
            self.assertRaises(ConnectionResetError, peer.recv, 1)

    def test_soon(self) -> None:
        """Another transport aborts in its own way, and so does TLS."""
        other, tls = StringTransport(), StringTransport()
        directlyProvides(tls, ISSLTransport)
        for transport in (other, tls):
            reset(transport)  # type: ignore[arg-type]
            self.assertTrue(transport.disconnecting)


class ProgressTests(SocketsTestCase):
    def test_tcp(self) -> None:
        """The kernel counts received and acknowledged bytes, and knows its queues."""
        sock, peer = self.pair()
        transport = FakeTransport(sock)
        before = progressOf(transport)
        assert before is not None
        peer.sendall(b"12345")
        sock.recv(5, socket.MSG_PEEK)
        sock.sendall(b"123")
        self.assertEqual(len(peer.recv(5)), 3)
        now = progressOf(transport)
        assert now is not None
        self.assertEqual((now.received - before.received, now.unread), (5, 5))
        self.assertEqual((now.sent - before.sent, now.owed), (3, 0))

    def test_owed(self) -> None:
        """Bytes that a peer's full window keeps back are owed."""
        sock, _ = self.pair()
        sock.setblocking(False)
        sent = 0
        try:
            while True:
                sent += sock.send(bytes(1 << 16))
        except BlockingIOError:
            pass
        progress = progressOf(FakeTransport(sock))
        assert progress is not None
        self.assertTrue(0 < progress.owed <= sent)

    def test_unix(self) -> None:
        """Of a UNIX socket the kernel knows the queues, and the transport, below TLS or not, the rest."""
        one, other = socket.socketpair()
        self.addCleanup(one.close)
        self.addCleanup(other.close)
        transport = CountingUNIXServer(one, Protocol(), b"", None, 0, MemoryReactor())
        transport.received, transport.written = 3, 70
        other.sendall(b"12345")
        one.sendall(b"1")
        for top in (transport, FakeTransport(None, transport)):
            progress = progressOf(top)
            assert progress is not None
            self.assertEqual((progress.received, progress.sent, progress.unread), (3, 70, 5))
            self.assertTrue(progress.owed)

    def test_counted(self) -> None:
        """The UNIX transport counts the bytes that it read, and those that it could write."""
        one, other = socket.socketpair()
        self.addCleanup(other.close)
        one.setblocking(False)
        transport = CountingUNIXServer(one, Protocol(), b"", None, 0, MemoryReactor())
        self.addCleanup(one.close)
        self.assertEqual(transport.writeSomeData(b"12345"), 5)
        other.sendall(b"123")
        transport.doRead()
        other.close()
        self.assertNotIsInstance(transport.writeSomeData(b"6"), int)
        self.assertEqual((transport.received, transport.written), (3, 5))


class OptionsTests(SocketsTestCase):
    def _inherited(self, keepalive: Keepalive | None) -> socket.socket:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            setConnectionOptions(listening, keepalive)
            peer = socket.create_connection(listening.getsockname())
            accepted, _ = listening.accept()
        self.addCleanup(peer.close)
        self.addCleanup(accepted.close)
        return accepted

    def test_inherited(self) -> None:
        """A connection inherits TCP_NODELAY and keepalive from its listener."""
        sock = self._inherited(Keepalive(7, 5, 3))
        options = (socket.TCP_NODELAY, socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        values = [sock.getsockopt(socket.IPPROTO_TCP, option) for option in options]
        self.assertEqual(values, [1, 7, 5, 3])
        self.assertTrue(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def test_noKeepalive(self) -> None:
        """Without keepalive an idle path stays idle."""
        sock = self._inherited(None)
        self.assertFalse(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def test_urgent(self) -> None:
        """Urgent data stay in their place."""
        sock, peer = self.pair()
        keepUrgentDataInline(FakeTransport(sock))
        peer.sendall(b"ab")
        peer.send(b"!", socket.MSG_OOB)
        peer.sendall(b"cd")
        peer.close()
        with sock.makefile("rb") as file:
            self.assertEqual(file.read(), b"ab!cd")


class LostTransport:
    """A transport that reports its loss as often as a test says."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    def connectionLost(self, reason: Failure) -> None:
        self.seen.append(reason.type)


class WhenLostTests(SynchronousTestCase):
    def test_once(self) -> None:
        """The function is called once, at the end of the lowest transport, after its protocol is told."""
        bottom = LostTransport()
        top = FakeTransport(None, FakeTransport(None, bottom))
        whenLost(top, lambda _: bottom.seen.append("first"))
        whenLost(top, lambda _: bottom.seen.append("second"))
        self.assertEqual(bottom.seen, [])
        for _ in range(2):
            bottom.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(bottom.seen, [ConnectionDone, "first", "second", ConnectionDone])

    def test_fails(self) -> None:
        """The function is called also when the protocol fails at its end."""

        class Broken(LostTransport):
            def connectionLost(self, reason: Failure) -> None:
                raise ZeroDivisionError

        bottom = Broken()
        whenLost(bottom, lambda _: bottom.seen.append("end"))
        self.assertRaises(ZeroDivisionError, bottom.connectionLost, Failure(ConnectionDone()))
        self.assertEqual(bottom.seen, ["end"])
