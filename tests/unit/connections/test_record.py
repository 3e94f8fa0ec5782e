from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.connections import drain, timeouts
from echo_app.connections.drain import Drain
from echo_app.connections.limits import Limits
from echo_app.connections.record import ConnectionRecord, Ending, noteEnd, recordOf
from echo_app.connections.registry import ConnectionRegistry
from echo_app.connections.timeouts import TimeoutSweep
from echo_app.proxy.gate import HEADER_TIMEOUT, LOOPBACK, ProxyHeaders
from echo_app.stack.stack import Stack
from echo_app.stream.protocol import EchoFactory
from tests.support import fakes


class RecordTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.record = ConnectionRecord(0.0, 0.0)

    def test_found(self) -> None:
        """A record is found from any transport above the one that carries it."""
        bottom = SimpleNamespace(record=self.record)
        top = SimpleNamespace(transport=SimpleNamespace(transport=bottom))
        self.assertIs(recordOf(top), self.record)
        self.assertIs(recordOf(bottom), self.record)

    def test_notRecorded(self) -> None:
        """A connection has no record without a log, or where an attribute happens to have the name."""
        for transport in (None, object(), SimpleNamespace(transport=SimpleNamespace(record="a record"))):
            self.assertIsNone(recordOf(transport))
            noteEnd(transport, Ending.IDLE)

    def test_firstEnd(self) -> None:
        """The first to say why a connection ends is believed."""
        noteEnd(SimpleNamespace(record=self.record), Ending.LIMIT, "descriptors")
        self.record.end(Ending.RESET)
        self.assertEqual((self.record.ended, self.record.detail), (Ending.LIMIT, "descriptors"))


class SweptTests(SynchronousTestCase):
    """Time-outs and drains note the reason of an end."""

    def setUp(self) -> None:
        self.clock = Clock()
        for module in (timeouts, drain):
            self.patch(module, "progressOf", fakes.progressOf)
        self.patch(timeouts, "owes", fakes.owes)

    def counts(self, **limits: float) -> ConnectionRegistry:
        return ConnectionRegistry(Limits(**limits), self.clock.seconds)  # type: ignore[arg-type]

    def test_timeOuts(self) -> None:
        """Idle and stalled connections are told apart; one that moves has no reason."""
        counts = self.counts(idleTimeout=3, stallTimeout=3)
        idle, stalled, busy = (
            fakes.FakeConnection(counts, seconds=self.clock.seconds).open() for _ in range(3)
        )
        sweep = TimeoutSweep(counts, self.clock)
        sweep.start()
        for second in range(6):
            if "abort" not in stalled.done:
                stalled.move(received=second, owed=1)
            busy.move(received=second)
            self.clock.advance(1)
        sweep.stop()
        self.assertEqual(
            [each.record.ended for each in (idle, stalled, busy)], [Ending.IDLE, Ending.STALL, None]
        )

    def test_drain(self) -> None:
        """A drain ends quiet ones and busy ones."""
        counts = self.counts(drainTimeout=3)
        quiet, busy = (fakes.FakeConnection(counts).open() for _ in range(2))
        busy.move(owed=1)
        Drain(counts, self.clock).run()
        self.clock.pump([0.1] * 20)
        self.assertEqual([each.record.ended for each in (quiet, busy)], [Ending.DRAIN, None])
        quiet.end()
        self.clock.pump([0.1] * 20)
        self.assertEqual(busy.record.ended, Ending.DRAIN)


class AdmittedTests(SynchronousTestCase):
    """A connection as its factory and its gates know it."""

    def setUp(self) -> None:
        self.clock = Clock()
        limits = Limits(maxConnections=1)
        unknown: Any = SimpleNamespace(began=lambda _transport: None, ended=lambda *_: None)
        self.counts = ConnectionRegistry(limits, self.clock.seconds, descriptorLimit=100, unknown=unknown)
        self.factory = Stack(EchoFactory(), self.counts)
        self.gates = self.behindProxy()

    def behindProxy(self, *trusted: str) -> Stack:
        proxy = ProxyHeaders(self.clock, trusted or LOOPBACK)
        return Stack(EchoFactory(), self.counts, proxy=proxy)

    def connect(self, factory: Any, number: int = 7) -> tuple[Any, ConnectionRecord]:
        """Returns a connection's transport, and its record."""
        transport: Any = fakes.Transport(number=number)
        transport.record = ConnectionRecord(0.0, 0.0)
        transport.protocol = factory.buildProtocol(transport.getPeer())
        transport.protocol.makeConnection(transport)
        return transport, transport.record

    def test_number(self) -> None:
        """Connections are numbered as they are admitted; one that is refused has no number, and a reason."""
        first, record = self.connect(self.factory)
        _, refused = self.connect(self.factory)
        self.assertEqual(([each.number for each in self.counts.open], record.ended), ([1], None))
        first.end(ConnectionDone())
        _, short = self.connect(self.factory, 99)
        _, last = self.connect(self.factory)
        self.assertEqual([each.number for each in self.counts.open], [3])
        self.assertEqual((refused.ended, refused.detail), (Ending.LIMIT, "max-connections"))
        self.assertEqual((short.ended, short.detail), (Ending.LIMIT, "descriptors"))
        self.assertIsNone(last.ended)

    def test_gate(self) -> None:
        """A connection behind a gate is numbered when it is handed over, and knows the gate's prefix."""
        header = b"PROXY TCP4 192.0.2.1 127.0.0.1 4242 8080\r\n"
        transport, record = self.connect(self.gates)
        (connection,) = self.counts.open
        self.assertEqual(connection.number, 0)
        transport.protocol.dataReceived(header + b"rest")
        self.assertEqual(connection.number, 1)
        self.assertEqual((record.prefix, record.ended), (len(header), None))

    def test_gateEnds(self) -> None:
        """A gate that closes says which one it was, and why."""
        transport, record = self.connect(self.gates)
        transport.protocol.dataReceived(b"P")
        self.clock.advance(HEADER_TIMEOUT)
        self.assertEqual((record.ended, record.detail), (Ending.HEADER, "timeout"))
        transport, record = self.connect(self.gates)
        transport.protocol.dataReceived(b"junk")
        self.assertEqual((record.ended, bool(record.detail)), (Ending.HEADER, True))
        _, record = self.connect(self.behindProxy("192.0.2.1"))
        self.assertEqual((record.ended, record.detail), (Ending.DENIED, "untrusted-proxy"))
