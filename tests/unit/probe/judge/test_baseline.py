"""The comparison with a direct route, and a direct route that was not examined."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.halfclose import SMALL, HalfCloses
from echo_app.probe.checks.udprecord import Datagrams
from echo_app.probe.judge.baseline import againstBaseline, judgeAll
from echo_app.probe.judge.finding import Match, Rule
from echo_app.probe.judge.judge import Verdict
from echo_app.probe.results.difference import StreamDifference
from echo_app.probe.results.severity import Severity
from tests.support.evidence import FIN, REFUSED, RESET, causes, connection, evidenceOf, whole
from tests.unit.probe.judge.test_judge import judged, rule

WARN = Severity.WARN


class BaselineTests(SynchronousTestCase):
    def against(self, path: Rule, direct: Rule) -> Verdict:
        return againstBaseline(judged(path), judged(direct))

    def test_same(self) -> None:
        """A cause of the direct route too is excused, with what was seen there, and no longer counts."""
        verdict = self.against(rule("a"), rule("a", match=Match("seen there")))
        self.assertEqual(verdict.findings[0].excuse, "not this path's doing; directly: seen there")
        self.assertEqual((str(verdict), verdict.isFailed), ("nothing wrong was found", False))

    def test_other(self) -> None:
        """Another cause on the direct route excuses nothing."""
        verdict = self.against(rule("a"), rule("b"))
        self.assertEqual((causes(verdict), verdict.isFailed), (["a"], True))

    def test_rate(self) -> None:
        """A similar rate is excused, and a higher one is not."""
        for hits, isExcused in ((3, True), (6, True), (40, False)):
            verdict = self.against(
                rule("a", match=Match("seen", hits=hits, tries=100)),
                rule("a", match=Match("seen", hits=3, tries=100)),
            )
            self.assertEqual(not causes(verdict), isExcused, hits)

    def test_partly(self) -> None:
        """What is left beside an excused finding is the verdict."""
        path = judged(rule("a"), rule("b", WARN))
        verdict = againstBaseline(path, judged(rule("a")))
        self.assertEqual((str(verdict), verdict.isFailed, verdict.isWarned), ("b title (seen)", False, True))

    def test_unfinished(self) -> None:
        """A check of the path that is unfinished is not excused."""
        verdict = againstBaseline(judged(unfinished="idle"), judged(unfinished="idle"))
        self.assertTrue(verdict.isFailed)

    def test_manner(self) -> None:
        """The same cause in another manner, or with another title, is another fault."""
        for other in (Match("seen", manner="capitals"), Match("seen", title="half-close gives a reset")):
            verdict = self.against(rule("a", match=Match("seen", manner="newlines")), rule("a", match=other))
            self.assertEqual(causes(verdict), ["a"])


class EvidenceTests(SynchronousTestCase):
    """Evidence of both routes."""

    def judged(self, path: Evidence, direct: Evidence) -> list[str]:
        """Returns the causes that are left."""
        path.baseline = direct
        return causes(judgeAll(path))

    def changed(self, foreign: bytes, due: bytes, kind: str = "foreign") -> Evidence:
        """Returns evidence of three connections on which these bytes came, in place of those due."""
        evidence = evidenceOf()
        whole(evidence, "connect", 3)
        for _ in range(3):
            difference = StreamDifference(kind, 5, 0, foreign)
            connection(evidence, sent=99, came=5, difference=difference, foreign=foreign, due=due)
        return evidence

    def test_wrongBytes(self) -> None:
        """Wrong bytes excuse the same kind alone: not another translation, text or kind."""
        capitals = self.changed(b"ABC", b"abc"), self.changed(b"ABC", b"abc")
        self.assertEqual(self.judged(*capitals), [])
        newlines = self.changed(b"\r\nb", b"\nbc")
        self.assertEqual(self.judged(self.changed(b"ABC", b"abc"), newlines), ["bytes-translated"])
        one, other = (self.changed(each, b"q" * 40, "inserted") for each in (b"banner", b"advertisement"))
        self.assertEqual(self.judged(one, other), ["bytes-inserted"])
        self.assertEqual(self.judged(self.changed(b"xyz", b"q" * 40, "changed"), one), ["bytes-changed"])

    def test_halfClose(self) -> None:
        """Another outcome of half-closes is another fault."""
        routes = []
        for end in (RESET, FIN, FIN):
            evidence = evidenceOf()
            whole(evidence, "connect", 9)
            made = [connection(evidence, "half-close", sent=SMALL, end=end, isHalfClosed=True) for _ in "ab"]
            evidence.observations["half-close"] = HalfCloses(made)
            routes.append(evidence)
        reset, closed, again = routes
        self.assertEqual(self.judged(reset, closed), ["half-close-broken"])
        self.assertEqual(self.judged(closed, again), [])

    def test_unexamined(self) -> None:
        """A direct route without a connection, an answer, or the end of a check, is a finding."""
        unreachable, silent, unfinished, good = (evidenceOf() for _ in range(4))
        connection(unreachable, "connect", failure=REFUSED)
        connection(silent, sent=9, silence=10.0)
        whole(unfinished)
        unfinished.unfinished["burst"] = "not done in 9 s"
        whole(good)
        for direct, isFound in ((unreachable, True), (silent, True), (unfinished, True), (good, False)):
            path = evidenceOf()
            whole(path)
            self.assertEqual(self.judged(path, direct), ["baseline-unexamined"] if isFound else [])

    def test_unreachableBoth(self) -> None:
        """A path that fails as its direct route does is not good: nothing was compared."""
        path, direct = evidenceOf(), evidenceOf()
        for each in (path, direct):
            connection(each, "connect", failure=REFUSED)
        self.assertEqual(self.judged(path, direct), ["baseline-unexamined"])

    def test_datagrams(self) -> None:
        """Over UDP it is a direct route that answers nothing."""
        path, direct = evidenceOf("udp://lb.example:7"), evidenceOf("udp://lb.example:8")
        direct.observations["udp"] = Datagrams(REFUSED)
        self.assertEqual(self.judged(path, direct), ["baseline-unexamined"])
