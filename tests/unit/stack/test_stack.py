"""The stack of a connection: admission, the order of layers, and the counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from echo_app.connections.connection import Connection
from echo_app.connections.limits import Limits
from echo_app.connections.refusal import Refusal
from echo_app.connections.registry import RESERVED_DESCRIPTORS, ConnectionRegistry
from echo_app.interfaces import Build
from echo_app.proxy.header import UNEXPECTED
from echo_app.stack.stack import WATCHED, Stack
from echo_app.stream.protocol import EchoFactory, EchoProtocol
from echo_app.transport.layer import FirstRead, protocolOf
from tests.support.fakes import Transport, opened
from tests.unit.stream.test_protocol import ADDRESS, ShoutingProtocol


def connected(protocol: Any, number: int = 7) -> Transport:
    """Connects a protocol to a transport in memory with this descriptor, which is returned."""
    transport = Transport(number=number)
    transport.protocol = protocol
    protocol.makeConnection(transport)
    return transport


class InterfaceTests(SynchronousTestCase):
    def test_factory(self) -> None:
        """A stack is a factory, which starts and stops the one above it."""
        factory = EchoFactory()
        stack = Stack(factory)
        verifyObject(IProtocolFactory, stack)
        stack.doStart()
        self.assertEqual(factory.numPorts, 1)
        stack.doStop()
        self.assertEqual(factory.numPorts, 0)


class StackTests(SynchronousTestCase):
    """With and without limits, on transports of memory."""

    def setUp(self) -> None:
        self.counts = ConnectionRegistry(Limits(maxConnections=2))
        self.stack = Stack(EchoFactory(), self.counts)

    def build(self, stack: Stack | None = None) -> Any:
        return (stack or self.stack).buildProtocol(ADDRESS)

    def test_withoutRegistry(self) -> None:
        """Without a registry it admits as many connections as come, and counts them."""
        stack = Stack(EchoFactory())
        for _ in range(100):
            connected(self.build(stack))
        self.assertEqual(stack.connections.accepted, 100)

    def test_unexpectedHeader(self) -> None:
        """A header of the PROXY protocol that none expects is echoed, and logged once for a listener."""
        for header in (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"):
            stack = Stack(EchoFactory())
            events: list[Any] = []
            observe: Any = events.append
            globalLogPublisher.addObserver(observe)
            self.addCleanup(globalLogPublisher.removeObserver, observe)
            for first in (b"PROXY", header, header):
                transport = connected(self.build(stack))
                for data in (first, header):
                    transport.protocol.dataReceived(data)
                self.assertEqual(transport.value(), first + header)
                # No method of the protocol is replaced.
                self.assertNotIn("dataReceived", vars(transport.protocol))
            self.assertEqual([each["header"] for each in events if "header" in each], [UNEXPECTED])
            globalLogPublisher.removeObserver(observe)

    def test_watched(self) -> None:
        """Only the first connections of a listener are watched, and none after a header."""
        for header, watched in ((b"", WATCHED), (b"PROXY UNKNOWN\r\n", 1)):
            stack = Stack(EchoFactory())
            count = 0
            for _ in range(WATCHED + 2):
                transport = connected(self.build(stack))
                count += isinstance(transport.protocol, FirstRead)
                transport.protocol.dataReceived(header)
            self.assertEqual(count, watched)

    def test_withCounts(self) -> None:
        """With counts a connection is open from connectionMade to connectionLost."""
        protocol = self.build()
        self.assertEqual((len(self.counts.open), self.counts.accepted), (0, 0))
        transport: Any = connected(protocol)
        self.assertEqual([each.transport for each in self.counts.open], [transport])
        self.assertEqual(self.counts.accepted, 1)
        protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual((len(self.counts.open), self.counts.accepted, self.counts.lost), (0, 1, 0))

    def test_layers(self) -> None:
        """Layers of one's own have the admitted connections' numbers; the last one is the lowest."""
        seen: list[object] = []

        def layer(name: str) -> Callable[[Build], Build]:
            def put(build: Build) -> Build:
                def built(address: IAddress | None, connection: Connection) -> IProtocol | None:
                    seen.append((name, address, connection.number))
                    return build(address, connection)

                return built

            return put

        stack = Stack(EchoFactory(), self.counts, layers=[layer("upper"), layer("lower")])
        for _ in range(2):
            self.assertIs(type(protocolOf(opened(stack, ADDRESS))), EchoProtocol)
        self.assertIsInstance(self.build(stack), Refusal)
        self.assertEqual(seen, [(name, ADDRESS, number) for number in (1, 2) for name in ("lower", "upper")])

    def test_lost(self) -> None:
        """An end with an error is counted as lost; a clean one, or our own reset, is not."""
        for error, lost in ((ConnectionDone(), 0), (ConnectionAborted(), 0), (ConnectionLost(), 1)):
            protocol = self.build()
            connected(protocol)
            protocol.connectionLost(Failure(error))
            self.assertEqual(self.counts.lost, lost)

    def test_shared(self) -> None:
        """Two factories with the same counts are held to one limit together."""
        other = Stack(EchoFactory(), self.counts)
        connected(self.build())
        connected(self.build(other))
        self.assertIsInstance(self.build(), Refusal)
        self.assertIsInstance(self.build(other), Refusal)
        self.assertEqual(self.counts.refused.byReason, {"max-connections": 2})

    def test_refused(self) -> None:
        """A refused peer's connection is reset at once, and nothing else is done to it."""
        for _ in range(2):
            connected(self.build())
        transport = connected(self.build())
        self.assertTrue(transport.disconnected)
        self.assertIsNone(transport.producer)
        self.assertEqual(transport.value(), b"")
        self.assertEqual((len(self.counts.open), self.counts.accepted), (2, 2))

    def test_roomAgain(self) -> None:
        """When a connection ends, the next peer is served."""
        protocols = [self.build(), self.build()]
        for protocol in protocols:
            connected(protocol)
        protocols[0].connectionLost(connectionDone)
        self.assertIsInstance(protocolOf(opened(self.stack)), EchoProtocol)

    def test_subclass(self) -> None:
        """A factory subclass's protocol is made, and counted."""

        class ShoutingFactory(EchoFactory):
            protocol = ShoutingProtocol

        protocol = self.build(Stack(ShoutingFactory(), self.counts))
        transport = connected(protocol)
        protocol.dataReceived(b"quiet")
        self.assertEqual(transport.value(), b"QUIET")
        self.assertEqual((len(self.counts.open), self.counts.accepted), (1, 1))

    def test_otherProtocol(self) -> None:
        """Any protocol is counted, untouched, and ended without any method but those of IProtocol."""

        class OtherFactory(EchoFactory):
            protocol = Protocol  # type: ignore[assignment]

        transport = opened(Stack(OtherFactory(), self.counts))
        protocol = transport.protocol
        self.assertIs(type(protocol), Protocol)
        self.assertEqual(set(vars(protocol)), {"factory", "transport", "connected"})
        self.assertEqual((len(self.counts.open), self.counts.accepted), (1, 1))
        transport.registerProducer(transport, True)
        next(iter(self.counts.open)).finish()
        self.assertTrue(transport.disconnecting)
        self.assertIsNone(transport.producer)
        transport.end(ConnectionDone())
        self.assertEqual((len(self.counts.open), self.counts.accepted), (0, 1))

    def test_descriptors(self) -> None:
        """A connection whose descriptor comes near the limit is reset, and never counts as open."""
        self.counts = ConnectionRegistry(Limits(), descriptorLimit=100)
        self.stack = Stack(EchoFactory(), self.counts)
        protocol = self.build()
        transport = connected(protocol, 100 - RESERVED_DESCRIPTORS)
        self.assertTrue(transport.disconnected)
        protocol.connectionLost(Failure(ConnectionAborted()))
        self.assertEqual(self.counts.refused.byReason, {"descriptors": 1})
        self.assertEqual((len(self.counts.open), self.counts.accepted, self.counts.lost), (0, 0, 0))

    def test_descriptorBelow(self) -> None:
        """A connection with the last descriptor that is free for it is served."""
        self.counts = ConnectionRegistry(Limits(), descriptorLimit=100)
        self.stack = Stack(EchoFactory(), self.counts)
        transport = connected(self.build(), 99 - RESERVED_DESCRIPTORS)
        self.assertFalse(transport.disconnected)
        self.assertEqual(len(self.counts.open), 1)
