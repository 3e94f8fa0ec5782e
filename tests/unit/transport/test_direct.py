"""The direct path: at once where that is the same, and as inherited where it is not."""

from __future__ import annotations

import errno
import select
import socket
from typing import Any

from twisted.internet import tcp
from twisted.internet.error import ConnectionDone
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactor
from twisted.trial.unittest import SynchronousTestCase

from echo_app.transport.carrying import CarryingTransport
from echo_app.transport.direct import direct
from echo_app.transport.directserver import DirectServer, DirectUNIXServer
from echo_app.transport.poller import NestedPoller
from tests.support.benches import ReactorBench
from tests.support.ends import Scripted
from tests.support.service import PATIENCE

# Turns of the poller in which an end must be read: each is a few milliseconds at the most.
TURNS = 10


class DirectPathTests(SynchronousTestCase):
    """The ports that take the direct path."""

    def test_notTwisteds(self) -> None:
        """A port whose transport is a user's own, or of no known kind, stays as it is."""

        class Port:
            transport: Any = type("Server", (tcp.Server,), {})

        before = Port.transport
        self.assertFalse(direct(Port()))
        self.assertIs(Port.transport, before)
        self.assertFalse(direct(object()))

    def test_port(self) -> None:
        """A port is polled with its connections, so that the poller stays when the last of them has ended."""
        reactor: Any = MemoryReactor()
        port: Any = tcp.Port(0, Factory(), interface="127.0.0.1", reactor=reactor)
        port.startListening()
        self.addCleanup(port.socket.close)
        direct(port)
        [poller] = reactor.getReaders()
        self.assertIsInstance(poller, NestedPoller)
        self.assertEqual(poller.getReaders(), [port])
        port.stopReading()
        self.assertEqual((reactor.getReaders(), poller.fileno()), ([], -1))

    def test_twice(self) -> None:
        """A port that takes the direct path already keeps its poller."""
        port = tcp.Port(0, Factory(), reactor=MemoryReactor())
        self.assertTrue(direct(port))
        before = port.transport
        self.assertFalse(direct(port))
        self.assertIs(port.transport, before)


class SendTests(SynchronousTestCase):
    """Errors of a socket, and their meaning."""

    def test_errors(self) -> None:
        """A full queue is no end, as for Twisted's transports; anything else is."""

        class Socket:
            def __init__(self, number: int) -> None:
                self._number = number

            def send(self, data: bytes) -> int:
                raise OSError(self._number, "")

        for kind in (DirectServer, tcp.Server):
            for number, result in (
                (errno.EAGAIN, 0),
                (errno.ENOBUFS, 0),
                (errno.ECONNRESET, CONNECTION_LOST),
            ):
                transport = kind.__new__(kind)
                transport.socket = Socket(number)  # type: ignore[assignment]
                self.assertEqual(transport.writeSomeData(b"x"), result, (kind, number))

    def test_firstError(self) -> None:
        """The first error of a connection is kept, from a read or a write; EAGAIN is no error."""

        class Socket:
            def __init__(self) -> None:
                self.error = 0

            def fail(self, _: object) -> bytes:
                raise OSError(self.error, "") if self.error != errno.EAGAIN else BlockingIOError

            send = recv = fail

        for first in (DirectServer.doRead, lambda transport: transport.writeSomeData(b"x")):
            transport = DirectServer.__new__(DirectServer)
            transport.socket = sock = Socket()  # type: ignore[assignment]
            for sock.error, kept in (
                (errno.EAGAIN, 0),
                (errno.ETIMEDOUT, errno.ETIMEDOUT),
                (errno.EPIPE, errno.ETIMEDOUT),
            ):
                first(transport)
                self.assertEqual(transport.error, kept)

    def test_endAfterReset(self) -> None:
        """An end that is read after a send found a reset is none; after another error it is one."""

        class Socket:
            def recv(self, size: int) -> bytes:
                return b""

        for error, result in (
            (0, CONNECTION_DONE),
            (errno.EPIPE, CONNECTION_DONE),
            (errno.ECONNRESET, CONNECTION_LOST),
        ):
            transport = DirectServer.__new__(DirectServer)
            transport.socket = Socket()  # type: ignore[assignment]
            transport.error = error
            self.assertIs(transport.doRead(), result)


