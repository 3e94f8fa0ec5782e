"""Connections in memory: what a test sees of them. That they are as TCP is, is seen in functional/."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableDescriptor,
    IProtocol,
    IPushProducer,
    ISystemHandle,
    ITCPTransport,
    ITLSTransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import CertificateOptions, PrivateCertificate
from twisted.internet.task import Clock
from twisted.protocols.policies import TimeoutMixin
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyClass, verifyObject

from echo_app.stream.protocol import EchoProtocol
from echo_app.testing.memory import CLIENT, SERVER, connectedPair, connectedTransport
from echo_app.testing.memorysocket import CAPACITY, MemorySocket, socketPair
from echo_app.testing.turns import NeverQuiet
from tests.support.certificates import Authority
from tests.support.properties import given

# Bytes that Twisted's transports hold before they pause their producer.
HIGH_WATER = 64 * 1024


class Peer(Protocol):
    """Notes what it is told.

    :ivar segments: what was received, as it came.
    :ivar ends: why the connection has ended.
    """

    transport: Any

    def __init__(self) -> None:
        self.segments: list[bytes] = []
        self.ends: list[BaseException] = []

    @property
    def received(self) -> bytes:
        return b"".join(self.segments)

    def dataReceived(self, data: bytes) -> None:
        self.segments.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        assert reason.value is not None
        self.ends.append(reason.value)


class PingPong(Peer):
    """Answers what it receives, for ever, and notes how deep inside each other its answers are."""

    depth = deepest = 0

    def dataReceived(self, data: bytes) -> None:
        self.depth += 1
        self.deepest = max(self.deepest, self.depth)
        self.transport.write(data)
        self.depth -= 1


class TransportTests(SynchronousTestCase):
    def test_interfaces(self) -> None:
        """The transport has all of Twisted's interfaces of a TCP transport but startTLS."""
        transport = connectedTransport(Peer())
        for interface in (ITCPTransport, IConsumer, IPushProducer, IHalfCloseableDescriptor, ISystemHandle):
            verifyClass(interface, type(transport))
            verifyObject(interface, transport)
        self.assertFalse(ITLSTransport.providedBy(transport))
        self.assertRaises(NotImplementedError, transport.startTLS, None)

    def test_echo(self) -> None:
        """Bytes that the test sends at the far end come back there, when they are delivered."""
        transport = connectedTransport(EchoProtocol())
        transport.farEnd.send(b"hello")
        self.assertRaises(BlockingIOError, transport.farEnd.recv)
        transport.flush()
        self.assertEqual(transport.farEnd.recv(), b"hello")

    def test_highWater(self) -> None:
        """A producer is paused by the first byte above 64 KiB, and resumed when all of them are sent."""
        protocol = EchoProtocol()
        transport = connectedTransport(protocol)
        protocol.dataReceived(bytes(HIGH_WATER))
        self.assertEqual((transport.unsent, transport.isReading), (HIGH_WATER, True))
        protocol.dataReceived(b"x")
        self.assertEqual((transport.unsent, transport.isReading), (HIGH_WATER + 1, False))
        transport.flush()
        self.assertEqual((transport.unsent, transport.isReading), (1, False))
        transport.farEnd.recv()
        transport.flush()
        self.assertEqual((transport.unsent, transport.isReading), (0, True))

    def test_addresses(self) -> None:
        """The addresses are invented ones, unless the test states others."""
        transport = connectedTransport(Peer())
        self.assertEqual((transport.getHost(), transport.getPeer()), (SERVER, CLIENT))
        transport = connectedTransport(Peer(), host=CLIENT, peer=SERVER)
        self.assertEqual((transport.getHost(), transport.getPeer()), (CLIENT, SERVER))
        pair = connectedPair(Peer(), Peer())
        self.assertEqual((pair.client.getHost(), pair.client.getPeer()), (CLIENT, SERVER))
        self.assertEqual((pair.server.getHost(), pair.server.getPeer()), (SERVER, CLIENT))

    def test_options(self) -> None:
        """TCP's options keep their values, and there is no descriptor."""
        transport = connectedTransport(Peer())
        self.assertEqual((transport.getTcpNoDelay(), transport.getTcpKeepAlive()), (False, False))
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)
        self.assertEqual((transport.getTcpNoDelay(), transport.getTcpKeepAlive()), (True, True))
        self.assertEqual(transport.fileno(), -1)

    def test_clock(self) -> None:
        """Time-outs follow the clock; a delivery runs the calls that are due."""

        class Impatient(Peer, TimeoutMixin):
            def connectionMade(self) -> None:
                self.callLater = clock.callLater  # type: ignore[method-assign,assignment]
                self.setTimeout(5)

        clock = Clock()
        protocol = Impatient()
        transport = connectedTransport(protocol, clock=clock)
        clock.advance(4)
        transport.flush()
        self.assertEqual(protocol.ends, [])
        clock.advance(1)
        transport.flush()
        self.assertEqual([type(end) for end in protocol.ends], [ConnectionDone])
        self.assertEqual(transport.farEnd.recv(), b"")

    def test_mistake(self) -> None:
        """An exception in a protocol ends its connection, and comes out of the delivery."""

        class Mistaken(Peer):
            def dataReceived(self, data: bytes) -> None:
                raise ZeroDivisionError

        protocol = Mistaken()
        transport = connectedTransport(protocol)
        transport.farEnd.send(b"x")
        self.assertRaises(ZeroDivisionError, transport.flush)
        self.assertEqual([type(end) for end in protocol.ends], [ZeroDivisionError])
        self.assertEqual(transport.farEnd.recv(), b"")

    def test_lost(self) -> None:
        """After the end of its connection it can't be half-closed, which is an error under epoll too."""
        transport = connectedTransport(Peer())
        transport.farEnd.close()
        transport.flush()
        self.assertRaises(ValueError, transport.loseWriteConnection)


