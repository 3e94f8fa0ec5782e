"""Rules about silence and loss, by the kernel's counts."""

from __future__ import annotations

from typing import Any

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.halfclose import HalfCloses
from echo_app.probe.checks.latereader import Filling
from echo_app.probe.checks.segments import AGAIN, AMOUNT, SIZES, Segments
from echo_app.probe.judge.finding import Confidence
from echo_app.probe.judge.silencerules import silenceOf
from echo_app.probe.results.severity import Severity
from tests.support.evidence import RESET, JudgeTestCase, connection, evidenceOf, sampled, whole

STUCK = sampled(unacked=2, retransmits=5, backoff=5)


class UnacknowledgedTests(JudgeTestCase):
    def test_stuck(self) -> None:
        """Segments that nothing acknowledges are told from bytes that are not answered."""
        evidence = evidenceOf()
        whole(evidence)
        connection(evidence, sent=100, came=50, silence=10.0, silent=STUCK)
        self.one(evidence, "not-acknowledged", Severity.FAIL, "1 of 2 connections; 2 segments")

    def test_halfClosed(self) -> None:
        """Where half-closed connections alone are not acknowledged, the half-close breaks them."""
        evidence = evidenceOf(half_close=(seen := HalfCloses()))
        whole(evidence)
        lost: dict[str, Any] = {"sent": 100, "came": 50, "silence": 10.0, "silent": STUCK}
        seen.records.append(connection(evidence, "half-close", isHalfClosed=True, **lost))
        self.one(evidence, "half-close-broken", Severity.FAIL, "50 of 100 B back")
        connection(evidence, **lost)
        self.assertIn("not-acknowledged", [each.rule.cause for each in self.findings(evidence)])

    def test_unanswered(self) -> None:
        """Bytes that are acknowledged and not answered are a short answer, with the kernel's word."""
        evidence = evidenceOf()
        connection(evidence, sent=100, came=50, silence=10.0, silent=sampled(state=1))
        found = self.one(evidence, "answers-short", Severity.FAIL)
        self.assertIn("everything is acknowledged, and not answered", found.match.evidence)

    def test_expected(self) -> None:
        """What is dropped while it is idle, or unread, does not acknowledge either: other rules judge it."""
        evidence = evidenceOf(late_reader=(seen := Filling()))
        whole(evidence)
        seen.record = connection(evidence, "late-reader", sent=100, came=50, silence=10.0, silent=STUCK)
        self.one(evidence, "late-reader-cut", Severity.FAIL)

    def test_words(self) -> None:
        """Without the kernel's counts nothing is said."""
        evidence = evidenceOf()
        self.assertEqual(silenceOf(connection(evidence, silence=10.0)), "")
        waiting = connection(evidence, silence=10.0, silent=sampled(notSent=2048))
        self.assertEqual(silenceOf(waiting), "the far end takes no more: 2,048 B wait here")


class LossTests(JudgeTestCase):
    def evidence(self, again: int, needless: int = 0, inSYNs: int = 0) -> Evidence:
        """Returns evidence of ten connections of 100 segments, so many of each sent again."""
        evidence = evidenceOf()
        for _ in range(10):
            counts = sampled(allRetransmits=again, needless=needless, segmentsOut=100)
            made = sampled(allRetransmits=inSYNs)
            connection(evidence, "burst", sent=100, came=100, made=made, last=counts)
        return evidence

    def test_loss(self) -> None:
        """A share of segments that are sent again is a warning."""
        self.one(self.evidence(2), "segments-lost", Severity.WARN, "20 of 1000 segments (2.0%)")

    def test_syns(self) -> None:
        """SYNs that a full queue of the service drops are no loss of the path."""
        self.none(self.evidence(2, inSYNs=2))

    def test_needless(self) -> None:
        """Segments that the far end had already are not lost."""
        self.none(self.evidence(2, needless=2))

    def test_thresholds(self) -> None:
        """The share must be above 0.5 %, with 95 % confidence, of 200 segments."""
        for again, sent, isFound in (
            (11, 1000, True),
            (9, 1000, False),
            (70, 10_000, True),
            (60, 10_000, False),
            (50, 200, True),
            (50, 199, False),
        ):
            evidence = evidenceOf()
            counts = sampled(allRetransmits=again, segmentsOut=sent)
            connection(evidence, "burst", sent=100, came=100, last=counts)
            self.assertEqual(bool(self.findings(evidence)), isFound, (again, sent))

    def test_one(self) -> None:
        """A loss on one connection alone is possibly its own."""
        evidence = self.evidence(0)
        evidence.connections[0].last = sampled(allRetransmits=20, segmentsOut=100)
        found = self.one(evidence, "segments-lost", Severity.WARN, "20 of 1000 segments")
        self.assertIs(found.match.confidence, Confidence.POSSIBLE)
        self.assertEqual(found.match.evidence, ["on 1 of 10 connections"])

    def test_back(self) -> None:
        """Segments that came out of order hint at the way back."""
        evidence = self.evidence(2)
        evidence.connections[0].last = sampled(allRetransmits=2, segmentsOut=100, outOfOrder=7)
        found = self.one(evidence, "segments-lost", Severity.WARN)
        self.assertIn("7 segments came out of order", found.match.evidence[1])

    def test_full(self) -> None:
        """Connections whose receiver is full send again without any loss."""
        evidence = self.evidence(2)
        for record in evidence.connections:
            record.check = "late-reader"
        self.none(evidence)


