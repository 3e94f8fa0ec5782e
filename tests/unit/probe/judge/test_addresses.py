"""Findings at several addresses of a name."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.reach import Addresses
from echo_app.probe.judge.baseline import judgeAll
from echo_app.probe.judge.judge import Verdict
from tests.support.evidence import FLIPPED, RESET, connection, evidenceOf, whole

FIRST, SECOND, THIRD = "203.0.113.1", "203.0.113.2", "203.0.113.3"


class AddressesTests(SynchronousTestCase):
    def setUp(self) -> None:
        tried = dict.fromkeys((FIRST, SECOND, THIRD))
        self.evidence = evidenceOf(resolve=Addresses("lb.example", {**tried}))
        self.evidence.further.update({SECOND: evidenceOf(f"{SECOND}:7"), THIRD: evidenceOf(f"{THIRD}:7")})
        for each in (self.evidence, *self.evidence.further.values()):
            whole(each, count=5)

    def flip(self, evidence: Evidence, check: str = "identity") -> None:
        """Adds a connection with a flipped bit."""
        connection(evidence, check, sent=100, came=5, difference=FLIPPED)

    def only(self) -> Verdict:
        """Judges all, and checks that there is one finding."""
        verdict = judgeAll(self.evidence)
        self.assertEqual([each.rule.cause for each in verdict.findings], ["bytes-changed"])
        return verdict

    def test_good(self) -> None:
        """Without a finding at any address nothing is found."""
        self.assertEqual(str(judgeAll(self.evidence)), "nothing wrong was found")

    def test_oneOfSeveral(self) -> None:
        """A cause at a further address is found, with the share of the addresses and which they are."""
        self.flip(self.evidence.further[SECOND])
        verdict = self.only()
        self.assertTrue(str(verdict).startswith("1 of 3 addresses: bytes are changed (1 of 6"), verdict)
        self.assertTrue(verdict.isFailed)
        self.assertEqual(verdict.findings[0].match.evidence[0], f"at {SECOND}")

    def test_all(self) -> None:
        """A cause at all addresses is one finding."""
        for each in (self.evidence, *self.evidence.further.values()):
            self.flip(each)
        self.assertEqual(self.only().findings[0].where, "3 of 3 addresses: ")

    def test_first(self) -> None:
        """A cause at the first address alone is told, where the others were examined for it."""
        self.flip(self.evidence)
        self.assertEqual(self.only().findings[0].where, "1 of 3 addresses: ")

    def test_notComparable(self) -> None:
        """A cause that only a check of the first address sees is no share of the addresses."""
        self.flip(self.evidence, "small-writes")
        self.assertEqual(self.only().findings[0].where, "")

    def test_unfinished(self) -> None:
        """A check that is unfinished at a further address is said with it."""
        self.evidence.further[THIRD].unfinished["connect"] = "no time left"
        verdict = judgeAll(self.evidence)
        self.assertEqual(str(verdict), f"nothing wrong was found; not examined: connect at {THIRD}")
        self.assertTrue(verdict.isFailed)

    def test_order(self) -> None:
        """Findings of all addresses are in one order, failures first."""
        for _ in range(3):
            connection(self.evidence, "burst", failure=RESET)
        self.flip(self.evidence.further[SECOND])
        causes = [each.rule.cause for each in judgeAll(self.evidence).findings]
        self.assertEqual(causes, ["bytes-changed", "connections-fail"])
