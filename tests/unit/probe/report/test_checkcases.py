"""Test cases of an examination."""

from __future__ import annotations

from xml.etree.ElementTree import fromstring

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.halfclose import HalfCloses
from echo_app.probe.judge.baseline import judgeAll
from echo_app.probe.report.checkcases import casesOf
from echo_app.probe.report.junit import Case, junit
from tests.support.evidence import FLIPPED, REFUSED, connection, evidenceOf, whole


class CasesTests(SynchronousTestCase):
    def cases(self, evidence: Evidence, isStrict: bool = False) -> dict[str, Case]:
        """Returns the cases by what follows the target in their name."""
        found = list(casesOf(evidence, judgeAll(evidence), isStrict))
        return {each.name.partition(": ")[2]: each for each in found}

    def good(self) -> Evidence:
        """Returns evidence without a fault."""
        evidence = evidenceOf(half_close=HalfCloses())
        whole(evidence, count=9)
        return evidence

    def test_lookedAt(self) -> None:
        """There is a case for each rule that had something to look at, and no other."""
        cases = self.cases(self.good())
        for cause in ("bytes-changed", "half-close-broken", "unreachable"):
            self.assertEqual(cases[f"no {cause}"].failure, "")
        for cause in (
            "idle-timeout",
            "certificate-expired",
            "datagrams-lost",
            "intercepted",
            "baseline-unexamined",
        ):
            self.assertNotIn(f"no {cause}", cases)

    def test_tls(self) -> None:
        """Rules about TLS are for targets with TLS."""
        evidence = evidenceOf("tls://lb.example:7")
        whole(evidence)
        self.assertIn("no handshake-fails", self.cases(evidence))
        self.assertNotIn("no certificate-expired", self.cases(evidence))

    def test_failure(self) -> None:
        """A failure has what was seen, its meaning and its evidence."""
        evidence = self.good()
        connection(evidence, sent=9, came=5, difference=FLIPPED)
        case = self.cases(evidence)["no bytes-changed"]
        for part in ("bytes are changed: 1 of 10 connections", "TCP's checksum", "identity 1"):
            self.assertIn(part, case.failure)

    def test_warning(self) -> None:
        """A warning is a failure only where it is one for the exit status; else its text is kept."""
        evidence = self.good()
        connection(evidence, failure=REFUSED)
        lenient, strict = (self.cases(evidence, each)["no connections-fail"] for each in (False, True))
        self.assertTrue(lenient.skipped.startswith("a warning: some connections are not made"))
        self.assertTrue(strict.failure.startswith("some connections are not made"))

    def test_excused(self) -> None:
        """A finding that the direct route has too is skipped."""
        evidence, direct = self.good(), self.good()
        for each in (evidence, direct):
            connection(each, sent=9, came=5, difference=FLIPPED)
        evidence.baseline = direct
        case = self.cases(evidence)["no bytes-changed"]
        self.assertEqual((case.failure, case.skipped[:21]), ("", "not this path's doing"))

    def test_unfinished(self) -> None:
        """A check that has not seen everything is an error, and its rules have no case."""
        evidence = self.good()
        evidence.unfinished["half-close"] = "not done in 30 s"
        cases = self.cases(evidence)
        self.assertEqual(cases["half-close has seen everything"].error, "not done in 30 s")
        self.assertNotIn("no half-close-broken", cases)

    def test_file(self) -> None:
        """The cases are a suite of JUnit XML."""
        evidence = self.good()
        connection(evidence, sent=9, came=5, difference=FLIPPED)
        cases = list(casesOf(evidence, judgeAll(evidence)))
        (suite,) = fromstring(junit("check", cases, 4.0))
        self.assertEqual((suite.get("name"), suite.get("failures")), ("echo-probe check", "1"))
        self.assertEqual(suite.get("tests"), str(len(cases)))
