"""A stream, echoed: by itself, and held to limits by its factory."""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint, connectProtocol
from twisted.internet.error import ConnectError, ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, IProtocolFactory
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from echo_app.connections.limits import Limits
from echo_app.connections.refusal import Refusal
from echo_app.connections.registry import ConnectionRegistry
from echo_app.stack.stack import Stack
from echo_app.stream.protocol import EchoFactory, EchoProtocol
from echo_app.testing.memory import connectedTransport
from echo_app.testing.memorysocket import CAPACITY

ADDRESS = IPv4Address("TCP", "192.0.2.1", 40_000)

# Bytes that Twisted's transports hold before they pause their producer.
HIGH_WATER = 64 * 1024

# Bytes, of docs/dev/contract.rst, 3.
MOST_HELD = 256 * 1024


class ShoutingProtocol(EchoProtocol):
    """Sends back in capitals."""

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data.upper())


class HeldFactory(Factory):
    """Makes EchoProtocols, and measures what they hold.

    :param size: bytes that the peer sends.
    :ivar isHeldUp: fires when reading pauses, or when everything is received.
    :ivar held: bytes received that the kernel has not taken back yet.
    :ivar mostHeld: the most of them at one time.
    """

    def __init__(self, size: int) -> None:
        self.isHeldUp: Deferred[None] = Deferred()
        self.held = self.mostHeld = 0
        self._size = size
        self._received = 0

    def buildProtocol(self, addr: object) -> EchoProtocol:
        protocol = HeldProtocol()
        protocol.factory = self
        return protocol

    def count(self, received: int) -> None:
        self._received += received
        self.held += received
        self.mostHeld = max(self.mostHeld, self.held)
        if self._received == self._size:
            self.holdUp()

    def holdUp(self) -> None:
        if not self.isHeldUp.called:
            self.isHeldUp.callback(None)


class HeldProtocol(EchoProtocol):
    """An EchoProtocol whose transport tells the factory when it pauses, and what it sends."""

    factory: Any
    transport: Any

    def connectionMade(self) -> None:
        pause, writeSome = self.transport.pauseProducing, self.transport.writeSomeData

        def pauseProducing() -> None:
            pause()
            self.factory.holdUp()

        def writeSomeData(data: bytes) -> Any:
            written = writeSome(data)
            self.factory.held -= written if isinstance(written, int) else 0
            return written

        self.transport.pauseProducing = pauseProducing
        self.transport.writeSomeData = writeSomeData
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        self.factory.count(len(data))
        super().dataReceived(data)


class Peer(Protocol):
    """A client that keeps what it receives.

    :ivar ended: fires with why the connection ended.
    """

    def __init__(self) -> None:
        self.received = bytearray()
        self.ended: Deferred[BaseException] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        assert reason.value is not None
        self.ended.callback(reason.value or ConnectionDone())


class InterfaceTests(SynchronousTestCase):
    def test_instances(self) -> None:
        """Echoes hear of half-closes, subclasses too; a refusal is a protocol, EchoFactory a factory."""
        for interface, instance in (
            *((each, EchoProtocol()) for each in (IProtocol, IHalfCloseableProtocol)),
            (IHalfCloseableProtocol, ShoutingProtocol()),
            (IProtocol, Refusal()),
            (IProtocolFactory, EchoFactory()),
        ):
            verifyObject(interface, instance)


