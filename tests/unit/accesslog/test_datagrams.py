from __future__ import annotations

from typing import Any, cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.accesslog.datagrams import OTHERS, PERIOD, SOURCES, RecordedDatagrams
from echo_app.accesslog.file import AccessLog
from echo_app.accesslog.recorder import Recorder
from echo_app.faults.datagrams import DatagramFaults, FaultyDatagrams
from echo_app.faults.plan import FaultPlan
from echo_app.faults.spec import parseFault
from echo_app.udp.protocol import DatagramRules, EchoDatagramProtocol
from tests.support.fakes import FakePort
from tests.unit.accesslog.test_recorder import Lines


class RecordedDatagramsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock, self.lines, self.port = Clock(), Lines(), FakePort()
        self.rules = DatagramRules(None, self.clock.seconds)
        self.begin(EchoDatagramProtocol(self.rules))

    def begin(self, protocol: EchoDatagramProtocol) -> None:
        """Records what a protocol answers."""
        seconds = self.clock.seconds
        recorder = Recorder(cast(AccessLog, self.lines), self.clock, seconds, seconds)
        self.protocol = RecordedDatagrams(protocol, recorder)
        self.protocol.makeConnection(cast(Any, self.port))

    def counts(self) -> dict[object, tuple[object, ...]]:
        """Returns what the lines say of each peer: datagrams and bytes, in and out."""
        names = ("datagrams_in", "bytes_in", "datagrams_out", "bytes_out")
        return {found["peer"]: tuple(found[name] for name in names) for found in self.lines.parsed()}

    def test_sums(self) -> None:
        """A minute after the first datagram there is a line for each source, of all until then."""
        for source in (("192.0.2.1", 4242), ("::ffff:192.0.2.2", 4242), ("192.0.2.1", 4242)):
            self.protocol.datagramReceived(b"12345", source)
            self.clock.advance(1)
        self.assertEqual(len(self.port.sent), 3)
        self.assertEqual(self.rules.ownPorts, {7007: 1})
        self.clock.advance(PERIOD - 3)
        self.assertEqual(self.counts(), {"192.0.2.1:4242": (2, 10, 2, 10), "192.0.2.2:4242": (1, 5, 1, 5)})
        line = self.lines.parsed()[0]
        self.assertEqual((line["transport"], line["listener"]), ("udp", "127.0.0.1:7007"))
        self.assertEqual((line["start"], line["seconds"]), ("1970-01-01T00:00:00.000Z", PERIOD))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_unanswered(self) -> None:
        """A datagram that is dropped, or can't be sent, is counted one way alone."""
        self.protocol.datagramReceived(b"12345", ("192.0.2.1", 53))
        self.port.error = OSError("unreachable")
        self.protocol.datagramReceived(b"123", ("192.0.2.2", 4242))
        self.clock.advance(PERIOD)
        self.assertEqual(self.counts(), {"192.0.2.1:53": (1, 5, 0, 0), "192.0.2.2:4242": (1, 3, 0, 0)})

    def test_faults(self) -> None:
        """Faults that took effect stand in the source's line, by kind; without one there is nothing."""
        plan = FaultPlan([parseFault("truncate=3B"), parseFault("loss=100%,after=1s")])
        faults = DatagramFaults(plan, self.clock)
        self.begin(FaultyDatagrams(EchoDatagramProtocol(self.rules), faults))
        for source in (("192.0.2.1", 4242), ("192.0.2.2", 4242)):
            self.protocol.datagramReceived(b"123", source)
        self.protocol.datagramReceived(b"12345", ("192.0.2.1", 4242))
        self.clock.advance(1)
        self.protocol.datagramReceived(b"12345", ("192.0.2.1", 4242))
        self.clock.advance(PERIOD)
        found = {line["peer"]: line.get("datagram_faults") for line in self.lines.parsed()}
        self.assertEqual(found, {"192.0.2.1:4242": {"truncate": 1, "loss": 1}, "192.0.2.2:4242": None})

    def test_later(self) -> None:
        """A late answer leaves as the port has it, and is counted for the peer that asked."""
        self.protocol.datagramReceived(b"12345", ("192.0.2.1", 4242))
        self.port.source = ("late", 0)
        reply = self.protocol.replying()
        self.protocol.datagramReceived(b"?", ("192.0.2.2", 4242))
        reply(b"123")
        self.assertEqual(self.port.sent[-1], (b"123", ("late", 0)))
        self.clock.advance(PERIOD)
        self.assertEqual(self.counts(), {"192.0.2.1:4242": (1, 5, 2, 8), "192.0.2.2:4242": (1, 1, 1, 1)})

    def test_bounded(self) -> None:
        """However many sources there are, so many are told apart, and the others are one."""
        for number in range(SOURCES + 3):
            self.protocol.datagramReceived(b"?", (f"192.0.{number >> 8}.{number & 255}", 4242))
        self.clock.advance(PERIOD)
        counts = self.counts()
        self.assertEqual(len(counts), SOURCES + 1)
        self.assertEqual(counts[OTHERS], (3, 3, 3, 3))

    def test_stop(self) -> None:
        """A port that closes has everything written, and nothing stays in the reactor."""
        self.protocol.datagramReceived(b"?", ("192.0.2.1", 4242))
        self.protocol.doStop()
        self.assertEqual(self.counts(), {"192.0.2.1:4242": (1, 1, 1, 1)})
        self.assertEqual(self.rules.ownPorts, {})
        self.assertEqual(self.clock.getDelayedCalls(), [])