class FarEndTests(SynchronousTestCase):
    """A socket of memory in the test's hand."""

    def setUp(self) -> None:
        self.protocol = Peer()
        self.transport = connectedTransport(self.protocol)
        self.farEnd: MemorySocket = self.transport.farEnd

    def test_full(self) -> None:
        """The far end takes as much as the kernel has room for, and then would block."""
        self.transport.pauseProducing()
        self.assertEqual(self.farEnd.send(bytes(CAPACITY + 1)), CAPACITY)
        self.transport.flush()
        self.assertEqual(self.protocol.received, b"")
        self.assertRaises(BlockingIOError, self.farEnd.send, b"x")
        self.transport.resumeProducing()
        self.transport.flush()
        self.assertEqual(len(self.protocol.received), CAPACITY)
        self.assertEqual(self.farEnd.send(b"x"), 1)

    def test_shutdown(self) -> None:
        """Data and the end of the stream are two deliveries; it can't send after it."""
        self.farEnd.send(b"last")
        self.farEnd.shutdown()
        self.assertRaises(BrokenPipeError, self.farEnd.send, b"x")
        self.transport.deliver()
        self.assertEqual((self.protocol.received, self.protocol.ends), (b"last", []))
        self.transport.deliver()
        self.assertEqual([type(end) for end in self.protocol.ends], [ConnectionDone])

    def test_reset(self) -> None:
        """A reset at the far end is a reset to the protocol, after the bytes before it."""
        self.farEnd.send(b"last")
        self.farEnd.reset()
        self.transport.flush()
        self.assertEqual(self.protocol.received, b"last")
        self.assertEqual([type(end) for end in self.protocol.ends], [ConnectionLost])

    def test_closed(self) -> None:
        """A closed one is as a closed descriptor is; to close it again is harmless."""
        self.farEnd.close()
        self.farEnd.close()
        self.farEnd.reset()
        for use in (self.farEnd.recv, self.farEnd.shutdown, lambda: self.farEnd.send(b"x")):
            self.assertRaises(OSError, use)

    def test_partly(self) -> None:
        """The far end receives at most as much as it asks for."""
        self.transport.write(b"hello")
        self.transport.flush()
        self.assertEqual((self.farEnd.recv(4), self.farEnd.recv(4)), (b"hell", b"o"))