class EchoProtocolTests(SynchronousTestCase):
    """By itself, under a plain factory, on a transport of memory."""

    def setUp(self) -> None:
        protocol = Factory.forProtocol(EchoProtocol).buildProtocol(ADDRESS)
        assert isinstance(protocol, EchoProtocol)
        self.protocol = protocol
        self.transport = connectedTransport(self.protocol)
        self.peer = self.transport.farEnd

    def drain(self) -> bytes:
        """Has the peer read to the end of the stream; returns what it has read."""
        data = b""
        self.transport.flush()
        while chunk := self.peer.recv():
            data += chunk
            self.transport.flush()
        return data

    def test_noBanner(self) -> None:
        """A connection begins with nothing written."""
        self.transport.flush()
        self.assertRaises(BlockingIOError, self.peer.recv)

    def test_echo(self) -> None:
        """Every byte value comes back, in order, and nothing else."""
        everyByte = bytes(range(256))
        for data in (everyByte, b"\r\n\0", everyByte[::-1]):
            self.peer.send(data)
            self.transport.deliver()
        self.protocol.dataReceived(b"")
        self.peer.shutdown()
        self.assertEqual(self.drain(), everyByte + b"\r\n\0" + everyByte[::-1])

    def test_producer(self) -> None:
        """The transport is its own streaming producer."""
        self.assertIs(self.transport.producer, self.transport)
        self.assertIs(self.transport.streamingProducer, True)

    def test_backpressure(self) -> None:
        """Reading pauses while more than the high-water mark is unsent, and resumes when it is sent."""
        # The kernel takes the first one.
        for size, isReading in ((CAPACITY, True), (HIGH_WATER, True), (1, False)):
            self.peer.send(bytes(size))
            self.transport.flush()
            self.assertEqual(self.transport.isReading, isReading)
        self.assertEqual(self.transport.unsent, HIGH_WATER + 1)
        for isReading in (False, True):
            self.peer.recv()
            self.transport.flush()
            self.assertEqual(self.transport.isReading, isReading)

    def test_readConnectionLost(self) -> None:
        """At the peer's half-close unsent bytes are flushed first, and only then our side closes."""
        data = os.urandom(CAPACITY + HIGH_WATER)
        for begin in (0, CAPACITY):
            self.peer.send(data[begin : begin + CAPACITY])
            self.transport.flush()
        self.peer.shutdown()
        self.transport.flush()
        self.assertTrue(self.transport.disconnecting)
        self.assertTrue(self.transport.connected)
        self.assertTrue(self.drain() == data)
        self.assertFalse(self.transport.connected)

    def test_oneSegment(self) -> None:
        """Data and the end of the stream in one segment are flushed before our side closes."""
        self.peer.send(b"last words")
        self.peer.shutdown()
        self.assertEqual(self.drain(), b"last words")

    def test_finish(self) -> None:
        """finish() does the same, also while reading is paused, and a second time changes nothing."""
        self.protocol.dataReceived(b"x" * 3 * HIGH_WATER)
        self.assertFalse(self.transport.isReading)
        for _ in range(2):
            self.protocol.finish()
        self.transport.flush()
        self.assertTrue(self.transport.connected)
        self.assertEqual(self.drain(), b"x" * 3 * HIGH_WATER)
        self.assertFalse(self.transport.connected)

    def test_finishIsWhatReadConnectionLostDoes(self) -> None:
        """A subclass that overrides finish() decides what a half-close does."""

        class LastWordProtocol(EchoProtocol):
            def finish(self) -> None:
                self.transport.write(b"bye")
                super().finish()

        self.transport = connectedTransport(LastWordProtocol())
        self.peer = self.transport.farEnd
        self.peer.shutdown()
        self.assertEqual(self.drain(), b"bye")

    def test_writeConnectionLost(self) -> None:
        """The end of our own side leaves the transport as it is."""
        self.transport.loseWriteConnection()
        self.transport.flush()
        self.assertEqual(self.peer.recv(), b"")
        self.assertTrue(self.transport.isReading)
        self.assertIs(self.transport.producer, self.transport)

    def test_connectionLost(self) -> None:
        """The end of a connection that no registry counts is harmless."""
        self.peer.reset()
        self.transport.flush()
        self.assertFalse(self.transport.connected)

    def test_neverRebinds(self) -> None:
        """dataReceived stays the class's own method, through a connection's whole life."""
        for event in (lambda: self.peer.send(b"x"), self.peer.shutdown, self.drain):
            event()
            self.transport.flush()
            self.assertEqual(self.protocol.dataReceived, EchoProtocol.dataReceived.__get__(self.protocol))
        self.assertFalse(self.transport.connected)

    def test_subclass(self) -> None:
        """A subclass answers otherwise by overriding dataReceived."""
        transport = connectedTransport(ShoutingProtocol())
        transport.farEnd.send(b"quiet")
        transport.flush()
        self.assertEqual(transport.farEnd.recv(), b"QUIET")


