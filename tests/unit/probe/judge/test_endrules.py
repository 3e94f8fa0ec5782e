"""Rules about the ends of streams."""

from __future__ import annotations

from typing import Any

from echo_app.probe.checks.evidence import Evidence
from echo_app.probe.checks.halfclose import LARGE, SMALL, WHOLE, HalfCloses, outcomeOf
from echo_app.probe.checks.idle import Fate, Ladders, Rung
from echo_app.probe.checks.latereader import LIMIT, Filling
from echo_app.probe.checks.lifetimes import Kind, Life, Lives
from echo_app.probe.judge.finding import Confidence
from echo_app.probe.net.errors import Reason
from echo_app.probe.results.severity import Severity
from tests.support.evidence import (
    CLOSE_NOTIFY,
    FIN,
    FLIPPED,
    RESET,
    TRUNCATED,
    JudgeTestCase,
    connection,
    evidenceOf,
    sampled,
    whole,
)

MIB = 1 << 20

# A segment of ours that nothing acknowledges.
STUCK = sampled(unacked=1, retransmits=5, backoff=5)


class HalfCloseTests(JudgeTestCase):
    def tries(self, *outcomes: tuple[int, int, Reason | None], target: str = "lb.example:7") -> Evidence:
        """Returns evidence with tries of so many bytes, of which so many came, before an end or silence."""
        evidence = evidenceOf(target, half_close=(seen := HalfCloses()))
        for sent, came, end in outcomes:
            silence = 0 if end else 10.0
            values = {"sent": sent, "came": came, "end": end, "silence": silence, "isHalfClosed": True}
            seen.records.append(connection(evidence, "half-close", **values))
        return evidence

    def test_good(self) -> None:
        """Everything and then the end, also over TLS, with and without close_notify."""
        evidence = self.tries(*((SMALL, SMALL, end) for end in (FIN, CLOSE_NOTIFY, TRUNCATED)))
        self.none(evidence)
        self.assertEqual(str(evidence.observations["half-close"]), f"3 of 3 {WHOLE}")

    def test_unserved(self) -> None:
        """Where other connections end without a byte as well, such a try says nothing of the half-close."""
        evidence = self.tries((SMALL, 0, FIN), (SMALL, SMALL, FIN))
        connection(evidence, "connect", sent=64, end=FIN)
        self.one(evidence, "connections-unserved", Severity.FAIL, "2 of 3")

    def test_kinds(self) -> None:
        """The ways to fail are told apart, each with its meaning."""
        meanings = set()
        for bad, outcome, text in (
            ((SMALL, 0, FIN), "immediate close", "0 of 1024 B back, then FIN"),
            ((LARGE, 500, FIN), "truncation", "500 of 262144 B back, then FIN"),
            ((SMALL, 0, RESET), "reset", "0 of 1024 B back, then reset"),
            ((SMALL, SMALL, RESET), "reset", "1024 of 1024 B back, then reset"),
            ((SMALL, SMALL, None), "no end", "1024 of 1024 B back, then timed out after 10 s"),
            ((SMALL, 7, None), "silence", "7 of 1024 B back, then timed out after 10 s"),
        ):
            evidence = self.tries(bad, (SMALL, SMALL, FIN))
            self.assertEqual(outcomeOf(evidence.connections[0]), outcome)
            found = self.one(evidence, "half-close-broken", Severity.FAIL, f"1 of 2: {text}")
            self.assertIn(outcome, found.title)
            self.assertIs(found.match.confidence, Confidence.LIKELY)
            meanings.add(found.meaning)
        self.assertEqual(len(meanings), 5)

    def test_mostCommon(self) -> None:
        """The kind that most of the tries show is the one that is said; all are evidence."""
        evidence = self.tries((LARGE, 5, FIN), (SMALL, 0, FIN), (SMALL, 0, FIN), (SMALL, SMALL, FIN))
        found = self.one(evidence, "half-close-broken", Severity.FAIL, "3 of 4: 0 of 1024 B back, then FIN")
        self.assertIs(found.match.confidence, Confidence.CERTAIN)
        self.assertEqual(
            sorted(found.match.evidence),
            ["1 of 4: truncation", f"1 of 4: {WHOLE}", "2 of 4: immediate close"],
        )

    def test_tls(self) -> None:
        """Over TLS, where few clients read on, it is a warning."""
        evidence = self.tries((SMALL, 0, CLOSE_NOTIFY), (SMALL, 8, CLOSE_NOTIFY), target="tls://lb.example:7")
        whole(evidence)
        self.one(evidence, "half-close-broken", Severity.WARN, "2 of 2: 0 of 1024 B back, then close_notify")

    def test_otherBytes(self) -> None:
        """A try with a wrong byte says nothing about half-closes, and the others still do."""
        evidence = self.tries((SMALL, 5, FIN), (SMALL, 0, FIN), (SMALL, SMALL, FIN))
        evidence.connections[0].difference = FLIPPED
        self.assertEqual(outcomeOf(evidence.connections[0]), "other bytes")
        found = {each.rule.cause: each for each in self.findings(evidence)}
        self.assertEqual(found.keys(), {"bytes-changed", "half-close-broken"})
        self.assertEqual(found["half-close-broken"].match.tries, 2)


