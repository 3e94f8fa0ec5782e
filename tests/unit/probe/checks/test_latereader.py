"""A reader that is late, on paths whose time is a Clock's; and the curves that it notes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks import latereader
from echo_app.probe.checks.evidence import CheckSettings
from echo_app.probe.checks.identity import Sizes
from echo_app.probe.checks.latereader import (
    LATE,
    LIMIT,
    PIECE,
    QUICK_LATE,
    STALL,
    THOROUGH_LATE,
    Filling,
    LateReader,
    fillLimit,
    lateness,
    slopeOf,
)
from tests.support import paths
from tests.support.evidence import evidenceOf, sampled
from tests.support.paths import RESET, PathContext, StreamPath

MIB = 1 << 20


class FillTests(SynchronousTestCase):
    def look(
        self,
        path: StreamPath,
        rate: float = 0.0,
        acked: Callable[[float], int] | None = None,
        settings: CheckSettings = CheckSettings(),
    ) -> tuple[Filling, Clock]:
        """Runs the check over a path; returns what it saw, and the clock.

        :param rate: bytes a second of ``identity``.
        :param acked: the bytes that the far end has acknowledged, by the clock's seconds.
        """
        clock = Clock()
        given: Any = PathContext(clock, path, settings, "late-reader")
        if rate:
            given.evidence.observations["identity"] = Sizes(batches=[(0, int(rate), 1.0)])
        if acked is not None:
            count = acked
            sample = lambda sock: sampled(bytesAcked=count(clock.seconds()))  # noqa: E731
            self.patch(latereader, "sampleOf", sample)
        check = LateReader()
        seen = check.begin()
        paths.result(clock, check.run(given, seen), step=0.05)
        self.assertTrue(all(stream.isClosed for stream in given.streams))
        return seen, clock

    def test_pushBack(self) -> None:
        """The path is full when nothing is taken for two seconds; the reader is six seconds later."""
        seen, _ = self.look(StreamPath(room=MIB, late=0.01))
        self.assertTrue(seen.isPushedBack)
        self.assertEqual(seen.swallowed, MIB)
        self.assertEqual(str(seen), "push-back after 1 MiB, 0 B of it in this kernel; whole")
        self.assertGreaterEqual(seen.back[0][0] - seen.out[-1][0], STALL + LATE)
        self.assertEqual(seen.back[0][1], 0)
        assert seen.record is not None
        self.assertEqual(seen.back[-1][1], seen.record.came)

    def test_acknowledged(self) -> None:
        """A far end that still acknowledges is not full, although this kernel takes no more."""
        seen, _ = self.look(StreamPath(room=MIB), acked=lambda now: int(min(now, 9.0) * 100_000))
        self.assertTrue(seen.isPushedBack)
        self.assertGreaterEqual(seen.out[-1][0], 8.5)
        rate = slopeOf(seen.out)
        assert rate is not None
        self.assertApproximates(rate, 100_000, 5000)

    def test_roundTrips(self) -> None:
        """On a far path, three round trips must pass without an acknowledged byte."""
        self.patch(latereader, "sampleOf", lambda sock: None)
        quick = CheckSettings(isQuick=True)
        near, _ = self.look(StreamPath(room=MIB), settings=quick)
        counts: Any = {"minRTT": 0.8}
        self.patch(latereader, "sampleOf", lambda sock: sampled(**counts))
        far, _ = self.look(StreamPath(room=MIB), settings=quick)
        waits = [seen.back[0][0] - seen.out[-1][0] for seen in (near, far)]
        self.assertApproximates(waits[0], 0.5 + QUICK_LATE, 0.3)
        self.assertApproximates(waits[1], 3 * 0.8 + QUICK_LATE, 0.3)

    def test_noBound(self) -> None:
        """A path that takes everything is filled with as much as comes back in half a minute."""
        seen, _ = self.look(StreamPath(), rate=PIECE / 10)
        self.assertFalse(seen.isPushedBack)
        self.assertEqual(seen.swallowed, 3 * PIECE)
        self.assertEqual(str(seen), "no push-back within 768 KiB and 20 s; whole")

    def test_slow(self) -> None:
        """A path that takes a little all the time is filled for twenty seconds."""
        seen, _ = self.look(StreamPath(room=MIB), acked=lambda now: int(now * 1000))
        self.assertFalse(seen.isPushedBack)
        self.assertApproximates(seen.out[-1][0] - seen.out[0][0], 20.0, 1.0)

    def test_cut(self) -> None:
        """A connection that is cut off while it is filled is not waited for."""
        seen, clock = self.look(StreamPath(room=MIB, age=1.0, end=RESET))
        assert seen.record is not None
        self.assertIs(seen.record.end, RESET)
        self.assertLess(clock.seconds(), LATE)

    def test_idle(self) -> None:
        """One that is dropped while the reader is late brings what had come before."""
        seen, _ = self.look(StreamPath(room=MIB, idle=3.0, end=RESET))
        assert seen.record is not None
        self.assertTrue(seen.record.isShort)
        self.assertTrue(str(seen).endswith("then reset"), str(seen))

    def test_hanging(self) -> None:
        """A path that hangs is waited for by as many seconds more as nothing was read, in whole seconds."""
        seen, _ = self.look(StreamPath(bytes=1000, end=None), rate=PIECE / 10)
        self.assertRegex(str(seen), r"1000 of \d+ B came back, then timed out after 16 s$")


class LimitTests(SynchronousTestCase):
    def test_limit(self) -> None:
        """As many bytes as come back in half a minute, one piece at least, and no more than asked for."""
        for rate, limit in ((1e3, PIECE), (1e6, 30_000_000), (1e9, LIMIT)):
            evidence = evidenceOf(identity=Sizes(batches=[(0, int(rate), 1.0)]))
            self.assertEqual(fillLimit(evidence, LIMIT), limit, rate)
        self.assertEqual(fillLimit(evidenceOf(), LIMIT), LIMIT)
        self.assertEqual(fillLimit(evidenceOf(identity=Sizes()), LIMIT), LIMIT)

    def test_lateness(self) -> None:
        """The reader is later the longer an examination may take."""
        for settings, seconds in (
            (CheckSettings(isQuick=True), QUICK_LATE),
            (CheckSettings(), LATE),
            (CheckSettings(isThorough=True), THOROUGH_LATE),
        ):
            self.assertEqual(lateness(settings), seconds)


class SlopeTests(SynchronousTestCase):
    def test_slope(self) -> None:
        """The bytes a second of a curve, and of its halves."""
        curve = [(5 + n * 0.25, n * 250 if n <= 4 else 1000 + (n - 4) * 500) for n in range(9)]
        self.assertEqual(slopeOf(curve), 1500)
        self.assertEqual((slopeOf(curve, 0, 0.5), slopeOf(curve, 0.5, 1)), (1000, 2000))

    def test_short(self) -> None:
        """Less than five points, or half a second of a part, tell nothing."""
        curve = [(n * 0.25, n) for n in range(5)]
        self.assertIsNone(slopeOf(curve[:4]))
        self.assertEqual(slopeOf(curve), 4)
        self.assertEqual(slopeOf(curve, 0, 0.5), 4)
        self.assertIsNone(slopeOf(curve, 0, 0.4))
        self.assertIsNone(slopeOf([]))
