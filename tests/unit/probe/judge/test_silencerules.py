"""Rules about silence and loss, by the kernel's counts."""

from __future__ import annotations

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.judge.silencerules import silenceOf
from echo_app.probe.results.severity import Severity
from tests.support.evidence import JudgeTestCase, connection, evidenceOf, sampled, whole

STUCK = sampled(unacked=2, retransmits=5, backoff=5)


class UnacknowledgedTests(JudgeTestCase):
    def test_stuck(self) -> None:
        """Segments that nothing acknowledges are told from bytes that are not answered."""
        evidence = evidenceOf()
        whole(evidence)
        connection(evidence, sent=100, came=50, silence=10.0, silent=STUCK)
        self.one(evidence, "not-acknowledged", Severity.FAIL, "1 of 2 connections; 2 segments")

    def test_unanswered(self) -> None:
        """Bytes that are acknowledged and not answered are a short answer, with the kernel's word."""
        evidence = evidenceOf()
        connection(evidence, sent=100, came=50, silence=10.0, silent=sampled(state=1))
        found = self.one(evidence, "answers-short", Severity.FAIL)
        self.assertIn("everything is acknowledged, and not answered", found.match.evidence)

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
