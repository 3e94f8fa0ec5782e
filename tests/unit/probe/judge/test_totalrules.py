"""Rule about connections that end after a number of bytes."""

from __future__ import annotations

from typing import Any

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.judge.totalrules import BYTES
from echo_app.probe.results.severity import Severity
from tests.support.evidence import FIN, RESET, JudgeTestCase, connection, evidenceOf, sampled, whole

MIB = 1 << 20


class TotalTests(JudgeTestCase):
    def evidence(self, *came: int, sent: int = 16 * MIB, **values: Any) -> Evidence:
        """Returns evidence of transfers of which so much came back, and then an end."""
        evidence = evidenceOf()
        whole(evidence)
        for n, each in enumerate(came):
            ending = {"end": FIN, "ended": 5.0 * n + 2} | values
            record = connection(evidence, "late-reader" if n else "identity", sent=sent, came=each, **ending)
            record.began = 5.0 * n
        return evidence

    def test_total(self) -> None:
        """Connections that end after the same number of bytes, and none gets beyond it."""
        evidence = self.evidence(MIB, MIB)
        self.one(evidence, "byte-limit", Severity.FAIL, "2 connections after 1 MiB: FIN")

    def test_silence(self) -> None:
        """So do those that go silent after it."""
        evidence = self.evidence(MIB, MIB, end=None, ended=None, silence=10.0)
        self.one(evidence, "byte-limit", Severity.FAIL, "after 1 MiB: timed out after 10 s")

    def test_flowDies(self) -> None:
        """Where our segments are not acknowledged any more, the flow is lost, and not its answers alone."""
        stuck = sampled(unacked=2, retransmits=5, backoff=5)
        for isStuck in (True, False):
            evidence = self.evidence(MIB, MIB + 900, end=None, ended=None, silence=10.0)
            evidence.connections[1].silent = stuck if isStuck else sampled(state=1)
            if isStuck:
                words = "2 connections, after 1,048,576 to 1,049,476 B came back"
                self.one(evidence, "flow-dies-after-bytes", Severity.FAIL, words)
            else:
                found = self.one(evidence, "byte-limit", Severity.FAIL)
                self.assertEqual(found.title, "connections go silent after a number of bytes")

    def test_flowsGoOn(self) -> None:
        """A connection that gets beyond shows that flows do not die at that byte."""
        evidence = self.evidence(MIB, MIB, end=None, ended=None, silence=10.0)
        evidence.connections[1].silent = sampled(unacked=2, retransmits=5, backoff=5)
        whole(evidence, size=2 * MIB)
        self.assertNotIn("flow-dies-after-bytes", [each.rule.cause for each in self.findings(evidence)])

    def messages(self, *ends: tuple[int, int, float]) -> Evidence:
        """Returns evidence of connections that ended after so many messages and bytes, at an age."""
        evidence = evidenceOf()
        whole(evidence)
        for answered, came, age in ends:
            values = {"sent": came, "came": came, "end": FIN, "ended": age, "answered": answered}
            connection(evidence, "small-writes", **values)
        return evidence

    def test_messages(self) -> None:
        """Three ends after one number of messages are a limit, if neither bytes nor ages are alike."""
        for ends, isFound in (
            (((40, 800, 0.4), (40, 2560, 0.4), (40, 8000, 0.8)), True),
            (((40, 800, 0.4), (40, 2560, 0.4), (40, 8000, 0.5)), False),
            (((40, 800, 0.4), (40, 900, 0.4), (40, 1000, 0.8)), False),
            (((40, 800, 0.4), (40, 2560, 0.4), (41, 8000, 0.8)), False),
            (((40, 800, 0.4), (40, 8000, 0.8)), False),
            (((40, 800, 0.4), (40, 2560, 0.4), (40, 8000, 0.8), (50, 9000, 0.9)), False),
        ):
            causes = [each.rule.cause for each in self.findings(self.messages(*ends))]
            self.assertEqual("message-limit" in causes, isFound, ends)

    def test_beyond(self) -> None:
        """A connection on which more came shows that there is no such limit."""
        evidence = self.evidence(MIB, MIB)
        whole(evidence, size=2 * MIB)
        self.assertNotIn("byte-limit", [each.rule.cause for each in self.findings(evidence)])

    def test_thresholds(self) -> None:
        """The numbers may differ by a tenth, and are 4 KiB above those of whole connections."""
        for pair, isFound in (
            ((MIB, MIB * 10 // 11), True),
            ((MIB, MIB * 8 // 9), False),
            ((BYTES + 101, BYTES + 101), True),
            ((BYTES + 100, BYTES + 100), False),
            ((MIB,), False),
        ):
            causes = [each.rule.cause for each in self.findings(self.evidence(*pair))]
            self.assertEqual("byte-limit" in causes, isFound, pair)

    def test_others(self) -> None:
        """Connections that end with fewer bytes have another cause, and so may these."""
        for count, isFound in ((1, True), (2, False)):
            evidence = self.evidence(MIB, MIB)
            for _ in range(count):
                connection(evidence, "times", sent=1 << 16, came=1000, end=RESET, ended=1.0)
            causes = [each.rule.cause for each in self.findings(evidence)]
            self.assertEqual("byte-limit" in causes, isFound, count)

    def test_unread(self) -> None:
        """Connections that are read late, and were dropped before, bring as much as the path stores."""
        evidence = self.evidence(MIB, MIB)
        for record in evidence.connections[1:]:
            record.check = "lifetimes"
        self.assertNotIn("byte-limit", [each.rule.cause for each in self.findings(evidence)])

    def test_whole(self) -> None:
        """Connections that bring everything, and then end as asked, have no limit."""
        self.none(self.evidence(MIB, MIB, sent=MIB, isHalfClosed=True))

    def test_some(self) -> None:
        """Three that end after exactly the same number of bytes have a limit, though others get beyond it."""
        for came, isFound in (([200_000] * 3, True), ([200_000, 200_000, 200_001], False)):
            evidence = evidenceOf()
            whole(evidence, count=3, size=MIB)
            for each in came:
                connection(evidence, sent=MIB, came=each, silence=10.0)
            found = [each for each in self.findings(evidence) if each.rule.cause == "byte-limit"]
            self.assertEqual(
                [each.match.seen[:30] for each in found], ["3 connections after 200,000 B:"] * isFound
            )

    def test_someUnread(self) -> None:
        """Of those that are read late, and were dropped before, none says more than what the path stores."""
        for others, isFound in ((0, False), (1, True)):
            evidence = evidenceOf()
            whole(evidence, count=3, size=MIB)
            for n in range(3 + others):
                check = "lifetimes" if n < 3 else "identity"
                connection(evidence, check, sent=MIB, came=128_512, end=RESET, ended=5.0)
            causes = [each.rule.cause for each in self.findings(evidence)]
            self.assertEqual("byte-limit" in causes, isFound)

    def test_halfClosed(self) -> None:
        """Half-closed ones alone have lost the rest by their half-close."""
        for others, isFound in ((0, False), (1, True)):
            evidence = evidenceOf()
            whole(evidence, count=3, size=MIB)
            for n in range(3 + others):
                connection(evidence, sent=MIB, came=200_000, end=FIN, isHalfClosed=n < 3)
            causes = [each.rule.cause for each in self.findings(evidence)]
            self.assertEqual("byte-limit" in causes, isFound)
