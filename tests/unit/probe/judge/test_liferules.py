"""Rules about the life of connections."""

from __future__ import annotations

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.lifetimes import INTERVAL, Kind, Life, Lives
from echo_app.probe.checks.record import ConnectionRecord
from echo_app.probe.judge.finding import Confidence
from echo_app.probe.judge.liferules import APART, MOMENT, SHARE, SLACK
from echo_app.probe.results.severity import Severity
from tests.support.evidence import (
    FIN,
    REFUSED,
    RESET,
    JudgeTestCase,
    connection,
    evidenceOf,
    sampled,
    whole,
)

# Seconds that make a difference, and bytes that do.
BIT, MIB = 0.01, 1 << 20


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

    def test_thresholds(self) -> None:
        """The ends must be within a second, and the begins a second and a half apart."""
        for apart, later, isFound in (
            (APART, MOMENT - BIT, True),
            (APART, MOMENT + BIT, False),
            (APART - BIT, 0.0, False),
        ):
            evidence = self.ended(("identity", 1.0, 640), ("burst", 1.0 + apart, 64), sent=0)
            evidence.connections[1].ended = 20.0 + later
            causes = [each.rule.cause for each in self.findings(evidence)]
            self.assertEqual("all-end-at-once" in causes, isFound, (apart, later))

    def test_survivor(self) -> None:
        """Connections that live on show that not all were ended; those that began later do not."""
        for began, closed, isFound in ((2.0, 40.0, False), (2.0, 20.5, True), (19.5, 40.0, True)):
            evidence = self.ended(("lifetimes", 1.0, 640), ("lifetimes", 4.0, 448), sent=0)
            survivor = connection(evidence, "identity", sent=9, came=9, closed=closed)
            survivor.began = began
            causes = [each.rule.cause for each in self.findings(evidence)]
            self.assertEqual("all-end-at-once" in causes, isFound, (began, closed))

    def test_many(self) -> None:
        """Two ends may be chance, three are likely one event."""
        begins = [("lifetimes", 1.0, 640), ("identity", 4.0, 448), ("burst", 7.0, 64)]
        for count, confidence in ((2, Confidence.POSSIBLE), (3, Confidence.LIKELY)):
            (found,) = self.findings(self.ended(*begins[:count], sent=0))
            self.assertIs(found.match.confidence, confidence)


class LivesTestCase(JudgeTestCase):
    def evidence(self, watched: float = 14.0) -> Evidence:
        """Returns evidence of two connections of each kind that live, and began three seconds apart."""
        evidence = evidenceOf(lifetimes=(seen := Lives(watched)))
        whole(evidence)
        for began in (10.0, 13.0):
            for kind in Kind:
                record = connection(
                    evidence, "lifetimes", sent=640, came=640, closed=began + watched, lastCame=began + 1
                )
                record.began = began
                if kind is Kind.BUSY:
                    record.lastCame = record.closed
                seen.lives.append(Life(kind, record, began + watched))
        return evidence

    def lives(self, evidence: Evidence) -> list[Life]:
        seen = evidence.observations["lifetimes"]
        assert isinstance(seen, Lives)
        return seen.lives

    def end(self, evidence: Evidence, ages: dict[Kind, tuple[float | None, float | None]]) -> None:
        """Ends the connections of each kind at these ages, the earlier one first; None lives."""
        for kind, pair in ages.items():
            of = [each.record for each in self.lives(evidence) if each.kind is kind]
            for record, age in zip(of, pair, strict=True):
                if age is not None:
                    self.endAt(record, record.began + age)

    def endAt(self, record: ConnectionRecord, at: float) -> None:
        record.end, record.ended = RESET, at
        record.lastCame = min(record.lastCame or at, at)


