"""The table of rules as a whole: nothing on a good path, and one cause for one fault."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from echo_app.probe.results.severity import Severity
from tests.support import planted, slowed
from tests.support.evidence import JudgeTestCase
from tests.support.goodpath import GoodPath

FAIL, WARN = Severity.FAIL, Severity.WARN

# The first finding, and the change of the evidence that makes it, in the order of the rules.
PLANTED: Sequence[tuple[str, Severity, Callable[[GoodPath], None]]] = (
    ("unresolved", FAIL, planted.unresolved),
    ("unreachable", FAIL, planted.unreachable),
    ("bytes-translated", FAIL, planted.translated),
    ("connections-mixed", FAIL, planted.mixed),
    ("refused-at-first", FAIL, planted.refusedAtFirst),
    ("no-echo", FAIL, planted.noEcho),
    ("bytes-changed", FAIL, planted.changed),
    ("bytes-duplicated", FAIL, planted.duplicated),
    ("mtu-black-hole", FAIL, planted.blackHole),
    ("not-acknowledged", FAIL, planted.unacknowledged),
    ("all-end-at-once", FAIL, planted.restarted),
    ("byte-limit", FAIL, planted.limitedBytes),
    ("lifetime", WARN, planted.limitedAge),
    ("idle-cut", WARN, planted.idleTold),
    ("idle-cut", WARN, planted.idleSilent),
    ("unread-cut", FAIL, planted.unreadCut),
    ("late-reader-cut", FAIL, planted.lateReaderHangs),
    ("half-close-broken", FAIL, planted.halfCloseBroken),
    ("accept-rate", WARN, planted.acceptRate),
    ("connection-cap", WARN, planted.cap),
    ("connections-unserved", FAIL, planted.someUnserved),
    ("address-fails", WARN, planted.oneAddress),
    ("connections-fail", WARN, planted.someRefused),
    ("segments-reordered", WARN, planted.reordered),
    ("segments-lost", WARN, planted.segmentsLost),
    ("syns-lost", WARN, planted.singleSYNsLost),
    ("accept-rate", WARN, planted.limitedConnects),
    ("round-trip-outliers", WARN, slowed.outliers),
    ("transfer-pauses", WARN, slowed.pauses),
    ("connections-unequal", WARN, slowed.siblings),
    ("end-late", WARN, slowed.lateEnd),
    ("nagle-delays", WARN, slowed.nagle),
    ("small-slower-than-large", WARN, slowed.smallSlow),
    ("first-answer-slow", WARN, slowed.firstSlow),
    ("cold-start", WARN, slowed.coldStart),
    ("jitter", WARN, slowed.jitter),
    ("rate-after-burst", WARN, slowed.policed),
    ("rate-limited", WARN, slowed.limitedOut),
    ("answers-slow", WARN, slowed.slowService),
    ("burst-slowed", WARN, planted.synsLost),
    ("no-push-back", WARN, slowed.noPushBack),
)


class GoodTests(JudgeTestCase):
    def test_good(self) -> None:
        """No rule finds anything on a good path, on one machine, in one house, or across an ocean."""
        for rtt, rate in ((0.00005, 400e6), (0.0004, 50e6), (0.02, 20e6), (0.18, 20e6)):
            self.assertEqual(self.findings(GoodPath(rtt, rate).evidence), [], rtt)

    def test_lateMachine(self) -> None:
        """A machine that is late by as much as its times differ has no finding about the path."""
        path = GoodPath()
        for record in path.records("connect", "identity", "half-close"):
            path.evidence.lateness.append((record.began + 0.3, 0.3))
        slowed.outliers(path)
        path.connects.records[0].firstAnswer = 0.3
        for record in path.halfCloses.records:
            assert record.lastCame is not None
            record.ended = record.lastCame + 0.3
        self.assertEqual(
            [each.rule.cause for each in self.findings(path.evidence)], [], path.evidence.lateness[:1]
        )


class PlantedTests(JudgeTestCase):
    def test_first(self) -> None:
        """The first finding about a planted fault names it, and no other failure has the same cause."""
        for cause, severity, plant in PLANTED:
            with self.subTest(cause=cause, plant=plant.__name__):
                path = GoodPath()
                plant(path)
                findings = self.findings(path.evidence)
                causes = [(each.rule.cause, each.severity) for each in findings]
                self.assertEqual(causes[:1], [(cause, severity)], findings)
                failures = [each for each in causes if each[1] is FAIL]
                self.assertLessEqual(len(failures), 1)

    def test_together(self) -> None:
        """Two faults are two findings, the failure first."""
        path = GoodPath()
        slowed.nagle(path)
        planted.changed(path)
        found = self.findings(path.evidence)
        self.assertEqual([each.rule.cause for each in found], ["bytes-changed", "nagle-delays"])
