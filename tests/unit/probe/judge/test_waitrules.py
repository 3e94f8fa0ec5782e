"""Rules about waits: stalls, pauses and late ends."""

from __future__ import annotations

from typing import Any

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.halfclose import HalfCloses
from echo_app.probe.checks.identity import Sizes
from echo_app.probe.checks.times import Times
from echo_app.probe.judge.finding import Confidence
from echo_app.probe.judge.timerules import OUTLIER, SOME, TIMES_MEDIAN
from echo_app.probe.judge.waitrules import LATE_END, PAUSE
from echo_app.probe.results.severity import Severity
from tests.support.evidence import FIN, TRIP, JudgeTestCase, connection, evidenceOf, sampled, timesOf

WARN = Severity.WARN

# A little time, in seconds.
BIT = 0.001


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

    def test_again(self) -> None:
        """Waits on connections that sent segments again are for lost packets."""
        evidence = self.evidence(("burst", 3.0, 0.3), ("identity", 8.0, 0.4))
        for record in evidence.connections[-2:]:
            record.last = sampled(allRetransmits=2)
        found = self.one(evidence, "round-trip-outliers", WARN)
        self.assertIn("packets are lost", found.title)
        self.assertIn("2 of their connections segments were sent again", str(found.match.evidence))

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

    def test_lossy(self) -> None:
        """Where segments, or SYNs, are lost, waits of less than a second are due to that."""
        for again, inSYNs, cause in ((20, 0, "segments-lost"), (1, 1, "syns-lost")):
            for wait, isFound in ((0.3, False), (1.1, True)):
                evidence = self.evidence(("burst", 3.0, wait), ("identity", 8.0, wait))
                for record in evidence.of("times"):
                    counts: Any = {"minRTT": TRIP, "segmentsOut": 100, "allRetransmits": again}
                    record.last = sampled(**counts)
                    record.made = sampled(allRetransmits=inSYNs)
                causes = [each.rule.cause for each in self.findings(evidence)]
                self.assertIn(cause, causes)
                self.assertEqual("round-trip-outliers" in causes, isFound, (cause, wait))

    def test_unusual(self) -> None:
        """Without usual round trips, nothing is far longer than they are."""
        for evidence in (evidenceOf(times=Times()), evidenceOf()):
            for at in (3.0, 8.0):
                connection(evidence, "burst", sent=64, came=64, waitedSince=at, longestWait=2.0)
            self.none(evidence)

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


class PausesTests(JudgeTestCase):
    def evidence(self, *pauses: tuple[float, int]) -> Evidence:
        """Returns evidence of transfers of identity: the longest wait, and its byte."""
        evidence = evidenceOf(identity=(seen := Sizes()))
        for n, (wait, at) in enumerate(pauses):
            values: dict[str, Any] = {
                "longestWait": wait,
                "waitedAt": at,
                "waitedSince": 9.0 * n,
                "closed": 9.0 * n + 8,
            }
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


class LateAnswersTests(JudgeTestCase):
    def evidence(self, *answers: float, count: int = 40) -> Evidence:
        """Returns evidence of connections with usual first answers, and of some with these."""
        evidence = evidenceOf()
        for seconds in (*[TRIP] * (count - len(answers)), *answers):
            connection(evidence, "burst", sent=64, came=64, firstAnswer=seconds)
        return evidence

    def test_some(self) -> None:
        """Two first answers that are far later than the others are a finding."""
        evidence = self.evidence(3.0, 2.9)
        self.one(evidence, "some-first-answers-late", WARN, "2 of 40, up to 3000 ms; the median is 2.00 ms")

    def test_lossy(self) -> None:
        """Where segments are lost, answers wait for those; what takes a second has another cause."""
        for seconds, causes in (
            (0.3, ["segments-lost"]),
            (3.0, ["segments-lost", "some-first-answers-late"]),
        ):
            evidence = self.evidence(seconds, seconds)
            for record in evidence.connections[:20]:
                record.last = sampled(allRetransmits=2, segmentsOut=20)
            self.assertEqual([each.rule.cause for each in self.findings(evidence)], causes)

    def test_not(self) -> None:
        """One is an accident; short ones, or those of few connections, are none, nor is our lateness."""
        self.none(self.evidence(3.0))
        self.none(self.evidence(SOME - BIT, SOME - BIT))
        self.none(self.evidence(3.0, 3.0, count=19))
        evidence = self.evidence(0.3, 0.3)
        evidence.lateness.append((0.2, 0.2))
        self.none(evidence)
