"""Rules about the times of round trips, and of small writes, which differ in our acknowledgements."""

from __future__ import annotations

from typing import Any

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.reach import Connects
from echo_app.probe.checks.smallwrites import PAIRS, Pair, SmallRounds, doWait
from echo_app.probe.checks.times import LARGE, SEGMENT, SMALL
from echo_app.probe.judge.finding import Confidence
from echo_app.probe.judge.timerules import FACTOR, MORE, OUTLIER, TIMES_MEDIAN
from echo_app.probe.results.severity import Severity
from tests.support.evidence import TRIP, JudgeTestCase, connection, evidenceOf, timesOf

WARN = Severity.WARN

# A little time, in seconds.
BIT = 0.001

# Seconds of the rounds: without a delay, and late by a delayed acknowledgement, or by the machine.
GOOD, LATE = 0.002, 0.046


def pairs(longer: int, shorter: int = 0, both: int = 0) -> list[Pair]:
    """Returns a batch: pairs of which one or the other round is late, or both are."""
    late = [Pair(LATE, GOOD)] * longer + [Pair(GOOD, LATE)] * shorter
    late += [Pair(LATE, LATE)] * both
    return late + [Pair(GOOD, GOOD)] * (PAIRS - len(late))


class DelayedTests(JudgeTestCase):
    def rounds(self, *batches: list[Pair], whole: float = GOOD, pieces: int = 1) -> Evidence:
        """Returns evidence of batches, and of rounds in one write that all took as long."""
        return evidenceOf(small_writes=SmallRounds(list(batches), [whole] * PAIRS, [pieces] * PAIRS))

    def seen(self, evidence: Evidence) -> str:
        return str(evidence.observations["small-writes"])

    def test_good(self) -> None:
        """Times are said, and pieces."""
        evidence = self.rounds(pairs(0))
        self.none(evidence)
        seen = "p50 2.00 ms, max 2.00 ms of 24 in two writes; p50 2.00 ms, max 2.00 ms of 24 in one"
        self.assertEqual(self.seen(evidence), seen)
        self.assertEqual(self.seen(self.rounds(pairs(0), pieces=3)), f"{seen}; 64 B in 3 pieces")

    def test_delayed(self) -> None:
        """Delayed acknowledgements alone make rounds longer: that is the far end's algorithm."""
        found = self.one(
            self.rounds(pairs(24)),
            "nagle-delays",
            Severity.WARN,
            "24 of 24 rounds wait 44.0 ms more where we delay acknowledgements",
        )
        self.assertIn("in one piece", found.meaning)

    def test_uncured(self) -> None:
        """An answer in pieces waits, however it was asked for: one write is no advice then."""
        found = self.one(self.rounds(pairs(24), whole=LATE), "nagle-delays", Severity.WARN)
        self.assertNotIn("in one piece", found.meaning)

    def test_sometimes(self) -> None:
        """A far end that delays one answer of four is found when there are enough of them."""
        batches = [pairs(6)] * 4
        self.assertEqual([doWait(batches[:n]) for n in range(5)], [None, None, None, None, True])
        self.one(self.rounds(*batches), "nagle-delays", Severity.WARN, "24 of 96 rounds wait 44.0 ms more")

    def test_delayedOnLateMachine(self) -> None:
        """A delay is found also beside rounds that are late by themselves."""
        self.assertIs(doWait([pairs(20, shorter=1, both=2)] * 2), True)

    def test_lateMachine(self) -> None:
        """A machine that is late now and then is so in rounds of either kind, which pairs in plenty tell."""
        batches = [pairs(1, shorter=2, both=3), pairs(2, shorter=2), pairs(0)]
        self.assertEqual([doWait(batches[:n]) for n in (1, 2, 3)], [None, None, False])
        self.none(self.rounds(*batches))

    def test_unsteady(self) -> None:
        """With rounds that are late too often there is no conclusion."""
        self.none(self.rounds(*[pairs(9, shorter=5, both=10)] * 3, pieces=2))

    def test_slowPath(self) -> None:
        """A path whose round trip takes as long as a delay has no delay of its own."""
        for seconds in (0.041, 0.3):
            self.none(self.rounds([Pair(seconds, seconds)] * PAIRS, whole=seconds))