class PairTests(SynchronousTestCase):
    def test_deliver(self) -> None:
        """A delivery takes the written bytes to the other side; the answer is the next one's."""
        client = Peer()
        pair = connectedPair(client, EchoProtocol())
        self.assertFalse(pair.deliver())
        client.transport.write(b"hello")
        self.assertTrue(pair.deliver())
        self.assertEqual(client.received, b"")
        self.assertTrue(pair.deliver())
        self.assertEqual(client.received, b"hello")
        self.assertFalse(pair.deliver())

    def test_neverInside(self) -> None:
        """Nothing is delivered from within a delivery; two that answer each other for ever are stopped."""
        client, server = PingPong(), PingPong()
        pair = connectedPair(client, server)
        client.transport.write(b"ping")
        self.assertRaises(NeverQuiet, pair.flush, 100)
        self.assertEqual((client.deepest, server.deepest), (1, 1))

    def test_deliverInside(self) -> None:
        """A delivery from within a delivery is an error."""

        class Hasty(Peer):
            def dataReceived(self, data: bytes) -> None:
                pair.flush()

        server = Hasty()
        pair = connectedPair(Peer(), server)
        pair.client.write(b"x")
        self.assertRaises(RuntimeError, pair.flush)
        self.assertFalse(pair.deliver() and pair.deliver())

    def test_byteByByte(self) -> None:
        """With segments of one byte each of them is a delivery; that may change on the way."""
        client, server = Peer(), Peer()
        pair = connectedPair(client, server, segments=1)
        client.transport.writeSequence([b"ab", b"", b"cd"])
        pair.deliver()
        self.assertEqual(server.segments, [b"a"])
        pair.deliver()
        self.assertEqual((server.segments, pair.segments), ([b"a", b"b"], 1))
        pair.segments = None
        pair.flush()
        self.assertEqual(server.segments, [b"a", b"b", b"cd"])

    def test_randomSegments(self) -> None:
        """Random segments lose nothing, and are the same for the same seed."""
        data = os.urandom(5000)

        def received(seed: int) -> list[bytes]:
            server = Peer()
            pair = connectedPair(Peer(), server, segments=random.Random(seed))
            pair.client.write(data)
            pair.flush()
            self.assertEqual(server.received, data)
            return server.segments

        self.assertEqual(received(1), received(1))
        self.assertNotEqual(received(1), received(2))

    @given(st.lists(st.binary(max_size=200), max_size=5), st.randoms(), st.integers(1, 300))
    def test_identity(self, writes: list[bytes], segments: random.Random, capacity: int) -> None:
        """However bytes are cut and held up, an echo returns them, and ends after them."""
        client = Peer()
        pair = connectedPair(client, EchoProtocol(), segments=segments, capacity=capacity)
        for data in writes:
            client.transport.write(data)
        client.transport.loseWriteConnection()
        pair.flush()
        self.assertEqual(client.received, b"".join(writes))
        self.assertEqual([type(end) for end in client.ends], [ConnectionDone])

    def test_wrong(self) -> None:
        """A setting that would never deliver anything is refused at once."""
        wrong: tuple[Any, ...] = (0, -1, "x", 1.5, True)
        for segments in wrong:
            self.assertRaises(ValueError, socketPair, CAPACITY, segments)
        self.assertRaises(ValueError, connectedPair, Peer(), Peer(), capacity=0)

    def test_tls(self) -> None:
        """Twisted's TLS runs over it, with its clock."""
        clock = Clock()
        paths = Authority(Path(self.mktemp())).issue("localhost")
        certificate = PrivateCertificate.loadPEM("".join(Path(path).read_text() for path in paths))
        client, server = Peer(), Peer()

        def overTLS(end: Peer, isClient: bool, options: CertificateOptions) -> IProtocol:
            factory = TLSMemoryBIOFactory(options, isClient, Factory.forProtocol(lambda: end), clock)
            return factory.buildProtocol(CLIENT)

        pair = connectedPair(
            overTLS(client, True, CertificateOptions()),
            overTLS(server, False, certificate.options()),
            clock=clock,
            segments=random.Random(1),
        )
        client.transport.write(b"secret")
        pair.flush()
        self.assertEqual(server.received, b"secret")
        client.transport.loseConnection()
        pair.flush()
        self.assertEqual([type(end) for end in (*client.ends, *server.ends)], [ConnectionDone] * 2)
