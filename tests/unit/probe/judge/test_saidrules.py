"""Rule about connections that end with a line of text."""

from __future__ import annotations

from typing import Any

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.judge.judge import judge
from echo_app.probe.results.difference import StreamDifference
from echo_app.probe.results.severity import Severity
from tests.support.evidence import FIN, JudgeTestCase, causes, connection, evidenceOf, whole

TEXT = b"421 Too many connections\r\n"


class SaidTests(JudgeTestCase):
    def evidence(self, *checks: str, found: bytes = TEXT, **values: Any) -> Evidence:
        """Returns evidence of connections that got text, and then the end."""
        evidence = evidenceOf()
        whole(evidence, count=3)
        for check in checks:
            record = connection(evidence, check, sent=64, **({"end": FIN} | values))
            record.difference = StreamDifference("foreign", 0, 0, found)
            record.foreign = found
        return evidence

    def test_said(self) -> None:
        """The text is shown, and what came then."""
        seen = r"'421 Too many connections\r\n', then FIN; 2 of 5 connections"
        found = self.one(self.evidence("connect", "identity"), "ended-with-text", Severity.FAIL, seen)
        self.assertEqual(found.match.evidence, ["connect 1, identity 1"])

    def test_kinds(self) -> None:
        """Those of a burst alone are turned away, and those that are silent alone are ended for that."""
        for checks, words in ((("burst",) * 2, "turned away"), (("idle", "lifetimes"), "silent connections")):
            found = self.one(self.evidence(*checks), "ended-with-text", Severity.WARN)
            self.assertIn(words, found.title)

    def test_others(self) -> None:
        """Other bytes, few of them, and text without an end are foreign bytes."""
        for values in ({"found": b"\x80" * 20}, {"found": b"short"}, {"end": None, "silence": 10.0}):
            evidence = self.evidence("identity", **values)
            self.assertIn("bytes-foreign", causes(judge(evidence)), values)