class SmallSlowTests(JudgeTestCase):
    def sizes(self, small: float, segment: float, large: float) -> dict[str, Any]:
        return {"trips": {SMALL: [small] * 4, SEGMENT: [segment] * 4, LARGE: [large] * 4}}

    def test_small(self) -> None:
        """One byte that takes longer than 64 KiB waits for more; the service is not slow as well."""
        evidence = timesOf(*[self.sizes(0.2, TRIP, TRIP)] * 9)
        seen = "1 B takes 200 ms, 64 KiB 2.00 ms, on 9 of 9 connections"
        self.one(evidence, "small-slower-than-large", WARN, seen)

    def test_segment(self) -> None:
        """So does a message that is a little longer than a segment, whose rest waits."""
        evidence = timesOf(*[self.sizes(TRIP, 0.042, TRIP)] * 9)
        self.one(evidence, "small-slower-than-large", WARN, "1,449 B takes 42.0 ms")

    def test_large(self) -> None:
        """Large messages that take longer, and all of them, are a matter of the rate, or of the service."""
        self.none(timesOf(*[self.sizes(TRIP, 0.05, 0.2)] * 9))
        self.one(timesOf(*[self.sizes(0.2, 0.2, 0.2)] * 9), "answers-slow", WARN)

    def test_thresholds(self) -> None:
        """It must be 20 ms, and twice as long, on two connections, and half of them."""
        good = self.sizes(TRIP, TRIP, TRIP)
        for small, large, isFound in (
            (TRIP + MORE + BIT, TRIP, True),
            (TRIP + MORE - BIT, TRIP, False),
            (0.1 * FACTOR + BIT, 0.1, True),
            (0.1 * FACTOR - BIT, 0.1, False),
        ):
            slow = self.sizes(small, TRIP, large)
            for others, isEnough in ((0, True), (2, True), (3, False)):
                found = self.findings(timesOf(slow, slow, *[good] * others))
                isNamed = "small-slower-than-large" in [each.rule.cause for each in found]
                self.assertEqual(isNamed, isFound and isEnough, (small, large, others))
        self.none(timesOf(self.sizes(0.2, TRIP, TRIP)))


class FirstSlowTests(JudgeTestCase):
    def test_first(self) -> None:
        """First answers that are later than all others, on most connections, are a finding."""
        self.one(
            timesOf(*[{"first": 0.3}] * 9),
            "first-answer-slow",
            WARN,
            "300 ms, later ones 2.00 ms, on 9 of 9 connections",
        )

    def test_afterRest(self) -> None:
        """Answers after a rest that are later than all others, on most connections, are a finding."""
        rested: list[dict[str, Any]] = [{"rested": [0.01, 0.06, 0.1]}] * 4 + [{"rested": []}] * 5
        seen = "up to 100 ms after 250 ms without traffic, otherwise 2.00 ms, on 4 of 4 connections"
        self.one(timesOf(*rested), "slow-after-rest", WARN, seen)
        for few in ([TRIP, TRIP, 0.1], [0.021] * 3):
            self.none(timesOf(*[{"rested": few}] * 4))

    def test_slow(self) -> None:
        """A first answer is not late where later ones take as long, now and then."""
        self.none(timesOf(*[{"first": 0.03, "trips": {SMALL: [TRIP, TRIP, TRIP, 0.02]}}] * 9))

    def test_thresholds(self) -> None:
        """It must be 20 ms, and twice as long, on two connections, and half of them."""
        for first, isFound in ((TRIP + MORE + BIT, True), (TRIP + MORE - BIT, False)):
            for others, isEnough in ((2, True), (3, False)):
                found = self.findings(timesOf(*[{"first": first}] * 2, *[{}] * others))
                self.assertEqual(bool(found), isFound and isEnough, (first, others))
        for first, isFound in ((0.2 + BIT, True), (0.2 - BIT, False)):
            values = {"first": first, "trips": 0.1, "minRTT": 0.1}
            self.assertEqual(bool(self.findings(timesOf(values, values))), isFound, first)
        self.none(timesOf({"first": 0.3}))


class ColdStartTests(JudgeTestCase):
    def evidence(self, *answers: float, late: float = 0.0) -> Evidence:
        """Returns evidence of first answers, on connections one after the other."""
        evidence = evidenceOf(connect=(seen := Connects()))
        for n, answer in enumerate(answers):
            values = {"firstAnswer": answer, "closed": n + answer, "sent": 64, "came": 64}
            record = connection(evidence, "connect", **values)
            record.began = float(n)
            seen.records.append(record)
        if late:
            evidence.lateness.append((late, late))
        return evidence

    def test_cold(self) -> None:
        """A first connection that is answered far later than the next ones is possibly a cold start."""
        seen = "2000 ms on the first connection, 2.00 ms on the next 19"
        found = self.one(self.evidence(2.0, *[TRIP] * 19), "cold-start", WARN, seen)
        self.assertIs(found.match.confidence, Confidence.POSSIBLE)

    def test_thresholds(self) -> None:
        """It must take 100 ms, ten times as long as every other one, beside four others."""
        for first, others, isFound in (
            (OUTLIER + BIT, [TRIP] * 4, True),
            (OUTLIER - BIT, [TRIP] * 4, False),
            (OUTLIER + BIT, [TRIP] * 3, False),
            (TIMES_MEDIAN * 0.05 + BIT, [TRIP] * 4 + [0.05], True),
            (TIMES_MEDIAN * 0.05 - BIT, [TRIP] * 4 + [0.05], False),
        ):
            self.assertEqual(bool(self.findings(self.evidence(first, *others))), isFound, (first, others))

    def test_late(self) -> None:
        """A probe that was late itself says nothing of the service; a later one is not the first."""
        self.none(self.evidence(0.3, *[TRIP] * 19, late=0.25))
        self.none(self.evidence(TRIP, 2.0, *[TRIP] * 18))