class ReorderedTests(JudgeTestCase):
    def evidence(self, *reorderings: int) -> Evidence:
        """Returns evidence of connections of 100 segments, of which five were sent again."""
        evidence = evidenceOf()
        for each in reorderings:
            counts = sampled(allRetransmits=5, segmentsOut=100, reorderings=each)
            connection(evidence, "identity", sent=100, came=100, last=counts)
        return evidence

    def test_reordered(self) -> None:
        """Segments that the far end got late are reordered, and not lost as well."""
        found = self.one(
            self.evidence(3, 2, 0), "segments-reordered", Severity.WARN, "seen 5 times on 2 of 3 connections"
        )
        self.assertEqual((found.match.hits, found.match.tries), (2, 3))

    def test_thresholds(self) -> None:
        """It must be seen five times, on two connections; otherwise the segments are lost."""
        for reorderings, cause in (
            ((4, 1, 0), "segments-reordered"),
            ((3, 1, 0), "segments-lost"),
            ((9, 0, 0), "segments-lost"),
        ):
            self.one(self.evidence(*reorderings), cause, Severity.WARN)

    def test_back(self) -> None:
        """Segments that came out of order hint at the way back."""
        evidence = self.evidence(3, 2)
        evidence.connections[0].last = sampled(reorderings=3, outOfOrder=4, segmentsOut=100)
        found = self.one(evidence, "segments-reordered", Severity.WARN)
        self.assertIn("4 segments came out of order", found.match.evidence[1])


class BlackHoleTests(JudgeTestCase):
    def evidence(self, passes: int, isOurs: bool = True) -> Evidence:
        """Returns evidence of connections of each size of segments; larger ones than this hang."""
        evidence = evidenceOf(segments=(seen := Segments(largest=1460)))
        whole(evidence, "connect")
        for size in SIZES:
            values = (
                {"came": AMOUNT}
                if size <= passes
                else {"silence": 8.0, "silent": STUCK if isOurs else sampled(state=1)}
            )
            seen.bySize[size] = connection(evidence, "segments", sent=AMOUNT, **values)
        return evidence

    def test_ours(self) -> None:
        """Small segments pass, and larger ones hang: a black hole, on the way out."""
        found = self.one(
            self.evidence(1320), "mtu-black-hole", Severity.FAIL, "segments of 1320 B pass, of 1400 B hang"
        )
        self.assertIn("our large segments are not acknowledged", found.match.evidence)

    def test_theirs(self) -> None:
        """Where ours are acknowledged, those of the far end are too large."""
        found = self.one(self.evidence(536, isOurs=False), "mtu-black-hole", Severity.FAIL)
        self.assertIn("those of the far end get lost", found.match.evidence[0])

    def test_others(self) -> None:
        """The hanging connections of other checks have the same cause, those with little data do not."""
        evidence = self.evidence(1452)
        seen = evidence.observations["segments"]
        assert isinstance(seen, Segments)
        seen.stamps = 12
        connection(evidence, "identity", sent=1 << 20, came=9, silence=10.0, silent=STUCK)
        # A message of one segment with time stamps, of which some were sent again.
        counts = sampled(allRetransmits=50, segmentsOut=60)
        stuck: dict[str, Any] = {"silence": 10.0, "silent": STUCK, "last": counts}
        connection(evidence, "times", sent=1451, came=2, **stuck)
        connection(evidence, "connect", sent=100, came=100, last=sampled(segmentsOut=300))
        self.one(evidence, "mtu-black-hole", Severity.FAIL)
        connection(evidence, "small-writes", sent=64, silence=10.0, silent=STUCK)
        found = [each.rule.cause for each in self.findings(evidence)]
        self.assertEqual(found, ["mtu-black-hole", "not-acknowledged"])

    def some(self, small: int, large: int) -> Evidence:
        """Returns evidence of two sizes that hang below others, and of so many of 16 that hang again."""
        evidence = self.evidence(1460)
        seen = evidence.observations["segments"]
        assert isinstance(seen, Segments)
        hang: dict[str, Any] = {"came": 0, "silence": 8.0, "silent": STUCK}
        for size in (1400, 1440):
            for name, value in hang.items():
                setattr(seen.bySize[size], name, value)
        for records, count in ((seen.small, small), (seen.large, large)):
            for n in range(AGAIN):
                values = hang if n < count else {"came": AMOUNT}
                records.append(connection(evidence, "segments", sent=AMOUNT, **values))
        return evidence

    def test_someLinks(self) -> None:
        """Where large segments hang on some connections, and small ones on none, their size is the cause."""
        words = "8 of 16 connections with segments of 1460 B hang, none of 16 with 536 B"
        found = self.one(self.some(0, 8), "mtu-black-hole", Severity.FAIL, words)
        self.assertEqual(found.title, "large segments get lost on some connections")
        for small, large in ((0, 3), (1, 8), (4, 4)):
            causes = [each.rule.cause for each in self.findings(self.some(small, large))]
            self.assertNotIn("mtu-black-hole", causes)

    def test_good(self) -> None:
        """Nothing hangs on a good path; on one without Ethernet, nothing is tried."""
        self.none(self.evidence(1460))
        self.none(evidenceOf(segments=Segments(largest=32_741)))

    def test_all(self) -> None:
        """Where all sizes hang, or a small one does, the size is not the cause."""
        for passes in (0, 1460):
            evidence = self.evidence(passes)
            seen = evidence.observations["segments"]
            assert isinstance(seen, Segments)
            seen.bySize[536].came, seen.bySize[536].silence = 0, 8.0
            seen.bySize[536].silent = STUCK
            self.one(evidence, "not-acknowledged", Severity.FAIL)

    def test_ended(self) -> None:
        """Connections with large segments that are ended do not hang."""
        evidence = self.evidence(1320)
        for record in evidence.of("segments"):
            if record.silence:
                record.silence, record.silent, record.end = 0, None, RESET
        self.one(evidence, "connections-unserved", Severity.FAIL)
