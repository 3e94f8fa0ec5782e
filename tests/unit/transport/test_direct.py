"""The direct path: at once where that is the same, and as inherited where it is not."""

from __future__ import annotations

import errno
import os
import socket
from itertools import count
from typing import Any

from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IPullProducer, ITCPTransport
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.testing import MemoryReactor
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import directlyProvides, implementer
from zope.interface.verify import verifyObject

from echo_app.transport.direct import DirectServer, DirectUNIXServer, direct
from echo_app.transport.poller import NestedPoller

# More than the buffers of both kernels hold.
LARGE = os.urandom(1 << 20) * 16


class Scripted(Protocol):
    """A protocol that does as a test says.

    :ivar made: fires with it when it is connected.
    :ivar lost: fires with why its connection ended.
    """

    transport: Any

    def __init__(self) -> None:
        self.made: Deferred[Scripted] = Deferred()
        self.lost: Deferred[Any] = Deferred()
        self.received = b""
        self.writeEnds = 0
        self.onData: Any = lambda data: None

    def connectionMade(self) -> None:
        self.made.callback(self)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self.onData(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(reason.type)


def halfCloseable(protocol: Scripted) -> Deferred[None]:
    """Makes a protocol one that can be half-closed; the Deferred fires while it is told of that."""
    ended: Deferred[None] = Deferred()

    def countEnd() -> None:
        protocol.writeEnds += 1

    scripted: Any = protocol
    scripted.readConnectionLost = lambda: ended.callback(None)
    scripted.writeConnectionLost = countEnd
    directlyProvides(protocol, IHalfCloseableProtocol)
    return ended


@implementer(IPullProducer)
class Pull:
    """A producer that writes a piece whenever it is asked, and then unregisters."""

    def __init__(self, consumer: Any, pieces: int) -> None:
        self._consumer = consumer
        self._left = pieces

    def resumeProducing(self) -> None:
        self._left -= 1
        self._consumer.write(b"%d" % self._left)
        if not self._left:
            self._consumer.unregisterProducer()

    def stopProducing(self) -> None: ...


class DirectPathTests(SynchronousTestCase):
    """Which ports it applies to."""

    def test_notTwisteds(self) -> None:
        """A port whose transport is somebody's own, or of no known kind, stays as it is."""

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
    """What a socket's errors mean."""

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
        """The first error of a connection is kept, wherever it is found; what is no end is none."""

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


class TransportTests(TestCase):
    """What a transport promises, over TCP; a second class runs the same over UNIX sockets."""

    timeout = 60
    description = "tcp:0:interface=127.0.0.1"
    transport: type = DirectServer
    isDirect = True

    def setUp(self) -> None:
        self._paths = (f"{number}.sock" for number in count())

    async def connect(self) -> tuple[Scripted, socket.socket]:
        """Returns a connected protocol and its peer, which blocks."""
        from twisted.internet import reactor

        protocol = Scripted()
        factory = Factory.forProtocol(lambda: protocol)
        factory.noisy = False
        description = self.description.format(path=next(self._paths))
        port: Any = await serverFromString(reactor, description).listen(factory)
        self.port = port
        self.addCleanup(port.stopListening)
        if self.isDirect:
            self.assertTrue(direct(port))
        peer = socket.socket(port.socket.family)
        self.addCleanup(peer.close)
        peer.settimeout(30)
        peer.connect(port.socket.getsockname())
        await protocol.made
        self.addCleanup(self._end, protocol)
        return protocol, peer

    def _end(self, protocol: Scripted) -> Deferred[Any]:
        if not protocol.lost.called:
            protocol.transport.abortConnection()
        return protocol.lost

    async def receive(self, peer: socket.socket) -> bytes:
        """Returns what the peer receives until the end of the stream."""

        def read() -> bytes:
            chunks = []
            while chunk := peer.recv(1 << 20):
                chunks.append(chunk)
            return b"".join(chunks)

        received: bytes = await deferToThread(read)
        return received

    async def test_kind(self) -> None:
        """The transport is what it is said to be."""
        protocol, _ = await self.connect()
        self.assertIs(type(protocol.transport), self.transport)
        verifyObject(ITCPTransport, protocol.transport)

    async def test_atOnce(self) -> None:
        """What is written is there before the reactor has its turn."""
        protocol, peer = await self.connect()
        peer.setblocking(False)
        protocol.transport.write(b"at once")
        protocol.transport.writeSequence([b", ", b"all of it"])
        self.assertEqual(peer.recv(100), b"at once, all of it")

    async def test_large(self) -> None:
        """What the kernel does not take comes later, in order, with what was written meanwhile."""
        protocol, peer = await self.connect()
        protocol.transport.write(LARGE)
        protocol.transport.writeSequence([b"and ", b"more"])
        protocol.transport.write(b"")
        protocol.transport.loseConnection()
        self.assertTrue(await self.receive(peer) == LARGE + b"and more")
        self.assertIs(await protocol.lost, ConnectionDone)

    async def test_loseConnection(self) -> None:
        """What was written before is sent; what is written after it too, as Twisted has it."""
        protocol, peer = await self.connect()
        protocol.transport.write(b"before")
        protocol.transport.loseConnection()
        protocol.transport.write(b", after")
        self.assertEqual(await self.receive(peer), b"before, after")
        self.assertIs(await protocol.lost, ConnectionDone)
        protocol.transport.write(b"too late")

    async def test_loseWriteConnection(self) -> None:
        """The peer sees the end of the stream, and can still send; nothing more is sent to it."""
        protocol, peer = await self.connect()
        arrived: Deferred[bytes] = Deferred()
        protocol.onData = arrived.callback
        protocol.transport.write(b"last words")
        protocol.transport.loseWriteConnection()
        self.assertEqual(await self.receive(peer), b"last words")
        protocol.transport.write(b"too late")
        peer.send(b"heard")
        self.assertEqual(await arrived, b"heard")

    async def test_writtenAtTheEnd(self) -> None:
        """What a protocol writes when its peer's side ends, and from then on, is sent before the close."""
        for last in (b"last words", LARGE):
            protocol, peer = await self.connect()
            ended = halfCloseable(protocol)
            peer.shutdown(socket.SHUT_WR)
            await ended
            protocol.transport.write(last)
            protocol.transport.loseConnection()
            self.assertTrue(await self.receive(peer) == last)
            self.assertIs(await protocol.lost, ConnectionDone)

    async def test_closedAtTheEnd(self) -> None:
        """So is what it writes before it closes while it is told of that end."""
        for last in (b"", b"last words", LARGE):
            protocol, peer = await self.connect()
            ended = halfCloseable(protocol)

            def close(_: None, last: bytes = last, protocol: Scripted = protocol) -> None:
                protocol.transport.write(last)
                protocol.transport.loseConnection()

            ended.addCallback(close)
            peer.shutdown(socket.SHUT_WR)
            self.assertTrue(await self.receive(peer) == last)
            self.assertIs(await protocol.lost, ConnectionDone)

    async def test_halfClosedAtTheEnd(self) -> None:
        """A protocol that then ends its own side is told so, once, and still has its connection."""
        protocol, peer = await self.connect()
        ended = halfCloseable(protocol)
        ended.addCallback(lambda _: protocol.transport.loseWriteConnection())
        peer.shutdown(socket.SHUT_WR)
        self.assertEqual(await self.receive(peer), b"")
        self.assertFalse(protocol.lost.called)
        protocol.transport.loseConnection()
        self.assertIs(await protocol.lost, ConnectionDone)
        self.assertEqual(protocol.writeEnds, 1)

    async def test_abortConnection(self) -> None:
        """The connection ends at once, and what is written after it is not sent."""
        protocol, peer = await self.connect()
        protocol.transport.abortConnection()
        protocol.transport.write(b"too late")
        self.assertIs(await protocol.lost, ConnectionAborted)
        with self.assertRaises(ConnectionResetError):
            peer.recv(1)

    async def test_peerIsGone(self) -> None:
        """To write to a peer that has reset the connection is how one hears of it, in the reactor's turn."""
        protocol, peer = await self.connect()
        protocol.transport.pauseProducing()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.close()
        protocol.transport.write(b"anybody there?")
        protocol.transport.write(b"hello?")
        self.assertFalse(protocol.lost.called)
        self.assertIs(await protocol.lost, ConnectionLost)

    async def test_pushProducer(self) -> None:
        """A streaming producer is paused while more than the high-water mark is unsent, and resumed."""
        protocol, peer = await self.connect()
        events: list[str] = []
        resumed: Deferred[None] = Deferred()

        class Push:
            def pauseProducing(self) -> None:
                events.append("pause")

            def resumeProducing(self) -> None:
                events.append("resume")
                resumed.callback(None)

            def stopProducing(self) -> None: ...

        protocol.transport.registerProducer(Push(), True)
        protocol.transport.write(b"little")
        self.assertEqual(events, [])
        protocol.transport.write(LARGE)
        self.assertEqual(events, ["pause"])
        reading = self.receive(peer)
        whole = Deferred.fromCoroutine(reading)
        await resumed
        self.assertEqual(events, ["pause", "resume"])
        protocol.transport.unregisterProducer()
        protocol.transport.loseConnection()
        self.assertTrue(await whole == b"little" + LARGE)

    async def test_pullProducer(self) -> None:
        """A pull producer is asked until it has nothing more."""
        protocol, peer = await self.connect()
        protocol.transport.registerProducer(Pull(protocol.transport, 10), False)
        protocol.transport.loseConnection()
        self.assertEqual(await self.receive(peer), b"9876543210")

    async def test_exception(self) -> None:
        """A protocol's exception is logged, and ends its connection."""
        protocol, peer = await self.connect()

        def fail(data: bytes) -> None:
            raise RuntimeError("a protocol's mistake")

        protocol.onData = fail
        peer.send(b"x")
        self.assertIs(await protocol.lost, RuntimeError)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(await self.receive(peer), b"")

    async def test_reentrant(self) -> None:
        """A protocol writes and closes from within dataReceived, and what it wrote arrives."""
        protocol, peer = await self.connect()

        def answer(data: bytes) -> None:
            protocol.transport.write(data)
            protocol.transport.writeSequence([b"!", b"?"])
            protocol.transport.loseConnection()
            protocol.transport.loseConnection()

        protocol.onData = answer
        peer.send(b"x")
        self.assertEqual(await self.receive(peer), b"x!?")
        self.assertIs(await protocol.lost, ConnectionDone)

    async def test_otherConnection(self) -> None:
        """A protocol writes to, pauses and ends another connection."""
        (first, sender), (second, receiver) = await self.connect(), await self.connect()

        def pass_(data: bytes) -> None:
            second.transport.write(data)
            second.transport.pauseProducing()
            second.transport.resumeProducing()
            second.transport.loseConnection()

        first.onData = pass_
        sender.send(b"from the first")
        self.assertEqual(await self.receive(receiver), b"from the first")
        self.assertIs(await second.lost, ConnectionDone)

    async def test_notBytes(self) -> None:
        """What is not bytes is refused, as ever."""
        protocol, _ = await self.connect()
        for wrong in ("text", bytearray(b"x")):
            with self.assertRaises(TypeError):
                protocol.transport.write(wrong)
            with self.assertRaises(TypeError):
                protocol.transport.writeSequence([b"x", wrong])

    async def test_nothingIsLeft(self) -> None:
        """When port and connections have ended, nothing of them is in the reactor."""
        from twisted.internet import reactor

        before = set(reactor.getReaders())
        protocol, peer = await self.connect()
        peer.close()
        await protocol.lost
        await self.port.stopListening()
        left = set(reactor.getReaders()) - before
        self.assertEqual(
            [each for each in left if isinstance(each, (NestedPoller, tcp.Server, tcp.Port))], []
        )


class EndTests(SynchronousTestCase):
    """What the ordinary end of a connection costs."""

    def test_notPolledAgain(self) -> None:
        """A connection with nothing to send that closes at its peer's end is not polled for it any more."""
        added: list[str] = []

        class Poller(NestedPoller):
            def addWriter(self, writer: Any) -> None:
                added.append("output")
                super().addWriter(writer)

        ours, peer = socket.socketpair()
        self.addCleanup(peer.close)
        protocol = Scripted()
        halfCloseable(protocol).addCallback(lambda _: protocol.transport.loseConnection())
        poller = Poller(MemoryReactor())
        arguments: Any = (ours, protocol, ("127.0.0.1", 1), None, 0, MemoryReactor())
        protocol.makeConnection(DirectServer(*arguments, poller=poller))
        peer.shutdown(socket.SHUT_WR)
        poller.doRead()
        self.assertIs(self.successResultOf(protocol.lost), ConnectionDone)
        self.assertEqual((added, peer.recv(1)), ([], b""))


class UNIXTransportTests(TransportTests):
    """The same over UNIX sockets."""

    description = "unix:{path}:lockfile=0"
    transport = DirectUNIXServer

    async def test_abortConnection(self) -> None:
        """The connection ends at once; a UNIX peer sees the end of the stream."""
        protocol, peer = await self.connect()
        protocol.transport.abortConnection()
        protocol.transport.write(b"too late")
        self.assertIs(await protocol.lost, ConnectionAborted)
        self.assertEqual(await self.receive(peer), b"")

    async def test_counts(self) -> None:
        """It counts what moves, since the kernel does not."""
        protocol, _ = await self.connect()
        protocol.transport.write(b"counted")
        self.assertEqual(protocol.transport.written, 7)


class InheritedTransportTests(TransportTests):
    """The same over Twisted's own transport: what is asked above is no dialect."""

    transport = tcp.Server
    isDirect = False

    async def test_atOnce(self) -> None:
        """What is written is there when the reactor has had its turn."""
        protocol, peer = await self.connect()
        peer.setblocking(False)
        protocol.transport.write(b"later")
        with self.assertRaises(BlockingIOError):
            peer.recv(100)