class SiblingsTests(JudgeTestCase):
    def evidence(self, *seconds: float) -> Evidence:
        return timesOf(*({"trips": each, "first": each, "minRTT": each} for each in seconds))

    def test_siblings(self) -> None:
        """Connections of two kinds, with nothing between them, go to different backends."""
        found = self.one(
            self.evidence(*[TRIP, TRIP, 0.2] * 3),
            "connections-unequal",
            WARN,
            "3 of 9 take 200 ms and more, the others 2.00 ms at most",
        )
        self.assertEqual(found.match.evidence, ["in order: fast fast slow fast fast slow fast fast slow"])

    def test_large(self) -> None:
        """Connections that are slower for large messages alone are unequal, too."""
        slow = {"trips": {SMALL: [TRIP] * 4, LARGE: [0.6] * 4}}
        self.one(
            timesOf({}, {}, slow, {}, slow, {}),
            "connections-unequal",
            WARN,
            "2 of 6 take 600 ms and more for 64 KiB",
        )

    def test_share(self) -> None:
        """One slow connection may be chance, and one fast one of nine, too."""
        for count, isFound in ((1, False), (2, True), (6, True), (7, False)):
            found = self.findings(self.evidence(*[0.2] * count, *[TRIP] * (9 - count)))
            self.assertEqual(bool(found), isFound, count)

    def test_thresholds(self) -> None:
        """The slow ones must be 20 ms, and twice as long, as all others."""
        for slow, fast, isFound in (
            (TRIP + MORE + BIT, TRIP, True),
            (TRIP + MORE - BIT, TRIP, False),
            (0.2 + BIT, 0.1, True),
            (0.2 - BIT, 0.1, False),
        ):
            found = self.findings(self.evidence(*[slow] * 3, *[fast] * 6))
            self.assertEqual(bool(found), isFound, (slow, fast))

    def test_spread(self) -> None:
        """Times that are spread evenly are no two kinds."""
        self.none(self.evidence(*(0.01 * n for n in range(1, 10))))


class SlowServiceTests(JudgeTestCase):
    def test_slow(self) -> None:
        """Answers that take longer than the kernel's round trip take that time at the service."""
        self.one(
            timesOf(*[{"trips": 0.08, "first": 0.08}] * 9),
            "answers-slow",
            WARN,
            "an answer takes 80.0 ms at least, the kernel's round trip 2.00 ms",
        )

    def test_far(self) -> None:
        """A far network is not a slow service; without the kernel's counts nothing is said."""
        self.none(timesOf(*[{"trips": 0.2, "first": 0.2, "minRTT": 0.19}] * 9))
        evidence = timesOf(*[{"trips": 0.2, "first": 0.2}] * 9)
        for record in evidence.connections:
            record.last = None
        self.none(evidence)

    def test_once(self) -> None:
        """One quick answer shows that the others waited for something else."""
        self.none(timesOf(*[{"trips": {SMALL: [TRIP, 0.012, 0.012, 0.012]}}] * 9))

    def test_thresholds(self) -> None:
        """It must take 20 ms, and twice as long, on two connections, and half of them."""
        for least, trip, isFound in (
            (TRIP, TRIP + MORE + BIT, True),
            (TRIP, TRIP + MORE - BIT, False),
            (0.1, 0.2 + BIT, True),
            (0.1, 0.2 - BIT, False),
        ):
            slow = {"trips": trip, "first": trip, "minRTT": least}
            self.assertEqual(bool(self.findings(timesOf(slow, slow))), isFound, (least, trip))
            self.none(timesOf(slow))


class JitterTests(JudgeTestCase):
    def evidence(self, *trips: float, varying: int = 9, steady: int = 0) -> Evidence:
        return timesOf(*[{"trips": {SMALL: trips}}] * varying, *[{}] * steady)

    def test_jitter(self) -> None:
        """Round trips that vary on most connections are a finding."""
        evidence = self.evidence(TRIP, 0.03, 0.06, 0.09)
        seen = "80 % of 36 lie between 2.00 ms and 90.0 ms"
        self.one(evidence, "jitter", WARN, seen)

    def test_one(self) -> None:
        """One late round trip of all, or a few connections that vary, are none."""
        self.none(self.evidence(TRIP, TRIP, TRIP, 0.06, varying=2, steady=7))
        for varying, isFound in ((6, True), (5, False)):
            evidence = self.evidence(TRIP, 0.03, 0.06, 0.09, varying=varying, steady=9 - varying)
            self.assertEqual(bool(self.findings(evidence)), isFound, varying)

    def test_thresholds(self) -> None:
        """The longest must be 20 ms, and twice as long, as the shortest."""
        for least, most, isFound in (
            (TRIP, TRIP + MORE + BIT, True),
            (TRIP, TRIP + MORE - BIT, False),
            (0.1, 0.2 + BIT, True),
            (0.1, 0.2 - BIT, False),
        ):
            values = {"trips": {SMALL: [least, most, most, most]}, "minRTT": least, "first": least}
            self.assertEqual(bool(self.findings(timesOf(*[values] * 3))), isFound, (least, most))

    def test_few(self) -> None:
        """Two round trips of a connection say nothing of their variation."""
        self.none(self.evidence(TRIP, 0.09))
