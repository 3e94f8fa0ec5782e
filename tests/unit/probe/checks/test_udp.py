"""The check of datagrams, judged, on paths whose fault is known and whose time is a Clock's."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from twisted.internet.task import Clock

from echo_app.probe.checks.evidence import CheckSettings
from echo_app.probe.checks.examination import contextOf
from echo_app.probe.checks.udp import COUNT, PORT_COUNT, UDP
from echo_app.probe.checks.udprecord import PORTS, STEADY
from echo_app.probe.net.datagrams import LARGEST_DATAGRAM, Discovery
from tests.support import paths
from tests.support.datagrampaths import DatagramPathTestCase, echo, examined, lossy, recordOf, when
from tests.support.paths import FakeSource


class PathTests(DatagramPathTestCase):
    def test_good(self) -> None:
        """A path that changes nothing passes, with its figures."""
        result = examined(lambda source, data: [(0.005, data)])
        largest = f"up to {LARGEST_DATAGRAM} B"
        self.check(result, "", "p50 5.00 ms", f"0 of {COUNT} lost", largest, f"{PORT_COUNT} source ports")

    def test_quick(self) -> None:
        """A quick look ends within ten seconds, and uses few ports."""
        result = examined(echo, isQuick=True)
        self.check(result, "", "4 source ports")
        self.assertLess(recordOf(result).sent[-1].sent, 10)

    def test_tolerated(self) -> None:
        """Loss of a hundredth is no finding."""
        for seed in range(10):
            self.check(examined(lossy(0.01, seed), isQuick=True), "")

    def test_loss(self) -> None:
        """Loss of a twentieth is one, when it was seen in every round."""
        result = examined(lossy(0.05))
        self.check(result, "datagrams-lost")
        self.assertEqual(len(recordOf(result).of(STEADY)), 3 * COUNT)

    def test_recovered(self) -> None:
        """Loss of a twentieth that ends before the last round is none."""
        chance = Random(1)
        result = examined(
            when(lambda source, data: source.sent[-1].phase == STEADY and chance.random() < 0.05)
        )
        self.check(result, "")
        self.assertEqual(len(recordOf(result).of(STEADY)), 2 * COUNT)

    def test_blackout(self) -> None:
        """A second in which everything is lost is a blackout, and no random loss."""
        result = examined(when(lambda source, data: 8 < source.now < 9))
        self.check(result, "datagrams-blackout", "1 time, up to 0.9")

    def test_rate(self) -> None:
        """A token bucket is told from random loss, with its rate."""
        state = {"tokens": 20.0, "at": 0.0}

        def isDropped(source: FakeSource, data: bytes) -> bool:
            state["tokens"] = min(20.0, state["tokens"] + (source.now - state["at"]) * 60)
            state["at"] = source.now
            if state["tokens"] < 1:
                return True
            state["tokens"] -= 1
            return False

        result = examined(when(isDropped))
        self.check(result, "datagrams-limited", "about 60 a second pass")

    def test_bytesRate(self) -> None:
        """A limit of bytes loses large datagrams at a rate at which small ones pass."""
        state = {"tokens": 20_000.0, "at": 0.0}

        def isDropped(source: FakeSource, data: bytes) -> bool:
            state["tokens"] = min(20_000.0, state["tokens"] + (source.now - state["at"]) * 60_000)
            state["at"] = source.now
            if state["tokens"] <= 0:
                return True
            state["tokens"] -= len(data)
            return False

        self.check(examined(when(isDropped)), "datagrams-limited-bytes", "about 6", " kB a second pass")

    def test_ends(self) -> None:
        """Busy sources that end by age or number are told from blackouts and from silence."""
        byAge = when(lambda source, data: source.now - source.sent[0].sent > 5)
        self.check(examined(byAge), "datagrams-source-ends", "sources that were busy, after 5 to 5")
        byCount = when(lambda source, data: len(source.sent) > 500)
        self.check(examined(byCount), "datagrams-source-ends", "after 500 to 500 datagrams")

    def test_bursts(self) -> None:
        """Losses in bursts are losses, and no blackouts."""
        chance, state = Random(1), [False]

        def isLost(source: FakeSource, data: bytes) -> bool:
            state[0] = chance.random() > 0.2 if state[0] else chance.random() < 0.01
            return state[0]

        self.check(examined(when(isLost)), "datagrams-lost")

    def test_silent(self) -> None:
        """On a path without answers, few datagrams are sent."""
        result = examined(when(lambda source, data: True))
        self.check(result, "datagrams-unanswered", "690 datagrams lost")

    def test_firstLost(self) -> None:
        """First datagrams that are lost are told from random loss, also with --quick."""
        for isQuick in (False, True):
            result = examined(when(lambda source, data: source.sent[-1].index == 0), isQuick)
            self.check(result, "datagrams-first-lost", f"of {16 if isQuick else 76} of")

    def test_firstLate(self) -> None:
        """First answers that are late are told from jitter."""
        result = examined(lambda source, data: [(0.05 if source.sent[-1].index == 0 else 0.002, data)])
        self.check(result, "datagrams-first-late", "of 76 of 76 sources")

    def test_forgotten(self) -> None:
        """A source that is forgotten after silence is found, between two silences."""
        result = examined(
            when(
                lambda source, data: any(
                    more.sent - one.sent > 3.5
                    for one, more in zip(source.sent, source.sent[1:], strict=False)
                )
            )
        )
        self.check(result, "datagrams-forgotten", "answered after 3", "not after 4")

    def test_idle(self) -> None:
        """With --idle longer silences are tried."""
        result = examined(
            when(
                lambda source, data: len(source.sent) > 1 and source.now - source.sent[-2].sent > 12,
            ),
            idle=20,
        )
        self.check(result, "datagrams-lost-after-rest", "after 15 s of silence, not after 10 s")
        forgotten: set[int] = set()

        def isForgotten(source: FakeSource, data: bytes) -> bool:
            if len(source.sent) > 1 and source.now - source.sent[-2].sent > 12:
                forgotten.add(source.number)
            return source.number in forgotten

        self.check(examined(when(isForgotten), idle=20), "datagrams-forgotten", "after 10 s", "after 15 s")

    def test_largest(self) -> None:
        """The largest datagram that comes back is found to the byte, and the fragments."""
        for largest, cause in ((1472, "fragments-lost"), (1433, "size"), (20_000, "size")):
            lost = when(lambda source, data, most=largest: len(data) > most)  # type: ignore[misc]
            result = examined(lost)
            self.check(result, f"datagrams-{cause}", f"{largest} B come back, {largest + 1} B do not")

    def test_blackHole(self) -> None:
        """The MTU of a link is found by what is lost only where routers must not fragment it."""

        def isLost(source: FakeSource, data: bytes) -> bool:
            return 1272 < len(data) <= source.unfragmented and source.discovery is not Discovery.DONT

        said = "1272 B come back, 1273 B only where routers may fragment"
        self.check(examined(when(isLost)), "datagrams-mtu-black-hole", said)

    def test_someSizes(self) -> None:
        """Sizes that are lost below others that come back are named."""
        result = examined(when(lambda source, data: 1373 <= len(data) <= 1472), isQuick=True)
        self.check(result, "datagrams-by-size", " 1472 B, ", "up to 65507 B come back")

    def test_duplicates(self) -> None:
        """Answers that come twice are named."""
        result = examined(lambda source, data: [(0.002, data), (0.003, data)], isQuick=True)
        self.check(result, "datagrams-repeated")

    def test_reordered(self) -> None:
        """Answers that are overtaken are named, with the extent."""
        chance = Random(1)
        result = examined(lambda source, data: [(0.002 + 0.025 * (chance.random() < 0.1), data)])
        self.check(result, "datagrams-reordered")
        self.assertIn("datagrams", result.finding("datagrams-reordered").match.evidence[0])

    def test_jitter(self) -> None:
        """Round trips that vary in all parts are jitter."""
        trips = Random(1)
        result = examined(lambda source, data: [(trips.uniform(0.04, 0.12), data)])
        self.assertEqual(list(result.causes), ["datagrams-reordered", "datagrams-jitter"], result)

    def test_truncated(self) -> None:
        """An answer that is cut off is a failure, with both lengths, also without a label."""
        for size, parts in ((512, "1232 B came back as 512 B"), (4, "12 B came back as 4 B")):
            result = examined(lambda source, data, most=size: [(0.002, data[:most])], isQuick=True)  # type: ignore[misc]
            self.check(result, "datagrams-truncated", parts)

    def test_corrupt(self) -> None:
        """An answer with other bytes is a failure."""
        result = examined(lambda source, data: [(0.002, data[:-1] + b"?" * bool(data))], isQuick=True)
        self.check(result, "datagrams-changed", "64 B came back altered")

    def test_foreign(self) -> None:
        """An answer without its request is a failure, and no silence."""
        result = examined(lambda source, data: [(0.002, data), (0.003, b"?" * 63)], isQuick=True)
        self.check(result, "datagrams-foreign", "to nothing that was asked")
        self.check(examined(lambda source, data: [(0.002, b"?" * 63)], isQuick=True), "datagrams-foreign")

    def test_mixed(self) -> None:
        """Answers that come to another source are named as such."""
        last: list[FakeSource] = []
        chance = Random(1)

        def answers(source: FakeSource, data: bytes) -> list[tuple[float, bytes]]:
            if source.sent[-1].phase == PORTS and last and chance.random() < 0.1 and last[-1] is not source:
                last[-1].received(data)
                return []
            last.append(source)
            return echo(source, data)

        result = examined(answers)
        self.check(result, "datagrams-mixed", "answers came to another source")

    def test_late(self) -> None:
        """Answers that come when they are no longer awaited are late, and not lost."""
        result = examined(lambda source, data: [(2.2 if len(source.sent) % 64 == 63 else 0.002, data)])
        self.assertIn("datagrams-late", result.causes, result)
        self.assertNotIn("datagrams-lost", result.causes, result)

    def test_mapping(self) -> None:
        """A NAT's mapping that ends is seen by the ports that a service reports, and only by them."""

        def answers(source: FakeSource, data: bytes) -> list[tuple[float, bytes]]:
            gaps = sum(
                more.sent - one.sent > 4.5 for one, more in zip(source.sent, source.sent[1:], strict=False)
            )
            return [(0.002, b'{"peer": "203.0.113.9:%d"}\n' % (20_000 + 2 * source.number + gaps))]

        self.check(examined(answers), "datagrams-remapped", "the same after 4", "new after 5")

    def test_closed(self) -> None:
        """Every socket is closed in the end."""
        opened: list[FakeSource] = []
        make = paths.datagramPath(echo)
        clock = Clock()

        def remembered(*arguments: object) -> FakeSource:
            opened.append(make(*arguments))
            return opened[-1]

        context = contextOf(clock, paths.UDP, CheckSettings(isQuick=True), Random(1))
        check = UDP(remembered)
        paths.result(clock, check.run(context, check.begin()))
        self.assertEqual([source for source in opened if source.isOpen], [])
        self.assertGreater(len(opened), 4)

    def test_guard(self) -> None:
        """Before the service's guard loses any, the check pauses longer than that asks for."""
        result = examined(lossy(0.3), idle=300)
        sent = [each.sent for each in recordOf(result).sent]
        pauses = [0, *(n for n in range(1, len(sent)) if sent[n] - sent[n - 1] > 10), len(sent)]
        self.assertGreater(len(pauses), 2)
        self.assertLess(max(more - one for one, more in pairwise(pauses)), 10_000)
