"""The rule about holes in what arrived, and rates that are as slow as losses make them."""

from __future__ import annotations

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.identity import Sizes
from echo_app.probe.checks.latereader import Filling
from echo_app.probe.judge.finding import Confidence
from echo_app.probe.results.severity import Severity
from tests.support.evidence import JudgeTestCase, connection, evidenceOf, sampled


class HoleTests(JudgeTestCase):
    def evidence(self, *behind: int, late: int = 0, isSlow: bool = False, again: int = 0) -> Evidence:
        """Returns evidence of transfers with holes.

        :param behind: segments that came behind a hole, by connection, of 500.
        :param late: first answers that come late by a retransmission, of 20.
        :param isSlow: the way back has a steady rate.
        :param again: segments of our own that were sent again on each connection, of 300.
        """
        evidence = evidenceOf()
        if isSlow:
            curve = [(second / 4, second * 50_000) for second in range(20)]
            evidence.observations |= {
                "identity": Sizes(batches=[(0, 400_000, 2.0)]),
                "late-reader": Filling(1 << 23, out=curve, back=curve),
            }
        for number in range(20):
            connection(evidence, "connect", sent=9, came=9, firstAnswer=0.26 if number < late else 0.04)
        for each in behind:
            counts = sampled(outOfOrder=each, dataSegmentsIn=500, segmentsOut=300, allRetransmits=again)
            connection(evidence, "identity", sent=9, came=9, last=counts)
        return evidence

    def test_holes(self) -> None:
        """Holes on three connections hint at the way back."""
        found = self.one(
            self.evidence(90, 50, 10), "holes-in-arrivals", Severity.WARN, "150 of 1,500", "on 3 connections"
        )
        self.assertIs(found.match.confidence, Confidence.POSSIBLE)
        self.none(self.evidence(150, 0, 9))
        self.none(self.evidence(1, 2, 1))

    def test_ours(self) -> None:
        """Where our own segments are lost, that rule tells of the way back."""
        self.one(self.evidence(90, 50, 10, again=20), "segments-lost", Severity.WARN)

    def test_lone(self) -> None:
        """Lone packets that are late make it likely, and the rate no limit."""
        evidence = self.evidence(90, 50, 10, late=3, isSlow=True)
        found = self.one(evidence, "holes-in-arrivals", Severity.WARN)
        self.assertIs(found.match.confidence, Confidence.LIKELY)
        self.assertIn("3 of 43 lone packets were late", found.match.evidence[1])

    def test_rate(self) -> None:
        """A limit on the rate leaves holes as well: without late lone packets it is the limit."""
        self.one(self.evidence(90, 50, 10, late=2, isSlow=True), "rate-limited", Severity.WARN)