class LoopbackTests(TestCase):
    """On the reactor's own transports, over TCP and UNIX sockets."""

    timeout = 30

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.counts = ConnectionRegistry(Limits(maxConnections=2))

    def listen(self, factory: Any, kind: str = "tcp") -> Any:
        """Listens until the test's end; returns the endpoint to connect to."""
        if kind == "tcp":
            port = self.reactor.listenTCP(0, factory, interface="127.0.0.1")
            endpoint: object = TCP4ClientEndpoint(self.reactor, "127.0.0.1", port.getHost().port)
        else:
            path = self.mktemp()
            port = self.reactor.listenUNIX(path, factory)
            endpoint = UNIXClientEndpoint(self.reactor, path)
        self.addCleanup(port.stopListening)
        return endpoint

    async def connect(self, endpoint: Any) -> Any:
        """Returns a connected peer; it is cut off at the test's end if it still is there."""
        peer: Any = await connectProtocol(endpoint, Peer())

        def end() -> Deferred[BaseException] | None:
            if peer.ended.called:
                return None
            peer.transport.abortConnection()
            ended: Deferred[BaseException] = peer.ended
            return ended

        self.addCleanup(end)
        return peer

    async def test_lateReader(self) -> None:
        """A peer that reads late gets everything, and meanwhile at most 256 KiB are held for it."""
        size = 16 * 1024 * 1024
        for kind in ("tcp", "unix"):
            factory = HeldFactory(size)
            peer = await self.connect(self.listen(factory, kind))
            peer.transport.pauseProducing()
            data = os.urandom(1 << 20) * (size >> 20)
            peer.transport.write(data)
            peer.transport.loseWriteConnection()
            await factory.isHeldUp
            peer.transport.resumeProducing()
            self.assertIsInstance(await peer.ended, ConnectionDone)
            self.assertTrue(bytes(peer.received) == data, kind)
            self.assertEqual(factory.held, 0)
            self.assertLessEqual(factory.mostHeld, MOST_HELD, kind)

    async def test_urgentData(self) -> None:
        """Urgent bytes come back in their place."""
        peer = await self.connect(self.listen(Factory.forProtocol(EchoProtocol)))
        handle = peer.transport.getHandle()
        handle.send(b"before ")
        handle.send(b"!", socket.MSG_OOB)
        handle.send(b" after")
        handle.shutdown(socket.SHUT_WR)
        await peer.ended
        self.assertEqual(bytes(peer.received), b"before ! after")

    async def test_refused(self) -> None:
        """A refused peer sees a reset, and those that are served go on."""
        endpoint = self.listen(Stack(EchoFactory(), self.counts))
        served = await self.connect(endpoint)
        served.transport.write(b"first")
        other = await self.connect(endpoint)
        other.transport.loseWriteConnection()
        self.assertIsInstance(await other.ended, ConnectionDone)
        self.counts.limits = Limits(maxConnections=1)
        # The reset is there before the reactor that both run on looks at the peer again.
        with self.assertRaises(ConnectError):
            await self.connect(endpoint)
        served.transport.write(b" second")
        served.transport.loseWriteConnection()
        await served.ended
        self.assertEqual(bytes(served.received), b"first second")
        await self.counts.whenEmpty()
        self.assertEqual((self.counts.accepted, self.counts.lost), (2, 0))

    async def test_exception(self) -> None:
        """A mistake in dataReceived ends that connection alone, and the counts come back to zero."""

        class FaultyFactory(EchoFactory):
            class protocol(EchoProtocol):
                def dataReceived(self, data: bytes) -> None:
                    if data == b"fault":
                        raise RuntimeError("ours")
                    super().dataReceived(data)

        self.counts = ConnectionRegistry(Limits(maxConnectionsPerPeer=5))
        endpoint = self.listen(Stack(FaultyFactory(), self.counts))
        peer = await self.connect(endpoint)
        other = await self.connect(endpoint)
        peer.transport.write(b"fault")
        await peer.ended
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        other.transport.write(b"fine")
        other.transport.loseWriteConnection()
        await other.ended
        self.assertEqual(bytes(other.received), b"fine")
        await self.counts.whenEmpty()
        self.assertEqual((self.counts.open, dict(self.counts.perPeer)), ({}, {}))
        self.assertEqual((self.counts.accepted, self.counts.lost), (2, 1))
