"""Answers that go wrong, by a clock of the test's own, and the address that a late one leaves from."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.faults import datagrams as datagramfaults
from echo_app.faults.datagrams import DatagramFaults, FaultyDatagrams
from echo_app.faults.messages import REORDER_WAIT
from echo_app.faults.plan import FaultPlan
from echo_app.faults.spec import parseFault
from echo_app.udp.port import DatagramEndpoint
from echo_app.udp.protocol import RATE, DatagramRules, EchoDatagramProtocol
from tests.support.fakes import FakePort

HERE, THERE = ("192.0.2.1", 40_000), ("192.0.2.2", 40_000)
NUMBERS = [b"%d" % number for number in range(1000)]


class DatagramFaultsTests(SynchronousTestCase):
    def start(self, *specs: str, seed: int = 1, rate: float | None = None) -> None:
        """Starts a service with these faults."""
        self.clock = Clock()
        self.rules = DatagramRules(rate, self.clock.seconds)
        self.plan = FaultPlan(map(parseFault, specs), seed=seed)
        self.faults = DatagramFaults(self.plan, self.clock)
        self.port, self.protocol = self.listen(40)

    def listen(self, number: int) -> tuple[FakePort, FaultyDatagrams]:
        """Opens a port."""
        port: Any = FakePort(number)
        protocol = FaultyDatagrams(EchoDatagramProtocol(self.rules), self.faults)
        protocol.makeConnection(port)
        return port, protocol

    def ask(self, *datagrams: bytes, source: tuple[str, int] = HERE) -> list[bytes]:
        """Asks; returns all that was answered since the service started."""
        self.port.source = source
        for datagram in datagrams:
            self.protocol.datagramReceived(datagram, source)
        return self.answers()

    def answers(self) -> list[bytes]:
        return [datagram for datagram, _ in self.port.sent]

    def counts(self, answered: int, **dropped: int) -> None:
        """Asserts what the rules have counted; each `_` of a reason stands for a hyphen."""
        reasons = {reason.replace("_", "-"): count for reason, count in dropped.items()}
        self.assertEqual((self.rules.answered, dict(self.rules.dropped.byReason)), (answered, reasons))

    def test_none(self) -> None:
        """Without a fault for datagrams everything is answered; those of streams do not apply."""
        self.start("latency=1s,direction=in", "stall", "corrupt=1,after=1B", "latency=1s,connections=1")
        self.assertEqual(self.ask(*NUMBERS), NUMBERS)
        self.counts(1000)

    def test_loss(self) -> None:
        """As many answers are lost as was asked for, within three sigma, and are counted as dropped."""
        self.start("loss=10%")
        lost = 1000 - len(self.ask(*NUMBERS))
        self.assertLess(abs(lost - 100), 3 * (1000 * 0.1 * 0.9) ** 0.5)
        self.counts(1000 - lost, fault_loss=lost)

    def test_repeatable(self) -> None:
        """Equal seeds draw equal faults, and other seeds draw others."""
        specs = ("loss=20%", "duplicate=20%", "corrupt=10%", "reorder=20%", "truncate=2B,probability=50%")
        runs = []
        for seed in (1, 1, 2):
            self.start(*specs, seed=seed)
            runs.append(self.ask(*NUMBERS))
        self.assertEqual(runs[0], runs[1])
        self.assertNotEqual(runs[0], runs[2])

    def test_independent(self) -> None:
        """The effect of a fault depends neither on other faults nor on its own repetition."""
        self.start("loss=50%")
        alone = self.ask(*NUMBERS)
        self.start("latency=0ms,jitter=0ms", "loss=50%")
        self.assertEqual(self.ask(*NUMBERS), alone)
        self.start("loss=50%", "loss=50%")
        twice = self.ask(*NUMBERS)
        self.assertLess(set(twice), set(alone))
        self.assertLess(abs(len(twice) - 250), 3 * (1000 * 0.25 * 0.75) ** 0.5)

    def test_numbered(self) -> None:
        """Answers are numbered over all ports of the service, and not anew after a reload."""
        self.start("loss=50%")
        whole = self.ask(*NUMBERS[:100])
        self.start("loss=50%")
        first, (self.port, self.protocol) = self.ask(*NUMBERS[:50]), self.listen(41)
        self.faults.begin()
        self.assertEqual(first + self.ask(*NUMBERS[50:100]), whole)

    def test_chosen(self) -> None:
        """``each``, ``messages`` and ``share`` choose answers by their numbers."""
        for spec, left in (
            ("loss=1,each=3", [0, 1, 3, 4, 6, 7, 9]),
            ("loss=1,messages=2-9", [0, 9]),
            ("loss=1,messages=2-9,each=4", [0, 1, 2, 4, 5, 6, 8, 9]),
            ("loss=1,share=0", range(10)),
        ):
            self.start(spec)
            self.assertEqual(self.ask(*NUMBERS[:10]), [b"%d" % number for number in left], spec)
        self.start("loss=1,share=10%")
        self.assertLess(abs(len(self.ask(*NUMBERS)) - 900), 3 * (1000 * 0.1 * 0.9) ** 0.5)

    def test_numberedAnew(self) -> None:
        """Faults that replace the others number the answers from 1."""
        self.start("loss=1,messages=2")
        self.ask(b"a")
        self.faults.begin(isNumberedAnew=True)
        self.assertEqual(self.ask(b"b", b"c", b"d"), [b"a", b"b", b"d"])

    def test_unsolicited(self) -> None:
        """An answer comes again after the time, within the rules, and is counted."""
        self.start("unsolicited=1s", rate=3)
        self.assertEqual(self.ask(b"a", b"b"), [b"a", b"b"])
        self.assertEqual(self.port.noted, {("unsolicited", HERE): 1})
        self.clock.advance(1)
        self.assertEqual(self.answers(), [b"a", b"b", b"a"])
        self.counts(3, rate=1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_unsolicitedClosed(self) -> None:
        """A port that closes drops the copies."""
        self.start("unsolicited=1s")
        self.ask(b"a")
        self.protocol.doStop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.counts(1, fault_held=1)

    def test_duplicate(self) -> None:
        """An answer comes twice, and counts twice."""
        self.start("duplicate=100%")
        self.assertEqual(self.ask(b"a", b"b"), [b"a", b"a", b"b", b"b"])
        self.counts(4)

    def test_duplicateWithinRules(self) -> None:
        """A second answer is held to the rate as a second question is."""
        self.start("duplicate=100%", rate=3)
        self.assertEqual(self.ask(b"a", b"b"), [b"a", b"a", b"b"])
        self.counts(3, rate=1)

    def test_corrupt(self) -> None:
        """Each byte is another one with the probability asked for, and the length stays."""
        self.start("corrupt=1%")
        data = bytes(10_000)
        (changed,) = self.ask(data)
        self.assertEqual(len(changed), len(data))
        self.assertLess(abs(sum(map(bool, changed)) - 100), 30)

    def test_truncate(self) -> None:
        """A longer answer is cut, and nothing else is changed."""
        self.start("truncate=3B")
        self.assertEqual(self.ask(b"hello", b"hel", b""), [b"hel", b"hel", b""])

    def test_latency(self) -> None:
        """An answer comes so much later, and never twice."""
        self.start("latency=50ms")
        self.assertEqual(self.ask(b"a"), [])
        self.clock.advance(0.04)
        self.ask(b"b")
        self.clock.advance(0.01)
        self.assertEqual(self.answers(), [b"a"])
        self.clock.advance(0.04)
        self.assertEqual(self.answers(), [b"a", b"b"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_jitter(self) -> None:
        """The latency is spread uniformly, so that answers may overtake each other."""
        self.start("latency=100ms,jitter=50ms")
        self.ask(*NUMBERS)
        times = sorted(call.getTime() for call in self.clock.getDelayedCalls())
        self.assertTrue(0.05 <= times[0] < 0.06 and 0.14 < times[-1] <= 0.15)
        self.assertLess(abs(times[500] - 0.1), 0.01)
        self.clock.advance(0.15)
        self.assertNotEqual(self.answers(), NUMBERS)
        self.assertEqual(sorted(self.answers()), sorted(NUMBERS))

    def test_reorder(self) -> None:
        """An answer comes after the next one to the same place, or alone after a while."""
        self.start("reorder=100%")
        self.assertEqual(self.ask(b"a"), [])
        self.assertEqual(self.ask(b"x", source=THERE), [])
        self.assertEqual(self.ask(b"b"), [b"b", b"a"])
        self.clock.advance(REORDER_WAIT)
        self.assertEqual(self.answers(), [b"b", b"a", b"x"])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.counts(3)

    def test_together(self) -> None:
        """An answer that is late is put in order when its time has come."""
        self.start("reorder=100%,for=1s", "latency=2s")
        self.ask(b"a")
        self.clock.advance(1)
        self.ask(b"b")
        self.clock.pump([1, 0.4])
        self.assertEqual(self.answers(), [])
        self.clock.advance(0.1)
        self.assertEqual(self.answers(), [b"a"])

    def test_times(self) -> None:
        """after, for and every count from when the faults were read."""
        self.start("loss=100%,after=1s,for=1s,every=3s")
        for second in range(6):
            self.ask(b"%d" % second)
            self.clock.advance(1)
        self.assertEqual(self.answers(), [b"0", b"2", b"3", b"5"])
        self.faults.begin()
        self.assertEqual(self.ask(b"6")[-1], b"6")

    def test_noted(self) -> None:
        """An access log is told of the faults that took effect, by kind and peer, and of no others."""
        self.start("truncate=3B", "latency=1s", "corrupt=0", "reorder=100%", "duplicate=100%", rate=5)
        self.ask(b"hello", b"hel")
        self.ask(b"x", source=THERE)
        self.clock.pump([1, REORDER_WAIT])
        self.assertEqual(
            self.port.noted,
            {
                ("truncate", HERE): 1,
                ("latency", HERE): 2,
                ("duplicate", HERE): 2,
                ("reorder", HERE): 1,
                ("latency", THERE): 1,
                ("duplicate", THERE): 1,
            },
        )
        self.assertEqual(self.rules.dropped.byReason, {})
        self.start("loss=100%", "truncate=3B")
        self.ask(b"hello")
        self.assertEqual(self.port.noted, {("loss", HERE): 1})

    def test_notNoted(self) -> None:
        """A second answer that the rules forbid is none."""
        self.start("duplicate=100%", rate=3)
        self.ask(b"a", b"b")
        self.assertEqual(self.port.noted, {("duplicate", HERE): 1})

    def test_bounded(self) -> None:
        """The answers held back are bounded, by number and by bytes; those above are dropped."""
        self.patch(datagramfaults, "MAX_HELD", 100)
        self.start("latency=1s")
        self.ask(*[b""] * 101)
        self.assertEqual(len(self.clock.getDelayedCalls()), 100)
        self.counts(100, fault_held=1)
        self.clock.advance(1)
        self.assertEqual(len(self.answers()), 100)
        self.start("latency=1s")
        self.ask(*[bytes(65_000)] * 80)
        self.assertEqual(len(self.clock.getDelayedCalls()), datagramfaults.MAX_HELD_BYTES // 65_000)
        self.clock.advance(1)
        self.ask(bytes(65_000))
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_unsendable(self) -> None:
        """An answer that can't be sent, now or later, is counted, and has no other effect."""
        self.start("latency=1s,after=1s")
        self.port.error = OSError("no route")
        self.ask(b"a")
        self.counts(0, unsendable=1)
        self.clock.advance(1)
        self.ask(b"b")
        self.clock.advance(1)
        self.counts(0, unsendable=2)

    def test_lateWrite(self) -> None:
        """A late write of a protocol goes to its own peer, also if another one has asked since."""
        self.start("duplicate=100%")
        self.ask(b"a")
        reply = self.protocol.replying()
        self.ask(b"b", source=THERE)
        del self.port.sent[:]
        self.protocol.write(b"late", HERE)
        reply(b"later")
        self.assertEqual(self.port.sent, [(b"late", HERE)] * 2 + [(b"later", HERE)] * 2)

    def test_closed(self) -> None:
        """A port that closes takes its answers with it, and its number; those of others stay."""
        self.start("latency=1s")
        self.ask(b"a")
        other, protocol = self.listen(41)
        protocol.datagramReceived(b"b", HERE)
        self.assertEqual(self.rules.ownPorts, {40: 1, 41: 1})
        self.protocol.doStop()
        self.assertEqual(self.rules.ownPorts, {41: 1})
        self.clock.advance(1)
        self.assertEqual((self.answers(), other.sent), ([], [(b"b", HERE)]))
        self.counts(1, fault_held=1)


class LateAnswerTests(SynchronousTestCase):
    def test_address(self) -> None:
        """A late answer leaves from the address that was asked, also after other datagrams."""
        clock = Clock()
        faults = DatagramFaults(FaultPlan([parseFault("latency=1s")]), clock)
        rules = DatagramRules(RATE, clock.seconds)
        reactor: Any = MemoryReactorClock()
        endpoint = DatagramEndpoint(reactor, 0, "0.0.0.0")
        port = endpoint.listen(FaultyDatagrams(EchoDatagramProtocol(rules), faults))
        self.addCleanup(port.connectionLost)
        peers = []
        for host in ("127.0.0.2", "127.0.0.3"):
            peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.addCleanup(peer.close)
            peer.settimeout(10)
            peer.sendto(host.encode(), (host, port.getHost().port))
            peers.append(peer)
        port.doRead()
        clock.advance(1)
        for peer in peers:
            answer, source = peer.recvfrom(100)
            self.assertEqual(answer.decode(), source[0])