class LateReaderTests(JudgeTestCase):
    def evidence(self, swallowed: int = 6 * MIB, isPushedBack: bool = True, **values: object) -> Evidence:
        """Returns evidence of a late reader, after good connections."""
        evidence = evidenceOf(
            late_reader=(seen := Filling(swallowed, 2 * MIB, MIB, isPushedBack=isPushedBack))
        )
        whole(evidence)
        seen.record = connection(evidence, "late-reader", **{"sent": swallowed, "came": swallowed} | values)
        return evidence

    def seen(self, evidence: Evidence) -> str:
        return str(evidence.observations["late-reader"])

    def test_good(self) -> None:
        """Push-back is good, wherever it comes; the kernel's share of it is said."""
        evidence = self.evidence()
        self.none(evidence)
        self.assertEqual(self.seen(evidence), "push-back after 6 MiB, 3 MiB of it in this kernel; whole")

    def test_noBound(self) -> None:
        """A server that takes everything is a warning; a merely slow one is not."""
        endless = self.one(
            self.evidence(LIMIT, False), "no-push-back", Severity.WARN, f"none within {LIMIT >> 20} MiB"
        )
        self.assertIs(endless.match.confidence, Confidence.LIKELY)
        slow = self.evidence(MIB, False)
        self.none(slow)
        self.assertEqual(self.seen(slow), "no push-back within 1 MiB and 20 s; whole")

    def test_thrownAway(self) -> None:
        """Bytes that never come back were not stored: that nothing pushed back is an effect of it."""
        self.one(self.evidence(LIMIT, False, came=MIB, silence=10.0), "late-reader-cut", Severity.FAIL)

    def test_lost(self) -> None:
        """An echo that is cut off or hangs is a failure, and each has its meaning."""
        cut = self.one(
            self.evidence(came=MIB, end=RESET),
            "late-reader-cut",
            Severity.FAIL,
            "1 MiB of 6 MiB came back, then reset",
        )
        stuck = self.one(
            self.evidence(came=MIB, silence=10.0),
            "late-reader-cut",
            Severity.FAIL,
            "1 MiB of 6 MiB came back, then nothing for 10 s",
        )
        self.assertNotEqual(cut.meaning, stuck.meaning)

    def test_unserved(self) -> None:
        """A late reader that was never served, as others, has lost nothing for being late."""
        evidence = self.evidence(came=0, end=RESET, ended=0.01)
        connection(evidence, sent=64, end=FIN, ended=0.01)
        self.one(evidence, "connections-unserved", Severity.FAIL, "2 of 3")

    def test_changed(self) -> None:
        """A changed byte is that, also for a late reader."""
        evidence = self.evidence(came=5, difference=FLIPPED)
        self.one(evidence, "bytes-changed", Severity.FAIL)
        self.assertTrue(self.seen(evidence).endswith("1 byte flipped at offset 5"), self.seen(evidence))


