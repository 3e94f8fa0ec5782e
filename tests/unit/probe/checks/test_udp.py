"""Conclusions about datagrams, on paths whose fault is known and whose time is a Clock's."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks.evidence import CheckSettings
from echo_app.probe.checks.examination import contextOf
from echo_app.probe.checks.udp import COUNT, PORTS, ROUNDS, UDP, Ports, tooMany
from echo_app.probe.judge.judge import judge
from echo_app.probe.net.datagrams import LARGEST_DATAGRAM, Exchange
from tests.support import paths
from tests.support.paths import FakeSource
from tests.support.probing import Examined

Answers = Callable[[FakeSource, bytes], list[tuple[float, bytes]]]


def examined(answers: Answers, isQuick: bool = False) -> Examined:
    """Runs the check over a path; returns what it saw, judged."""
    clock = Clock()
    context = contextOf(clock, paths.UDP, CheckSettings(isQuick=isQuick), Random(1))
    check = UDP(paths.datagramPath(answers))
    seen = context.evidence.observations["udp"] = check.begin()
    paths.result(clock, check.run(context, seen))
    return Examined(context.evidence, judge(context.evidence))


def lossy(loss: float, seed: int = 1) -> Answers:
    """Returns what comes back over 50 ms, 10 ms more or less, with some loss."""
    chance = Random(seed)

    def answers(source: FakeSource, data: bytes) -> list[tuple[float, bytes]]:
        return [] if chance.random() < loss else [(chance.uniform(0.04, 0.06), data)]

    return answers


class ExchangeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.exchange = Exchange()
        for n in range(3):
            number = bytes([n]) * 8
            self.exchange.sent[number] = number + b"rest"
            self.exchange.sentAt[number] = float(n)
        self.questions = list(self.exchange.sent.values())

    def test_answered(self) -> None:
        """An answer counts once, with its round trip; another copy is a duplicate."""
        self.exchange.answered(self.questions[0], 0.5)
        self.exchange.answered(self.questions[0], 0.7)
        self.assertEqual(list(self.exchange.roundTrips.values()), [0.5])
        self.assertEqual((self.exchange.lost, self.exchange.duplicates, self.exchange.reordered), (2, 1, 0))

    def test_reordered(self) -> None:
        """Each answer that comes after one to a later datagram is out of order."""
        for n in (2, 0, 1):
            self.exchange.answered(self.questions[n], 3.0)
        self.assertEqual(self.exchange.reordered, 2)

    def test_differing(self) -> None:
        """An answer with other bytes is no loss, and no answer."""
        self.exchange.answered(self.questions[1][:-1], 3.0)
        self.assertEqual(list(self.exchange.differing.values()), [(12, 11)])
        self.assertEqual((self.exchange.lost, len(self.exchange.roundTrips)), (2, 0))
        self.assertFalse(self.exchange.isSilent)

    def test_unknown(self) -> None:
        """An answer without its request counts for nothing."""
        self.exchange.answered(b"x" * 12, 3.0)
        self.assertTrue(self.exchange.isSilent)


class ThresholdTests(SynchronousTestCase):
    def test_loss(self) -> None:
        """The lower end of the interval decides: 16 of 1000 may be one per cent by chance, and 17 not."""
        self.assertEqual([tooMany(lost, COUNT) for lost in (10, 16, 17, 18)], [False, False, True, True])

    def test_ports(self) -> None:
        """Silent ports are bad only if the others lose less than a hundredth."""
        self.assertTrue(Ports((4711,), 12, 1260).areBad)
        self.assertFalse(Ports((4711,), 13, 1260).areBad)
        self.assertFalse(Ports((4711,), 0, 0).areBad)
        self.assertFalse(Ports((), 0, 1280).areBad)
        # Too few to know.
        self.assertFalse(Ports((4711,), 0, 60).areBad)


class PathTests(SynchronousTestCase):
    def check(self, done: Examined, cause: str, *parts: str) -> None:
        """Checks the one cause that was found, or that none was, and parts of what was seen."""
        self.assertEqual(list(done.causes), [cause] if cause else [], str(done))
        said = done.finding(cause).match.seen if cause else done.seen("udp")
        for part in parts:
            self.assertIn(part, said)

    def test_good(self) -> None:
        """A path that changes nothing passes, with its figures."""
        result = examined(lambda source, data: [(0.005, data)])
        largest = f"up to {LARGEST_DATAGRAM} B in fragments"
        self.check(result, "", "p50 5.00 ms", f"0 of {COUNT} lost", largest, f"{PORTS} source ports")

    def test_quick(self) -> None:
        """A quick look says nothing about source ports."""
        result = examined(lambda source, data: [(0.002, data)], isQuick=True)
        self.check(result, "")
        self.assertNotIn("source ports", result.seen("udp"))

    def test_tolerated(self) -> None:
        """Loss of a hundredth is no finding, with delays that differ; overtaking is said."""
        for seed in range(10):
            self.check(examined(lossy(0.01, seed), isQuick=True), "", "reordered")

    def test_loss(self) -> None:
        """Loss of a twentieth is one, when it was seen in every round."""
        result = examined(lossy(0.05))
        self.check(result, "datagrams-lost")
        self.assertEqual(result.data("udp")["sent"], ROUNDS * COUNT)

    def test_recovered(self) -> None:
        """Loss of a twentieth that ends before the last round is none."""
        chance = Random(1)

        def answers(source: FakeSource, data: bytes) -> list[tuple[float, bytes]]:
            isLossy = 5 < source.exchange.sentAt[data[:8]] < 28
            return [] if isLossy and chance.random() < 0.05 else [(0.002, data)]

        result = examined(answers)
        self.assertEqual(result.data("udp")["sent"], ROUNDS * COUNT)
        self.check(result, "")

    def test_outage(self) -> None:
        """A second in which everything is lost is no finding."""

        def answers(source: FakeSource, data: bytes) -> list[tuple[float, bytes]]:
            return [] if 6 < source.exchange.sentAt[data[:8]] < 7 else [(0.002, data)]

        self.check(examined(answers), "")

    def test_silent(self) -> None:
        """On a path without answers, few datagrams are sent."""
        sent = []
        result = examined(lambda source, data: sent.append(data) or [])  # type: ignore[func-returns-value]
        self.check(result, "datagrams-unanswered", "all 640 datagrams lost")
        self.assertLess(len(sent), COUNT)

    def test_duplicates(self) -> None:
        """Duplicates are reported."""
        result = examined(lambda source, data: [(0.002, data), (0.003, data)], isQuick=True)
        self.check(result, "", "200 duplicate")

    def test_largest(self) -> None:
        """The largest datagram that comes back is found to the byte."""
        for largest, fragments in ((1472, " and no fragments"), (1433, " and no fragments"), (20_000, " in")):

            def answers(source: FakeSource, data: bytes, most: int = largest) -> list[tuple[float, bytes]]:
                return [(0.002, data)] if len(data) <= most else []

            self.check(examined(answers), "", f"up to {largest} B{fragments}")

    def test_truncated(self) -> None:
        """An answer that is cut off is a failure, with both lengths."""
        result = examined(lambda source, data: [(0.002, data[:512])], isQuick=True)
        self.check(result, "datagrams-changed", "1232 B came back as 512 B")
        self.assertIn("lose their end", result.finding("datagrams-changed").title)

    def test_truncatedNumber(self) -> None:
        """An answer that has lost its number too is not taken for one without a request."""
        result = examined(lambda source, data: [(0.002, data[:4])], isQuick=True)
        self.check(result, "datagrams-changed", "64 B came back as 4 B")
        self.assertIn("lose their end", result.finding("datagrams-changed").title)

    def test_corrupt(self) -> None:
        """An answer with other bytes is a failure."""
        result = examined(lambda source, data: [(0.002, data[:-1] + b"?")], isQuick=True)
        self.check(result, "datagrams-changed", "64 B came back altered")
        self.assertIn("are changed", result.finding("datagrams-changed").title)

    def test_strange(self) -> None:
        """An answer without its request is a failure."""
        result = examined(lambda source, data: [(0.002, data), (0.002, b"?" * 64)], isQuick=True)
        self.check(result, "datagrams-foreign", "nothing that was asked")

    def test_other(self) -> None:
        """Nothing but answers to nothing is no silence."""
        result = examined(lambda source, data: [(0.002, b"?" * 512)])
        self.check(result, "datagrams-foreign", "640 answers to nothing that was asked")

    def test_late(self) -> None:
        """An answer that comes when it is no longer awaited is not strange, and nothing goes wrong."""
        result = examined(lambda source, data: [(0.002 if data[8] % 16 else 3.2, data)], isQuick=True)
        self.check(result, "")

    def test_ports(self) -> None:
        """Source ports that lose everything are named; the main question is not asked from one of them."""
        result = examined(lambda source, data: [(0.002, data)] * (source.port % 8 != 1))
        self.check(result, "datagrams-by-port", "8 of 64 source ports: 40001, 40009, ")
        self.assertEqual(result.data("udp")["silentPorts"], list(range(40_001, 40_065, 8)))
        self.assertEqual(result.data("udp")["lost"], 0)

    def test_portsOnce(self) -> None:
        """A port that is silent in one round is none of them."""
        result = examined(lambda source, data: [(0.002, data)] * (source.port != 40_001 or source.now > 5))
        self.check(result, "")

    def test_closed(self) -> None:
        """Every socket is closed in the end, and when it is cancelled."""
        opened: list[FakeSource] = []
        make = paths.datagramPath(lambda source, data: [])
        clock = Clock()

        def remembered(*arguments: object) -> FakeSource:
            opened.append(make(*arguments))
            return opened[-1]

        context = contextOf(clock, paths.UDP, CheckSettings(), Random(1))
        check = UDP(remembered)
        paths.result(clock, check.run(context, check.begin()))
        self.assertEqual((len(opened), [source for source in opened if source.isOpen]), (PORTS, []))