class LifetimeTests(LivesTestCase):
    def test_lifetime(self) -> None:
        """Busy and silent connections that end at one age have a greatest age, whatever they do."""
        evidence = self.evidence()
        self.end(evidence, dict.fromkeys(Kind, (10.0, 10.1)))
        found = self.one(
            evidence, "lifetime", Severity.WARN, "6 connections at an age of 10.1 s, whatever they did"
        )
        self.assertIs(found.match.confidence, Confidence.LIKELY)

    def test_idle(self) -> None:
        """Where the busy ones live on, it is idleness."""
        evidence = self.evidence()
        self.end(evidence, {Kind.SILENT: (10.0, 10.1), Kind.UNREAD: (10.0, 10.1)})
        self.one(evidence, "idle-cut", Severity.WARN)

    def test_event(self) -> None:
        """Ends at one moment, at different ages, are an event."""
        evidence = self.evidence()
        self.end(evidence, dict.fromkeys(Kind, (10.0, 7.1)))
        self.one(evidence, "all-end-at-once", Severity.FAIL)

    def test_older(self) -> None:
        """A connection that gets older shows that no age is the greatest."""
        evidence = self.evidence()
        self.end(evidence, dict.fromkeys(Kind, (10.0, 10.1)))
        record = connection(evidence, "identity", sent=9, came=9, closed=12.5)
        record.began = 0.0
        self.assertNotIn("lifetime", [each.rule.cause for each in self.findings(evidence)])
        record.closed = 11.5
        self.one(evidence, "lifetime", Severity.WARN)

    def test_thresholds(self) -> None:
        """Ages may differ by a tenth and a second; they are above a second and a half."""
        for first, second, isFound in (
            (9.0, 9.0 * (1 + SHARE) + SLACK - BIT, True),
            (9.0, 9.0 * (1 + SHARE) + SLACK + BIT, False),
            (APART + BIT, APART + BIT, True),
            (APART - BIT, APART - BIT, False),
        ):
            evidence = self.evidence()
            self.end(evidence, {Kind.BUSY: (first, second)})
            for each in [each for each in self.lives(evidence) if each.kind is not Kind.BUSY]:
                evidence.connections.remove(each.record)
                self.lives(evidence).remove(each)
            causes = [each.rule.cause for each in self.findings(evidence)]
            self.assertEqual("lifetime" in causes, isFound, (first, second))


class SilentAtOnceTests(LivesTestCase):
    def silence(self, evidence: Evidence, first: float, second: float) -> None:
        """Lets the busy connections get their last bytes at these moments."""
        busy = [each.record for each in self.lives(evidence) if each.kind is Kind.BUSY]
        for record, at in zip(busy, (first, second), strict=True):
            record.silence, record.lastCame, record.sent = 10.0, at, record.sent + 64

    def test_silence(self) -> None:
        """Connections of different ages that go silent at one moment are an event, too."""
        evidence = self.evidence()
        self.silence(evidence, 20.0, 20.4)
        for each in self.lives(evidence):
            each.record.closed = 21.0
        found = self.one(evidence, "all-end-at-once", Severity.FAIL, "2 connections within 1 s")
        self.assertEqual(found.title, "all connections go silent at one moment")

    def test_age(self) -> None:
        """At one age they have a greatest age, though nothing ends."""
        for second, isFound in ((19.0, True), (22.0, False)):
            evidence = self.evidence()
            self.silence(evidence, 16.0, second)
            for each in self.lives(evidence):
                each.record.silence = 10.0
            found = [each for each in self.findings(evidence) if each.rule.cause == "lifetime"]
            self.assertEqual([each.title for each in found], ["connections go silent at an age"] * isFound)

    def test_survivor(self) -> None:
        """A connection that got older tells that it is not the age."""
        evidence = self.evidence()
        self.silence(evidence, 16.0, 19.0)
        self.assertNotIn("lifetime", [each.rule.cause for each in self.findings(evidence)])

    def test_apart(self) -> None:
        """At different moments they are no event."""
        evidence = self.evidence()
        self.silence(evidence, 18.0, 20.4)
        self.assertNotIn("all-end-at-once", [each.rule.cause for each in self.findings(evidence)])