class IdleTests(JudgeTestCase):
    """Ladders of idle connections; tests/unit/probe/checks/test_idle.py makes them on paths."""

    def ladders(self, first: list[Rung], second: list[Rung] | None = None, unfinished: str = "") -> Evidence:
        """Returns evidence of these, with the records of connections that were lost."""
        evidence = evidenceOf(idle=Ladders(first, second or []))
        whole(evidence)
        if unfinished:
            evidence.unfinished["idle"] = unfinished
        for rung in (*first, *(second or [])):
            ending: dict[Fate, dict[str, Any]] = {
                Fate.ALIVE: {"came": 32, "sent": 32},
                Fate.SILENT: {"came": 16, "sent": 32, "silence": 10.0, "silent": STUCK},
                Fate.FORGOTTEN: {"came": 16, "sent": 32, "end": RESET},
                Fate.ENDED: {"came": 16, "sent": 16, "end": FIN},
            }
            connection(evidence, "idle", **ending[rung.fate])
        return evidence

    def test_alive(self) -> None:
        """Connections that live as long as they are watched are no finding."""
        self.none(self.ladders([Rung(5, Fate.ALIVE, 5), Rung(10, Fate.ALIVE, 10)]))

    def test_untold(self) -> None:
        """A silent drop has the safe age in its meaning, and is the one finding about these connections."""
        for fate in (Fate.SILENT, Fate.FORGOTTEN):
            evidence = self.ladders(
                [Rung(5, Fate.ALIVE, 5), Rung(10, fate, 10)], [Rung(9, Fate.ALIVE, 9), Rung(10, fate, 10)]
            )
            found = self.one(evidence, "idle-time-out", Severity.WARN, f"alive at 9 s, {fate.value} at 10 s")
            self.assertIn("every 9 s", found.meaning)
            self.assertIs(found.match.confidence, Confidence.LIKELY)

    def test_lifetime(self) -> None:
        """What a greatest age has ended was not dropped for being idle: busy connections end, too."""
        rungs = [Rung(5, Fate.ALIVE, 5), Rung(10, Fate.ENDED, 9.1)]
        evidence = self.ladders(rungs, [Rung(8.2, Fate.ALIVE, 8.2), Rung(11.5, Fate.ENDED, 8.3)])
        evidence.observations["lifetimes"] = (seen := Lives())
        for n, age in enumerate((10.2, 9.2)):
            record = connection(evidence, "lifetimes", sent=64, came=64, end=FIN, ended=3.0 * n + age)
            record.began = 3.0 * n
            seen.lives.append(Life(Kind.BUSY, record))
        for record, ended in zip(
            [each for each in evidence.of("idle") if each.end], (9.1, 28.3), strict=True
        ):
            record.began, record.ended = ended // 20 * 20.0, ended
        self.one(evidence, "lifetime", Severity.WARN)

    def test_told(self) -> None:
        """An end that is told has its age."""
        evidence = self.ladders(
            [Rung(5, Fate.ALIVE, 5), Rung(10, Fate.ENDED, 7.1)],
            [Rung(6.4, Fate.ALIVE, 6.4), Rung(9.3, Fate.ENDED, 7.2)],
        )
        found = self.one(evidence, "idle-time-out", Severity.WARN, "closed (FIN) at 7.2 s")
        self.assertIn("find the connection closed", found.meaning)

    def test_once(self) -> None:
        """An end that the second ladder sees at another age, or not at all, is possibly another cause."""
        first = [Rung(5, Fate.ALIVE, 5), Rung(90, Fate.ENDED, 70)]
        for second in (
            [Rung(63, Fate.ALIVE, 63), Rung(78, Fate.ALIVE, 78)],
            [Rung(63, Fate.ENDED, 40), Rung(78, Fate.ENDED, 40)],
        ):
            found = self.one(
                self.ladders(first, second), "idle-time-out", Severity.WARN, "at 70 s once, and not the next"
            )
            self.assertIn("not for being idle", found.title)
            self.assertIs(found.match.confidence, Confidence.POSSIBLE)

    def test_alike(self) -> None:
        """A silent connection of another check that was lost after such a silence has the same cause."""
        rungs = [Rung(5, Fate.ALIVE, 5), Rung(10, Fate.ENDED, 7.1)]
        again = [Rung(6.4, Fate.ALIVE, 6.4), Rung(9.3, Fate.ENDED, 7.2)]
        evidence = self.ladders(rungs, again)
        connection(evidence, "lifetimes", sent=64, came=64, end=FIN, ended=7.1)
        connection(evidence, "late-reader", sent=MIB, came=9, end=FIN, ended=8.0, firstAnswer=8.0)
        self.one(evidence, "idle-time-out", Severity.WARN)

    def test_earlier(self) -> None:
        """A late reader that hangs before the age at which idle ones are dropped hangs for another cause."""
        rungs = [Rung(30, Fate.ALIVE, 30), Rung(60, Fate.ENDED, 40)]
        evidence = self.ladders(rungs, [Rung(36, Fate.ALIVE, 36), Rung(50, Fate.ENDED, 40)])
        record = connection(evidence, "late-reader", sent=MIB, came=9, silence=10.0, firstAnswer=8.0)
        evidence.observations["late-reader"] = Filling(MIB, record=record)
        found = [each.rule.cause for each in self.findings(evidence)]
        self.assertEqual(found, ["late-reader-cut", "idle-time-out"])

    def test_stray(self) -> None:
        """A lost connection among older ones that are alive is another cause."""
        evidence = self.ladders([Rung(5, Fate.SILENT, 5), Rung(10, Fate.ALIVE, 10)])
        found = self.one(
            evidence, "idle-time-out", Severity.WARN, "silently gone at 5 s, but others alive at 10 s"
        )
        self.assertIn("not for being idle", found.title)

    def test_interrupted(self) -> None:
        """After a first ladder alone, a drop is possible, and not called one that did not come again."""
        evidence = self.ladders([Rung(5, Fate.ALIVE, 5), Rung(10, Fate.SILENT, 10)], unfinished="interrupted")
        found = self.one(evidence, "idle-time-out", Severity.WARN, "silently gone at 10 s, not confirmed")
        self.assertIs(found.match.confidence, Confidence.POSSIBLE)

    def test_unfit(self) -> None:
        """A service that does not echo, or speaks by itself, says nothing about idle connections."""
        for fate in (Fate.MUTE, Fate.CHATTY):
            self.none(evidenceOf(idle=Ladders([Rung(5, fate, 0), Rung(10, Fate.SILENT, 10)])))


class CutTests(JudgeTestCase):
    def test_cut(self) -> None:
        """A whole echo whose connection the peer ends unasked is a warning, with its age."""
        evidence = evidenceOf()
        whole(evidence)
        connection(evidence, sent=100, came=100, end=RESET, ended=2.5)
        found = self.one(evidence, "connections-end", Severity.WARN, "1 of 2: reset after 2.5 s, 100 B")
        self.assertIs(found.match.confidence, Confidence.POSSIBLE)

    def test_asked(self) -> None:
        """An end after ours is none, and neither is one of a check about ends."""
        evidence = evidenceOf()
        connection(evidence, sent=100, came=100, end=FIN, isHalfClosed=True)
        for check in ("half-close", "idle", "peer", "tls"):
            connection(evidence, check, sent=100, came=100, end=RESET, ended=1.0, isHalfClosed=True)
        self.none(evidence)
