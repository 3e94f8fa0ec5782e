"""What comes before a stream: a prefix that is read, and a connection that is handed over."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, ISSLTransport
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides

from echo_app.counts import ConnectionCounts
from echo_app.gates import Gate
from echo_app.limits import Limits
from echo_app.protocol import Build, EchoFactory, EchoProtocol
from echo_app.sockets import reset
from tests.fakes import Transport

PEER = "127.0.0.1"


class WordGate(Gate):
    """Passes a connection on after a line that says so."""

    name = "word"
    patience = 3.0

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
        self.counts = ConnectionCounts(Limits(maxConnectionsPerPeer=2), self.clock.seconds)
        self.factory = EchoFactory(self.counts)
        self.numbers: list[int] = []
        self.factory.wrap(self.gate)
        self.factory.wrap(self.gate)

    def gate(self, build: Build) -> Build:
        """Puts a gate before what was there."""

        def built(_address: IAddress | None, number: int) -> WordGate:
            self.numbers.append(number)
            return WordGate(lambda peer: build(peer, number), self.counts, self.clock)

        return built

    def connect(self, data: bytes = b"") -> Any:
        transport = Transport()
        transport.protocol = self.factory.buildProtocol(transport.getPeer())
        transport.protocol.makeConnection(transport)
        if data:
            transport.protocol.dataReceived(data)
        return transport

    def test_chain(self) -> None:
        """Each gate takes what is its own, with one number for the connection, and the echo the rest."""
        transport = self.connect(b"pass\npa")
        self.assertIsInstance(transport.protocol, WordGate)
        transport.protocol.dataReceived(b"ss\nhello")
        self.assertIsInstance(transport.protocol, EchoProtocol)
        self.assertEqual(transport.value(), b"hello")
        self.assertEqual(self.numbers, [1, 1])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_counted(self) -> None:
        """Its connections count under their peer, those in the gate and those past it, each once."""
        inGate, past = self.connect(), self.connect(b"pass\npass\n")
        self.assertEqual((len(self.counts.open), self.counts.perPeer), (2, {PEER: 2}))
        self.assertEqual(self.counts.accepted, 1)
        self.assertTrue(self.connect().disconnected)
        past.end(ConnectionLost())
        inGate.end(ConnectionLost())
        self.assertEqual((self.counts.open, self.counts.perPeer), ({}, {}))
        self.assertEqual(self.counts.lost, 1)

    def test_patience(self) -> None:
        """The time runs from the first byte on, for each gate; silence has no end unless one is set."""
        transport = self.connect()
        self.clock.advance(1000)
        transport.protocol.dataReceived(b"p")
        self.clock.advance(2.9)
        transport.protocol.dataReceived(b"ass\np")
        self.clock.advance(2.9)
        self.assertFalse(transport.disconnected)
        self.clock.advance(0.2)
        self.assertTrue(transport.disconnected)
        self.assertEqual(self.counts.timedOut.byReason, {"word": 1})
        self.assertEqual((self.counts.open, self.clock.getDelayedCalls()), ({}, []))

    def test_ended(self) -> None:
        """Who ends within the prefix is the subclass's business; who sent nothing is let go."""
        transport = self.connect(b"pass\nwhat")
        transport.protocol.readConnectionLost()
        self.assertEqual(transport.value(), b"what")
        silent = self.connect()
        silent.protocol.readConnectionLost()
        self.assertTrue(silent.disconnecting)

    def test_dismissed(self) -> None:
        """Who is let go with a line gets it before our end, and may go on, unheard, for a second."""
        transport = self.connect(b"leave\n")
        self.assertEqual((transport.value(), transport.isHalfClosed), (b"bye\n", True))
        transport.protocol.dataReceived(b"pass\n" * 2)
        self.clock.advance(0.9)
        self.assertEqual((transport.value(), transport.disconnecting), (b"bye\n", False))
        self.clock.advance(0.1)
        self.assertTrue(transport.disconnecting)
        transport.end(ConnectionDone())
        self.assertEqual((self.counts.open, self.counts.timedOut.byReason), ({}, {}))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_dismissedEnd(self) -> None:
        """The peer's end of stream, before its dismissal or after, closes the connection."""
        transport = self.connect(b"leave\n")
        self.assertFalse(transport.disconnecting)
        transport.protocol.readConnectionLost()
        self.assertTrue(transport.disconnecting)

    def test_dismissedWhole(self) -> None:
        """Where the two sides end together the connection is closed, and reset in time."""
        transport = Transport()
        directlyProvides(transport, ISSLTransport)
        transport.protocol = self.factory.buildProtocol(transport.getPeer())
        transport.protocol.makeConnection(transport)
        transport.protocol.dataReceived(b"leave\n")
        self.assertEqual((transport.value(), transport.isHalfClosed), (b"bye\n", False))
        self.assertTrue(transport.disconnecting)
        self.clock.advance(1)
        self.assertTrue(transport.ended)
