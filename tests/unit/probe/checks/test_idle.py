"""The age at which an idle connection counts as dropped, on paths whose time is a Clock's."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks.evidence import CheckSettings
from echo_app.probe.checks.idle import STEP, Bracket, Fate, Idle, Ladders, Rung, bracket, inner
from echo_app.probe.judge.finding import Confidence, Finding
from echo_app.probe.judge.judge import judge
from echo_app.probe.net.errors import ErrorKind, Reason
from echo_app.probe.results.severity import Severity
from tests.support import paths
from tests.support.paths import FIN, PathContext, StreamPath
from tests.support.probing import context

QUIET = CheckSettings(idle=900)

RESET = Reason(ErrorKind.RESET)


class BracketTests(SynchronousTestCase):
    def test_alive(self) -> None:
        """If the oldest connection is alive, none is dropped for its age."""
        rungs = [Rung(5, Fate.SILENT, 5), Rung(10, Fate.ALIVE, 10)]
        self.assertIsNone(bracket(rungs))
        self.assertIsNone(bracket([]))

    def test_between(self) -> None:
        """The limit is between the oldest connection that is alive and the next one."""
        rungs = [Rung(30, Fate.SILENT, 30), Rung(5, Fate.ALIVE, 5), Rung(10, Fate.FORGOTTEN, 10)]
        self.assertEqual(bracket(rungs), Bracket(5, 10, Fate.FORGOTTEN))

    def test_told(self) -> None:
        """Connections that tell of their end tell when it was."""
        rungs = [Rung(5, Fate.ALIVE, 5), Rung(10, Fate.ENDED, 7.1), Rung(30, Fate.RESET, 7)]
        self.assertEqual(bracket(rungs), Bracket(5, 7, Fate.RESET))

    def test_toldInTime(self) -> None:
        """A connection that was used while its FIN was under way is no sign of a silent drop."""
        rungs = [Rung(0.99, Fate.REFUSED, 0.99), Rung(2.7, Fate.ENDED, 1.01)]
        self.assertEqual(bracket(rungs), Bracket(0, 1.01, Fate.ENDED))
        rungs = [Rung(60, Fate.FORGOTTEN, 60), Rung(120, Fate.ENDED, 70)]
        self.assertEqual(bracket(rungs), Bracket(0, 60, Fate.FORGOTTEN))

    def test_none(self) -> None:
        """None may be alive at all."""
        self.assertEqual(bracket([Rung(5, Fate.SILENT, 5)]), Bracket(0, 5, Fate.SILENT))

    def test_inner(self) -> None:
        """The second ladder has steps of a tenth at the most, and ends where the first one was gone."""
        for alive, gone in ((10, 30), (300, 350), (0, 5), (119, 120)):
            ages = inner(Bracket(alive, gone, Fate.SILENT))
            self.assertEqual(ages[-1], gone)
            steps = [b / a for a, b in zip([alive or gone / 10, *ages], ages, strict=False)]
            self.assertTrue(all(1 < step <= STEP + 1e-9 for step in steps), ages)


class PathTests(SynchronousTestCase):
    def look(
        self, path: Any, settings: CheckSettings = QUIET, **more: Any
    ) -> tuple[Ladders, list[Finding], PathContext]:
        """Runs the check over a path; returns what it saw, the findings, and the context."""
        clock = Clock()
        given: Any = PathContext(clock, path, settings, "idle")
        check = Idle(**more)
        seen = given.evidence.observations["idle"] = check.begin()
        paths.result(clock, check.run(given, seen), step=0.05)
        self.assertTrue(all(stream.isClosed for stream in given.streams))
        return seen, list(judge(given.evidence).findings), given

    def dropped(self, path: Any, **more: Any) -> Finding:
        """Returns the one finding about a path, which is a warning of the idle check."""
        _, findings, _ = self.look(path, **more)
        self.assertEqual([each.rule.cause for each in findings], ["idle-time-out"])
        self.assertIs(findings[0].severity, Severity.WARN)
        return findings[0]

    def test_good(self) -> None:
        """A path that drops nothing has no finding, and shows the age that was reached, after one ladder."""
        seen, findings, given = self.look(StreamPath())
        self.assertEqual((str(seen), findings), ("alive at 900 s", []))
        self.assertEqual(len(given.streams), 11)

    def test_limit(self) -> None:
        """No connection is older than it was told, and that age is looked at."""
        seen, _, given = self.look(StreamPath(), CheckSettings(idle=90))
        self.assertEqual(str(seen), "alive at 90 s")
        self.assertEqual(len(given.streams), 5)

    def test_told(self) -> None:
        """An end, and a reset, are found with their age."""
        for end, word in ((FIN, "FIN"), (RESET, "reset"), (Reason(ErrorKind.CLOSE_NOTIFY), "FIN")):
            for seconds in (4.0, 33.0, 300.0, 640.0):
                found = self.dropped(StreamPath(seconds, end))
                self.assertIn(word, found.match.seen)
                self.assertIs(found.match.confidence, Confidence.LIKELY)
                seen, _, _ = self.look(StreamPath(seconds, end))
                told = bracket(seen.second)
                assert told is not None
                self.assertLess(abs(told.gone - seconds), 0.2)

    def test_lateMachine(self) -> None:
        """An answer that is read late yields no age that is too low."""
        seen, _, _ = self.look(StreamPath(33.0, late=1.0))
        found = bracket(seen.second)
        assert found is not None
        self.assertGreaterEqual(found.gone, 33.0)

    def test_silent(self) -> None:
        """The age of a silent drop is found within a tenth, and the safe age is safe."""
        for end, fate in ((None, Fate.SILENT), (RESET, Fate.FORGOTTEN), (FIN, Fate.REFUSED)):
            for seconds in (0.8, 3.0, 33.0, 290.0, 349.0, 640.0):
                found = self.dropped(StreamPath(seconds, end, isTold=False))
                words = re.fullmatch(rf"alive at ([\d.]+) s, {fate.value} at ([\d.]+) s", found.match.seen)
                assert words is not None, found.match.seen
                safe, gone = map(float, words.groups())
                # They are shown with three digits.
                self.assertTrue(safe * 0.99 < seconds <= gone * 1.01, found.match.seen)
                self.assertLess(gone / seconds, 1.1 + 0.02)
                self.assertIn(f"every {words[1]} s", found.meaning)

    def test_once(self) -> None:
        """An event that ends all connections at once, and does not come again, is no idle time-out."""
        found = self.dropped(lambda number: StreamPath(70 if number < 11 else None))
        self.assertIn("not for being idle", found.title)

    def test_otherAge(self) -> None:
        """An end at another age the next time is no idle time-out."""
        found = self.dropped(lambda number: StreamPath(70 if number < 11 else 40))
        self.assertIn("not for being idle", found.title)

    def test_stray(self) -> None:
        """Nor is one lost connection among older ones that are alive."""
        found = self.dropped(lambda number: StreamPath(20 if number == 3 else None, None))
        self.assertIn("not for being idle", found.title)

    def test_unfit(self) -> None:
        """A service that does not echo, and one that speaks by itself, say nothing about idle ones."""
        for path, fate in (
            (StreamPath(isMute=True), Fate.MUTE),
            (StreamPath(greeting=b"220 ready\r\n" * 2), Fate.MUTE),
        ):
            seen, findings, _ = self.look(path)
            self.assertEqual(str(seen), fate.value)
            self.assertNotIn("idle-time-out", [each.rule.cause for each in findings])

    def test_cost(self) -> None:
        """The check spends no more than it announces, with any result."""
        for seconds in (3.0, 15.0, 33.0, 640.0):
            _, _, given = self.look(StreamPath(seconds, None))
            cost = Idle().cost(given)  # type: ignore[arg-type]
            self.assertLessEqual(len(given.streams), cost.connections)

    def test_asked(self) -> None:
        """The check is for streams, and waits only if the user states a time."""
        clock = Clock()
        self.assertTrue(Idle().reasonToSkip(context("udp://a:7", clock, settings=QUIET)))
        self.assertTrue(Idle().reasonToSkip(context("a:7", clock)))
        self.assertFalse(Idle().reasonToSkip(context("a:7", clock, settings=QUIET)))
