"""Lives of connections, on paths whose time is a Clock's."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks.evidence import CheckSettings
from echo_app.probe.checks.identity import Sizes
from echo_app.probe.checks.lifetimes import (
    PIECE,
    THOROUGH_WATCHED,
    WATCHED,
    Kind,
    Life,
    Lifetimes,
    Lives,
)
from echo_app.probe.judge.judge import judge
from tests.support import paths
from tests.support.evidence import REFUSED, causes, connection, evidenceOf, sampled
from tests.support.paths import RESET, PathContext, StreamPath
from tests.support.probing import context

# A path that stores one piece of an unread connection.
ROOM = PIECE


class LifetimesTests(SynchronousTestCase):
    def look(self, path: Any, watched: float | None = 10.0, rate: float = 0.0) -> tuple[Lives, PathContext]:
        """Runs the check over a path; returns what it saw, and the context."""
        clock = Clock()
        given: Any = PathContext(clock, path, check="lifetimes")
        if rate:
            given.evidence.observations["identity"] = Sizes(batches=[(0, int(rate), 1.0)])
        check = Lifetimes(watched)
        seen = given.evidence.observations["lifetimes"] = check.begin()
        paths.result(clock, check.run(given, seen), step=0.05)
        self.assertTrue(all(stream.isClosed for stream in given.streams))
        return seen, given

    def causes(self, path: Any) -> list[str]:
        _, given = self.look(path)
        return causes(judge(given.evidence))

    def of(self, seen: Lives, kind: Kind) -> list[Life]:
        return [each for each in seen.lives if each.kind is kind]

    def test_good(self) -> None:
        """Two connections of each kind are watched, the second ones from a fifth of the time on."""
        seen, given = self.look(StreamPath(room=ROOM, late=0.01))
        self.assertEqual(str(seen), "alive after 10 s: 2 of 2 busy, 2 of 2 silent, 2 of 2 unread")
        for kind in Kind:
            first, second = self.of(seen, kind)
            self.assertApproximates(second.record.began - first.record.began, 2.0, 0.1)
            self.assertGreaterEqual(first.until - first.record.began, 10.0)
        self.assertEqual(judge(given.evidence).findings, [])

    def test_busy(self) -> None:
        """A busy connection sends and reads all the time; a silent one before and after."""
        seen, _ = self.look(StreamPath(room=ROOM, late=0.01))
        for each in self.of(seen, Kind.BUSY):
            self.assertGreater(each.record.came, 15 * 64)
        for each in self.of(seen, Kind.SILENT):
            self.assertEqual(each.record.came, 2 * 64)

    def test_unread(self) -> None:
        """An unread connection is filled until the path takes no more, and is read at the end."""
        seen, _ = self.look(StreamPath(room=ROOM, late=0.01))
        for each in self.of(seen, Kind.UNREAD):
            self.assertTrue(each.isPushedBack)
            self.assertEqual((each.record.sent, each.record.came), (2 * PIECE, 2 * PIECE))
        seen, _ = self.look(StreamPath(late=0.001), rate=PIECE / 10)
        for each in self.of(seen, Kind.UNREAD):
            self.assertFalse(each.isPushedBack)
            self.assertEqual(each.record.sent, 3 * PIECE)

    def test_age(self) -> None:
        """Connections that end at an age have that age, unread ones too, and no cause but it."""
        seen, given = self.look(StreamPath(room=ROOM, age=6.0, end=RESET))
        for each in seen.lives:
            self.assertApproximates(each.record.age or 0, 6.0, 0.6)
        self.assertIn("0 of 2 busy (ended at 6", str(seen))
        self.assertEqual(causes(judge(given.evidence))[:1], ["lifetime"])

    def test_idle(self) -> None:
        """Connections that are dropped when no byte comes are the silent and the unread ones."""
        seen, given = self.look(StreamPath(idle=4.0, room=ROOM))
        self.assertFalse(any(each.isLost for each in self.of(seen, Kind.BUSY)))
        self.assertTrue(all(each.isLost for each in self.of(seen, Kind.SILENT)))
        self.assertEqual(causes(judge(given.evidence)), ["idle-cut"])

    def test_idleUntold(self) -> None:
        """A drop that is not told is seen at the last message."""
        seen, _ = self.look(StreamPath(idle=4.0, isTold=False, room=ROOM))
        for each in self.of(seen, Kind.SILENT):
            self.assertGreaterEqual(each.record.age or 0, 10.0)
        self.assertEqual(self.causes(StreamPath(idle=4.0, isTold=False, room=ROOM)), ["idle-cut"])

    def test_refused(self) -> None:
        """A connection that is not made ends no other one's watch."""
        seen, _ = self.look(lambda n: StreamPath(failure=REFUSED if n == 1 else None, room=ROOM))
        self.assertEqual(len(seen.lives), 6)
        self.assertEqual(sum(each.record.isMade for each in seen.lives), 5)

    def test_watched(self) -> None:
        """The time is that of the settings: longer if thorough, and at least that of --idle."""
        for settings, seconds in (
            (CheckSettings(), WATCHED),
            (CheckSettings(isThorough=True), THOROUGH_WATCHED),
            (CheckSettings(idle=30), 30.0),
            (CheckSettings(idle=5), WATCHED),
        ):
            cost = Lifetimes().cost(context("127.0.0.1:7", Clock(), settings=settings))
            self.assertAlmostEqual(cost.seconds, seconds * 1.2 + 2, msg=str(settings))

    def test_skipped(self) -> None:
        """A quick examination, and one over UDP, has no such check."""
        check = Lifetimes()
        self.assertEqual(check.reasonToSkip(context("127.0.0.1:7", Clock())), "not with --quick")
        full = CheckSettings()
        self.assertEqual(
            check.reasonToSkip(context("udp://127.0.0.1:7", Clock(), settings=full)), "no stream"
        )
        self.assertEqual(check.reasonToSkip(context("127.0.0.1:7", Clock(), settings=full)), "")

    def test_keepalives(self) -> None:
        """Segments without payload that come in the silence are keepalives."""
        life = Life(Kind.SILENT, connection(evidenceOf(), "lifetimes"))
        self.assertEqual(life.keepalives, 0)
        life.silent = [sampled(segmentsIn=3, dataSegmentsIn=1), sampled(segmentsIn=5, dataSegmentsIn=1)]
        self.assertEqual(life.keepalives, 2)
        self.assertIn("the far end sends keepalives", str(Lives(1.0, [life])))
