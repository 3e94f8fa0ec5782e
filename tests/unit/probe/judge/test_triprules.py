"""Rules about round trips, pauses and late ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.halfclose import HalfCloses
from echo_app.probe.checks.identity import Sizes
from echo_app.probe.checks.reach import Connects
from echo_app.probe.checks.times import LARGE, ROUNDS, SEGMENT, SMALL, Timed, Times
from echo_app.probe.judge.finding import Confidence
from echo_app.probe.judge.timerules import FACTOR, LATE_END, MORE, OUTLIER, PAUSE, TIMES_MEDIAN
from echo_app.probe.results.severity import Severity
from tests.support.evidence import FIN, JudgeTestCase, connection, evidenceOf, sampled

WARN = Severity.WARN

# Seconds of a good round trip, and a little time.
TRIP, BIT = 0.002, 0.001

Trips = Mapping[int, Sequence[float]]


def timed(
    evidence: Evidence, first: float = TRIP, minRTT: float = TRIP, trips: float | Trips = TRIP
) -> Timed:
    """Adds a connection to the evidence of ``times``, whose trips take so long, or those of each size."""
    seen = evidence.observations["times"]
    assert isinstance(seen, Times)
    counts: Any = {"minRTT": minRTT}
    record = connection(evidence, "times", sent=1, came=1, last=sampled(**counts))
    sizes = trips if isinstance(trips, Mapping) else {SMALL: [trips] * ROUNDS}
    all_ = {size: list(sizes.get(size, sizes[SMALL])) for size in (SMALL, SEGMENT, LARGE)}
    seen.connections.append(
        Timed(record, first, all_, {size: list(each) for size, each in all_.items()}, TRIP)
    )
    return seen.connections[-1]


def timesOf(*connections: Mapping[str, Any]) -> Evidence:
    """Returns the evidence of ``times`` with these connections."""
    evidence = evidenceOf(times=Times())
    for values in connections:
        timed(evidence, **values)
    return evidence


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


class OutliersTests(JudgeTestCase):
    def evidence(self, *waits: tuple[str, float, float], trip: float = TRIP) -> Evidence:
        """Returns evidence of usual trips, and of waits: the check, the moment, and the seconds."""
        evidence = timesOf(*[{"trips": trip, "first": trip, "minRTT": trip}] * 9)
        for check, at, wait in waits:
            connection(evidence, check, sent=64, came=64, waitedSince=at, longestWait=wait)
        return evidence

    def test_moments(self) -> None:
        """Long waits at two moments, in whatever checks, are a finding."""
        evidence = self.evidence(("burst", 3.0, 0.3), ("identity", 8.0, 0.4))
        seen = "2, up to 400 ms; the median is 2.00 ms"
        found = self.one(evidence, "round-trip-outliers", WARN, seen)
        self.assertIs(found.match.confidence, Confidence.LIKELY)
        self.assertEqual(found.match.evidence, ["3 s, 8 s after the examination began"])

    def test_once(self) -> None:
        """Waits that overlap are one stall, whatever second they begin in; a short one is an accident."""
        self.none(self.evidence(("burst", 2.4, 0.4), ("lifetimes", 2.6, 0.3)))
        evidence = self.evidence(("burst", 2.4, 1.1), ("lifetimes", 2.6, 0.9))
        found = self.one(evidence, "round-trip-outliers", WARN, "2, up to 1100 ms")
        self.assertIs(found.match.confidence, Confidence.POSSIBLE)

    def test_pings(self) -> None:
        """Pings of a thorough examination count, too."""
        evidence = self.evidence()
        seen = evidence.observations["times"]
        assert isinstance(seen, Times)
        seen.pings = [(n / 2, 0.5 if n in (10, 80) else TRIP) for n in range(120)]
        self.one(evidence, "round-trip-outliers", WARN, "2, up to 500 ms")

    def test_filling(self) -> None:
        """Waits of connections that fill the path say nothing."""
        self.none(self.evidence(("late-reader", 3.0, 2.0), ("late-reader", 8.0, 2.0)))

    def test_late(self) -> None:
        """Waits in which this process was late are its own."""
        evidence = self.evidence(("burst", 3.0, 0.3), ("identity", 8.0, 0.4))
        evidence.lateness += [(3.2, 0.25), (8.3, 0.35)]
        self.none(evidence)

    def test_thresholds(self) -> None:
        """A wait must take 100 ms, and ten times the median."""
        for trip, wait, isFound in (
            (TRIP, OUTLIER + BIT, True),
            (TRIP, OUTLIER - BIT, False),
            (0.05, TIMES_MEDIAN * 0.05 + BIT, True),
            (0.05, TIMES_MEDIAN * 0.05 - BIT, False),
        ):
            evidence = self.evidence(("burst", 3.0, wait), ("burst", 8.0, wait), trip=trip)
            self.assertEqual(bool(self.findings(evidence)), isFound, (trip, wait))

    def test_pause(self) -> None:
        """Pauses of both transfers of identity have a rule of their own."""
        evidence = self.evidence()
        records = [
            connection(evidence, sent=9, came=9, waitedSince=at, longestWait=0.7, waitedAt=5)
            for at in (1.0, 9.0)
        ]
        evidence.observations["identity"] = Sizes(records=records)
        self.one(evidence, "transfer-pauses", WARN)


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


class PausesTests(JudgeTestCase):
    def evidence(self, *pauses: tuple[float, int]) -> Evidence:
        """Returns evidence of transfers of identity: the longest wait, and its byte."""
        evidence = evidenceOf(identity=(seen := Sizes()))
        for n, (wait, at) in enumerate(pauses):
            values = {"longestWait": wait, "waitedAt": at, "waitedSince": 9.0 * n, "closed": 9.0 * n + 8}
            seen.records.append(connection(evidence, sent=1 << 20, came=1 << 20, **values))
        return evidence

    def test_same(self) -> None:
        """Transfers that pause at the same byte are a finding."""
        found = self.one(
            self.evidence((0.9, 500_000), (0.8, 510_000)),
            "transfer-pauses",
            WARN,
            "0.9 s at byte 500,000, and again 0.8 s at byte 510,000",
        )
        self.assertIs(found.match.confidence, Confidence.LIKELY)

    def test_elsewhere(self) -> None:
        """Pauses at other bytes are possibly one cause."""
        found = self.one(self.evidence((0.9, 5000), (0.8, 510_000)), "transfer-pauses", WARN)
        self.assertIs(found.match.confidence, Confidence.POSSIBLE)

    def test_thresholds(self) -> None:
        """Both must pause for half a second."""
        for wait, isFound in ((PAUSE, True), (PAUSE - BIT, False)):
            found = self.findings(self.evidence((0.9, 5), (wait, 5)))
            self.assertEqual(bool(found), isFound, wait)
        self.none(self.evidence((0.9, 5)))

    def test_late(self) -> None:
        """A pause of this process is none of the transfer."""
        evidence = self.evidence((0.9, 5), (0.8, 5))
        evidence.lateness.append((0.6, 0.5))
        self.none(evidence)


class LateEndTests(JudgeTestCase):
    def evidence(self, *waits: float, late: float = 0.0) -> Evidence:
        """Returns evidence of half-closes, and of the seconds from the last byte to the end of each."""
        evidence = evidenceOf(half_close=(seen := HalfCloses()))
        for n, wait in enumerate(waits):
            values = {"lastCame": n + 0.1, "ended": n + 0.1 + wait, "closed": n + 0.1 + wait, "end": FIN}
            record = connection(evidence, "half-close", sent=9, came=9, isHalfClosed=True, **values)
            record.began = float(n)
            seen.records.append(record)
            if late:
                evidence.lateness.append((n + 0.1 + late, late))
        return evidence

    def test_late(self) -> None:
        """Ends that come long after the last byte are a finding."""
        self.one(
            self.evidence(*[0.5] * 20), "end-late", WARN, "20 of 20 ends come 500 ms after the last byte"
        )

    def test_thresholds(self) -> None:
        """Two, and half of all, must be late by 300 ms."""
        for wait, isFound in ((LATE_END + BIT, True), (LATE_END - BIT, False)):
            self.assertEqual(bool(self.findings(self.evidence(wait, wait))), isFound, wait)
        for count, isFound in ((1, False), (2, True)):
            self.assertEqual(bool(self.findings(self.evidence(*[0.5] * count))), isFound, count)
        for others, isFound in ((2, True), (3, False)):
            self.assertEqual(bool(self.findings(self.evidence(0.5, 0.5, *[0.0] * others))), isFound, others)

    def test_lateMachine(self) -> None:
        """Ends that this process read late may have been in time."""
        self.none(self.evidence(*[0.5] * 20, late=0.45))
