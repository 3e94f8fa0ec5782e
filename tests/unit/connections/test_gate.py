"""Gates: a prefix that is read, and a connection that is handed over."""

from __future__ import annotations

from twisted.internet.interfaces import IAddress, ISSLTransport
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from echo_app.connections.connection import Connection
from echo_app.connections.gate import Gate
from echo_app.connections.limits import Limits
from echo_app.connections.record import Ending
from echo_app.connections.registry import ConnectionRegistry
from echo_app.interfaces import Build
from echo_app.stack.stack import Stack
from echo_app.stream.protocol import EchoFactory, EchoProtocol
from echo_app.testing.memory import CLIENT, MemoryTransport, connectedTransport
from echo_app.testing.memorysocket import CAPACITY
from echo_app.transport.sockets import reset


class WordGate(Gate):
    """Passes a connection on after a line that says so."""

    ending = Ending.HEADER
    prefixTimeout = 3.0

    def prefixReceived(self) -> None:
        line, newline, _rest = self.received.partition(b"\n")
        if newline and line == b"leave":
            self.dismiss(b"bye\n")
        elif newline:
            self.handOver(len(line) + 1) if line == b"pass" else reset(self.transport)

    def prefixEnded(self) -> None:
        self.handOver(0).readConnectionLost()  # type: ignore[attr-defined]


class GateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.counts = ConnectionRegistry(Limits(maxConnectionsPerPeer=2), self.clock.seconds)
        self.numbers: list[int] = []
        self.factory = Stack(EchoFactory(), self.counts, layers=[self.gate, self.gate])

    def gate(self, build: Build) -> Build:
        """Puts a gate before the layers that there were."""

        def built(_address: IAddress | None, connection: Connection) -> WordGate:
            self.numbers.append(connection.number)
            return WordGate(build, connection, self.clock)

        return built

    def connect(self, data: bytes = b"", capacity: int = CAPACITY) -> MemoryTransport:
        protocol = self.factory.buildProtocol(CLIENT)
        assert protocol is not None
        transport = connectedTransport(protocol, clock=self.clock, capacity=capacity)
        self.send(transport, data)
        return transport

    def send(self, transport: MemoryTransport, data: bytes) -> None:
        while data:
            data = data[transport.farEnd.send(data) :]
            transport.flush()

    def end(self, transport: MemoryTransport) -> None:
        transport.farEnd.shutdown()
        transport.flush()

    def test_chain(self) -> None:
        """Each gate takes its own prefix, with one number for the connection, and the echo takes the rest."""
        transport = self.connect(b"pass\npa")
        self.assertIsInstance(transport.protocol, WordGate)
        self.send(transport, b"ss\nhello")
        self.assertIsInstance(transport.protocol, EchoProtocol)
        self.assertEqual(transport.farEnd.recv(), b"hello")
        self.assertEqual(self.numbers, [1, 1])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_counted(self) -> None:
        """Connections count under their peer, those in the gate and those past it, each once."""
        inGate, past = self.connect(), self.connect(b"pass\npass\n")
        self.assertEqual((len(self.counts.open), self.counts.perPeer), (2, {CLIENT.host: 2}))
        self.assertEqual(self.counts.accepted, 1)
        self.assertTrue(self.connect().disconnected)
        for transport in (past, inGate):
            transport.farEnd.reset()
            transport.flush()
        self.assertEqual((self.counts.open, self.counts.perPeer), ({}, {}))
        self.assertEqual(self.counts.lost, 1)

    def test_patience(self) -> None:
        """The time runs from the first byte on, for each gate; silence has no end unless one is set."""
        transport = self.connect()
        self.clock.advance(1000)
        self.send(transport, b"p")
        self.clock.advance(2.9)
        self.send(transport, b"ass\np")
        self.clock.advance(2.9)
        self.assertFalse(transport.disconnected)
        self.clock.advance(0.2)
        self.assertTrue(transport.disconnected)
        self.assertEqual(self.counts.timedOut.byReason, {"header": 1})
        self.assertEqual((self.counts.open, self.clock.getDelayedCalls()), ({}, []))

    def test_ended(self) -> None:
        """An end within the prefix goes to the subclass; a peer that sent nothing is closed."""
        transport = self.connect(b"pass\nwhat")
        self.end(transport)
        self.assertEqual((transport.farEnd.recv(), transport.farEnd.recv()), (b"what", b""))
        silent = self.connect()
        self.end(silent)
        self.assertTrue(silent.disconnected)

    def test_dismissed(self) -> None:
        """A dismissed peer gets a line before our end, and may go on, unheard, for a second."""
        transport = self.connect(b"leave\n")
        self.assertEqual((transport.farEnd.recv(), transport.farEnd.recv()), (b"bye\n", b""))
        self.send(transport, b"pass\n" * 2)
        self.clock.advance(0.9)
        self.assertFalse(transport.disconnected)
        self.clock.advance(0.1)
        transport.flush()
        self.assertTrue(transport.disconnected)
        # After a reset this would fail.
        self.assertEqual(transport.farEnd.send(b"x"), 1)
        self.assertEqual((self.counts.open, self.counts.timedOut.byReason), ({}, {}))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_dismissedEnd(self) -> None:
        """The peer's end of stream, before its dismissal or after, closes the connection."""
        transport = self.connect(b"leave\n")
        self.assertFalse(transport.disconnected)
        self.end(transport)
        self.assertTrue(transport.disconnected)

    def test_dismissedWhole(self) -> None:
        """A transport whose sides end together is closed, and reset in time."""
        for capacity in (4, 1):
            transport = self.connect(capacity=capacity)
            directlyProvides(transport, ISSLTransport)
            self.send(transport, b"leave\n")
            # It closes when the line is sent, and waits for a peer that does not read.
            self.assertEqual(transport.disconnected, capacity == 4)
            self.clock.advance(1)
            transport.flush()
            self.assertTrue(transport.disconnected)
            self.assertEqual(transport.farEnd.recv(), b"bye\n"[:capacity])
        self.assertRaises(ConnectionResetError, transport.farEnd.recv)