class TransportTests(ReactorBench):
    """The direct path's own promises, over TCP; a second class runs the same over UNIX sockets."""

    transport: type = DirectServer

    async def test_kind(self) -> None:
        """The transport has the class of its path."""
        protocol, _ = await self.connect()
        self.assertIs(type(protocol.transport), self.transport)

    async def test_atOnce(self) -> None:
        """Written bytes are at the peer before the reactor has its turn."""
        protocol, peer = await self.connect()
        peer.sock.setblocking(False)
        protocol.transport.write(b"at once")
        protocol.transport.writeSequence([b", ", b"all of it"])
        self.assertEqual(peer.sock.recv(100), b"at once, all of it")

    async def test_writtenAfterClose(self) -> None:
        """Bytes written after a close, but before the connection has ended, are sent, as Twisted has it."""
        protocol, peer = await self.connect()
        protocol.transport.write(b"before")
        protocol.transport.loseConnection()
        protocol.transport.write(b", after")
        self.assertEqual(await self.call(peer.receiveAll), b"before, after")

    async def test_notBytes(self) -> None:
        """Data that is no bytes is refused."""
        protocol, _ = await self.connect()
        for wrong in ("text", bytearray(b"x")):
            with self.assertRaises(TypeError):
                protocol.transport.write(wrong)
            with self.assertRaises(TypeError):
                protocol.transport.writeSequence([b"x", wrong])

    async def test_nothingIsLeft(self) -> None:
        """When port and connections have ended, nothing of them is in the reactor."""
        before = set(self.clock.getReaders())
        protocol, peer = await self.connect()
        peer.sock.close()
        await protocol.lost
        await self.port.stopListening()
        left = set(self.clock.getReaders()) - before
        self.assertEqual(
            [each for each in left if isinstance(each, (NestedPoller, tcp.Server, tcp.Port))], []
        )


class EndTests(SynchronousTestCase):
    """The cost of a connection's ordinary end."""

    def test_notPolledAgain(self) -> None:
        """A connection with nothing to send that closes at its peer's end is not polled for it any more."""
        added: list[str] = []

        class Poller(NestedPoller):
            def addWriter(self, writer: Any) -> None:
                added.append("output")
                super().addWriter(writer)

        ours, peer = socket.socketpair()
        self.addCleanup(peer.close)
        protocol = Scripted().halfCloseable()
        protocol.onReadEnd = lambda: protocol.transport.loseConnection()
        poller = Poller(MemoryReactor())
        arguments: Any = (ours, protocol, ("127.0.0.1", 1), None, 0, MemoryReactor())
        protocol.makeConnection(DirectServer(*arguments, poller=poller))
        peer.shutdown(socket.SHUT_WR)
        poller.doRead()
        self.assertIs(self.successResultOf(protocol.lost), ConnectionDone)
        self.assertEqual((added, peer.recv(1)), ([], b""))

    def test_resetAtTheClose(self) -> None:
        """A reset that answers the last data, after a close, is no loss."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            peer = socket.create_connection(listener.getsockname())
            ours, _ = listener.accept()
        ours.setblocking(False)
        protocol = Scripted()

        def answer(_data: bytes) -> None:
            protocol.transport.write(b"the last data")
            protocol.transport.loseConnection()
            reset = select.poll()
            reset.register(ours, 0)
            self.assertTrue(reset.poll(PATIENCE * 1000))

        protocol.onData = answer
        poller = NestedPoller(MemoryReactor())
        arguments: Any = (ours, protocol, ("127.0.0.1", 1), None, 0, MemoryReactor())
        protocol.makeConnection(DirectServer(*arguments, poller=poller))
        peer.sendall(b"x")
        peer.close()
        # A slow turn ends before the end of the stream is read.
        for _ in range(TURNS):
            if not protocol.lost.called:
                poller.doRead()
        self.assertIs(self.successResultOf(protocol.lost), ConnectionDone)


class UNIXTransportTests(TransportTests):
    """The tests of the transport over UNIX sockets."""

    description = "unix:{path}:lockfile=0"
    transport = DirectUNIXServer

    async def test_counts(self) -> None:
        """The transport counts its bytes, since the kernel does not."""
        protocol, _ = await self.connect()
        protocol.transport.write(b"counted")
        self.assertEqual(protocol.transport.written, 7)


class InheritedTransportTests(TransportTests):
    """The tests on Twisted's own transport: except for the time, both transports behave alike."""

    transport = CarryingTransport
    isDirect = False

    async def test_atOnce(self) -> None:
        """Written bytes are at the peer when the reactor has had its turn."""
        protocol, peer = await self.connect()
        peer.sock.setblocking(False)
        protocol.transport.write(b"later")
        with self.assertRaises(BlockingIOError):
            peer.sock.recv(100)
