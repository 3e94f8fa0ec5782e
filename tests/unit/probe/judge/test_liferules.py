"""Rules about the life of connections."""

from __future__ import annotations

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.results.severity import Severity
from tests.support.evidence import RESET, JudgeTestCase, connection, evidenceOf


class EventTests(JudgeTestCase):
    def ended(self, *connections: tuple[str, float, int], sent: int = 1024) -> Evidence:
        """Returns evidence of connections of a check, a begin, and so many bytes, that end at 20 s."""
        evidence = evidenceOf()
        for check, began, came in connections:
            record = connection(
                evidence, check, sent=max(sent, came), came=came, end=RESET, ended=20.0, closed=20.0
            )
            record.began = began
        return evidence

    def test_event(self) -> None:
        """Connections of different ages that end at one moment are an event."""
        evidence = self.ended(("lifetimes", 1.0, 640), ("lifetimes", 4.0, 448), sent=0)
        self.one(evidence, "all-end-at-once", Severity.FAIL, "2 connections within 1 s")

    def test_bytes(self) -> None:
        """Short ones that end after the same number of bytes end for that, although at one moment."""
        evidence = self.ended(("small-writes", 1.0, 1000), ("small-writes", 4.0, 1000))
        self.one(evidence, "answers-short", Severity.FAIL)

    def test_lateReader(self) -> None:
        """A late reader's end says nothing of the moment: it is seen when it reads."""
        evidence = self.ended(("late-reader", 1.0, 900), ("small-writes", 4.0, 1000))
        self.assertNotIn("all-end-at-once", [each.rule.cause for each in self.findings(evidence)])
