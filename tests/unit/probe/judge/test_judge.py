"""The judge: order, explained connections, and the comparison with a direct route."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.judge.finding import Confidence, Match, Rule
from echo_app.probe.judge.judge import RULES, Verdict, againstBaseline, judge
from echo_app.probe.results.severity import Severity
from tests.support.evidence import REFUSED, causes, connection, evidenceOf, whole

FAIL, WARN = Severity.FAIL, Severity.WARN


def rule(cause: str, severity: Severity = FAIL, match: Match | None = Match("seen")) -> Rule:
    """Returns a rule that finds this."""
    return Rule(cause, severity, f"{cause} title", f"{cause} meaning", "looks", "errs", lambda *given: match)


def judged(*rules: Rule, unfinished: str = "") -> Verdict:
    """Returns the verdict of rules on evidence that they do not read."""
    evidence = evidenceOf()
    if unfinished:
        evidence.unfinished[unfinished] = "interrupted"
    return judge(evidence, rules)


class TableTests(SynchronousTestCase):
    """The table of rules."""

    def test_names(self) -> None:
        """Causes are words with hyphens, and unique."""
        names = [each.cause for each in RULES]
        self.assertEqual(sorted(set(names)), sorted(names))
        for name in names:
            self.assertRegex(name, r"^[a-z]+(-[a-z]+)+$|^[a-z]{6,}$")

    def test_documented(self) -> None:
        """Every rule has a title, a meaning, and says what it looks at and when it errs, in sentences."""
        for each in RULES:
            self.assertRegex(each.title, r"^(TCP|TLS|[a-z]).*[^.]$", each.cause)
            for text in (each.meaning, each.observation, each.errs):
                self.assertRegex(text, r"^[A-Z\d].*\.$", each.cause)

    def test_nothing(self) -> None:
        """Without evidence no rule finds anything."""
        self.assertEqual(judge(evidenceOf()).findings, [])
        self.assertEqual(judge(evidenceOf("udp://lb.example:7")).findings, [])


class JudgeTests(SynchronousTestCase):
    def test_order(self) -> None:
        """Failures come first, each kind in the order of the rules."""
        verdict = judged(rule("a", WARN), rule("b"), rule("c", WARN), rule("d"), rule("e", match=None))
        self.assertEqual(causes(verdict), ["b", "d", "a", "c"])

    def test_severity(self) -> None:
        """A match may have another severity, title and meaning than its rule."""
        match = Match("seen", severity=WARN, title="other", meaning="Other.")
        (found,) = judged(rule("a", match=match)).findings
        self.assertEqual((found.severity, found.title, found.meaning), (WARN, "other", "Other."))
        (found,) = judged(rule("a")).findings
        self.assertEqual((found.severity, found.title, found.meaning), (FAIL, "a title", "a meaning"))

    def test_explained(self) -> None:
        """A rule does not see the connections that a rule before it explains, and sees all evidence."""
        seen: list[list[int]] = []

        def look(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
            self.assertEqual(len(evidence.connections), 4)
            seen.append([each.number for each in rest])
            return Match("seen", explains=[seen[-1][0]])

        evidence = evidenceOf()
        whole(evidence, count=4)
        looking = Rule("looking", FAIL, "title", "Meaning.", "", "", look)
        self.assertEqual(len(judge(evidence, [looking, looking]).findings), 2)
        self.assertEqual(seen, [[0, 1, 2, 3], [1, 2, 3]])

    def test_excusedByRule(self) -> None:
        """A match that saw nothing is no finding, and explains its connections nevertheless."""
        evidence = evidenceOf()
        connection(evidence, failure=REFUSED)
        left: list[int] = []

        def look(evidence: Evidence, rest: Sequence[ConnectionRecord]) -> Match | None:
            left.append(len(rest))
            return None

        verdict = judge(
            evidence, [rule("a", match=Match("", explains=[0])), Rule("b", FAIL, "", "", "", "", look)]
        )
        self.assertEqual((verdict.findings, left), ([], [0]))


class VerdictTests(SynchronousTestCase):
    def test_nothing(self) -> None:
        """Without a finding that is said, and nothing has failed."""
        verdict = judged()
        self.assertEqual(str(verdict), "nothing wrong was found")
        self.assertEqual((verdict.isFailed, verdict.isWarned), (False, False))

    def test_worst(self) -> None:
        """The first finding is said, and how many more there are."""
        self.assertEqual(str(judged(rule("a"))), "a title (seen)")
        self.assertEqual(str(judged(rule("a", WARN), rule("b"))), "b title (seen); and 1 more finding")
        self.assertEqual(str(judged(rule("a"), rule("b"), rule("c"))), "a title (seen); and 2 more findings")

    def test_status(self) -> None:
        """A failure fails, and so does something that was not examined; a warning is one."""
        for verdict, isFailed, isWarned in (
            (judged(rule("a")), True, False),
            (judged(rule("a", WARN)), False, True),
            (judged(unfinished="idle"), True, False),
        ):
            self.assertEqual((verdict.isFailed, verdict.isWarned), (isFailed, isWarned))

    def test_unfinished(self) -> None:
        """What was not examined is said, with and without a finding."""
        self.assertEqual(str(judged(unfinished="idle")), "nothing wrong was found; not examined: idle")
        self.assertEqual(str(judged(rule("a"), unfinished="idle")), "a title (seen); not examined: idle")

    def test_data(self) -> None:
        """A finding for JSON has its cause, confidence, evidence and rate."""
        match = Match("seen", Confidence.POSSIBLE, ["more"], hits=2, tries=9)
        (found,) = judged(rule("a", match=match)).findings
        self.assertEqual(
            found.data(),
            {
                "cause": "a",
                "severity": "fail",
                "title": "a title",
                "seen": "seen",
                "confidence": "possible",
                "meaning": "a meaning",
                "evidence": ["more"],
                "hits": 2,
                "tries": 9,
                "excuse": "",
            },
        )


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