class LostTests(LivesTestCase):
    """Silent and unread connections that are lost, while busy ones live."""

    def test_silent(self) -> None:
        """Silent ones that are lost are dropped for that, with their age."""
        evidence = self.evidence()
        self.end(evidence, {Kind.SILENT: (5.0, 5.2)})
        seen = "2 of 2 silent connections at 5.1 s: reset; 2 busy ones live"
        found = self.one(evidence, "idle-cut", Severity.WARN, seen)
        self.assertIs(found.match.confidence, Confidence.LIKELY)

    def test_unread(self) -> None:
        """Unread ones that are lost, while the silent ones live, are dropped for being unread."""
        evidence = self.evidence()
        self.end(evidence, {Kind.UNREAD: (5.0, 5.2)})
        seen = "2 of 2 unread connections at 5.1 s: reset; 2 busy ones live"
        self.one(evidence, "unread-cut", Severity.FAIL, seen)

    def test_one(self) -> None:
        """One of two may have another cause."""
        evidence = self.evidence()
        self.end(evidence, {Kind.SILENT: (5.0, None)})
        found = self.one(evidence, "idle-cut", Severity.WARN, "1 of 2 silent connections at 5 s")
        self.assertIs(found.match.confidence, Confidence.POSSIBLE)

    def test_busy(self) -> None:
        """If a busy one is lost too, or none was made, it is not for silence."""
        evidence = self.evidence()
        self.end(evidence, {Kind.SILENT: (5.0, 5.2), Kind.BUSY: (9.0, None)})
        self.assertNotIn("idle-cut", [each.rule.cause for each in self.findings(evidence)])
        evidence = self.evidence()
        self.end(evidence, {Kind.SILENT: (5.0, 5.2)})
        for life in self.lives(evidence):
            if life.kind is Kind.BUSY:
                life.record.connected, life.record.failure = None, REFUSED
        self.assertNotIn("idle-cut", [each.rule.cause for each in self.findings(evidence)])

    def test_keepalives(self) -> None:
        """Keepalives of the far end that came meanwhile are said: only bytes count there."""
        evidence = self.evidence()
        self.end(evidence, {Kind.SILENT: (5.0, 5.2)})
        life = next(each for each in self.lives(evidence) if each.kind is Kind.SILENT)
        life.silent = [sampled(segmentsIn=4, dataSegmentsIn=1), sampled(segmentsIn=6, dataSegmentsIn=1)]
        found = self.one(evidence, "idle-cut", Severity.WARN)
        self.assertIn("keepalives", found.match.evidence[0])


class UnservedLivesTests(LivesTestCase):
    """Watched connections that are never served, as others of the examination."""

    def unserve(self, evidence: Evidence, kind: Kind, seconds: float = 0.01, **values: object) -> None:
        """Ends the connections of a kind after so long, without a byte, and lets others be unserved, too."""
        for each in [each.record for each in self.lives(evidence) if each.kind is kind]:
            each.came, each.lastCame, each.end, each.ended = 0, None, RESET, each.began + seconds
            for name, value in values.items():
                setattr(each, name, value)
        for _ in range(3):
            connection(evidence, "burst", sent=64, end=FIN, ended=0.01)

    def test_kinds(self) -> None:
        """Their ends say nothing of silence, or of bytes that are not read."""
        for kind in Kind:
            evidence = self.evidence()
            self.unserve(evidence, kind)
            self.one(evidence, "connections-unserved", Severity.FAIL, "5 of 10")

    def test_later(self) -> None:
        """An end that comes later than those of the unserved ones is the end of an unread connection."""
        for seconds, cause in ((INTERVAL, "connections-unserved"), (INTERVAL + 2 * BIT, "unread-cut")):
            evidence = self.evidence()
            self.unserve(evidence, Kind.UNREAD, seconds)
            self.assertEqual(self.findings(evidence)[0].rule.cause, cause, seconds)

    def test_kernel(self) -> None:
        """The kernel's count of segments decides, where there is one: a reset destroys what was not read."""
        for segments, seconds, cause in ((0, 5.0, "connections-unserved"), (1, 0.01, "unread-cut")):
            evidence = self.evidence()
            self.unserve(evidence, Kind.UNREAD, seconds, last=sampled(dataSegmentsIn=segments))
            self.assertEqual(self.findings(evidence)[0].rule.cause, cause, segments)

    def test_one(self) -> None:
        """An unserved one beside a lost one is no part of what is lost, nor explained by it."""
        evidence = self.evidence()
        self.unserve(evidence, Kind.UNREAD)
        record = [each.record for each in self.lives(evidence) if each.kind is Kind.UNREAD][1]
        record.came = 64
        self.endAt(record, record.began + 5.0)
        found = self.findings(evidence)
        self.assertEqual(
            [each.match.seen for each in found],
            ["1 of 1 unread connections at 5 s: reset; 2 busy ones live", "4 of 10: reset"],
        )
