"""Round trips of several sizes, on paths whose time is a Clock's."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.checks.evidence import CheckSettings
from echo_app.probe.checks.times import (
    ANY_COUNT,
    CONNECTIONS,
    LARGE,
    LINE_PAIRS,
    LONG,
    LONG_INTERVAL,
    RESTING,
    RESTS,
    ROUNDS,
    SEGMENT,
    SIZES,
    SMALL,
    Times,
    TimesCheck,
)
from tests.support import paths
from tests.support.paths import PathContext, StreamPath

GOOD = StreamPath(late=0.01)


class TimesTests(SynchronousTestCase):
    def look(
        self, path: Any, settings: CheckSettings = CheckSettings(), lateness: Any = ()
    ) -> tuple[Times, PathContext]:
        """Runs the check over a path; returns what it saw, and the context."""
        clock = Clock()
        given: Any = PathContext(clock, path, settings, "times")
        given.evidence.lateness.extend(lateness)
        check = TimesCheck()
        seen = check.begin()
        paths.result(clock, check.run(given, seen), step=0.01)
        self.assertTrue(all(stream.isClosed for stream in given.streams))
        return seen, given

    def test_good(self) -> None:
        """On each of nine connections, the first answer, four trips of each size, and the end are timed."""
        seen, _ = self.look(GOOD)
        self.assertEqual(len(seen.connections), CONNECTIONS)
        for each in seen.connections:
            self.assertAlmostEqual(each.first or 0, 0.01)
            self.assertAlmostEqual(each.end or 0, 0.01)
            self.assertAlmostEqual(each.small or 0, 0.01)
            for size in SIZES:
                self.assertEqual((len(each.trips[size]), len(each.net[size])), (ROUNDS, ROUNDS))
        self.assertRegex(
            str(seen),
            r"^medians: first answer 10.00? ms, 1 B 10.00? ms, 1.4 KiB 10.00? ms, 64 KiB 10.00? ms, "
            r"after a rest 10.00? ms, FIN to end 10.00? ms$",
        )
        self.assertEqual([len(each.rested) for each in seen.connections], [RESTS] * RESTING + [0] * 5)

    def test_first(self) -> None:
        """The first answer is no trip."""
        seen, _ = self.look(StreamPath(late=0.01, first=0.3))
        for each in seen.connections:
            self.assertApproximates(each.first or 0, 0.31, 0.02)
            self.assertAlmostEqual(max(each.trips[SMALL]), 0.01)

    def test_unequal(self) -> None:
        """Each connection has times of its own, in the order of their begins."""
        seen, _ = self.look(lambda number: StreamPath(late=0.2 if number % 3 == 2 else 0.01))
        slow = [(each.small or 0) > 0.1 for each in seen.connections]
        self.assertEqual(slow, [False, False, True] * 3)

    def test_noEnd(self) -> None:
        """An end that does not come has no time, and is recorded as a silence."""
        seen, given = self.look(lambda number: StreamPath(late=0.01, hasEnd=number > 0))
        self.assertIsNone(seen.connections[0].end)
        self.assertGreater(given.evidence.connections[0].silence, 0)
        self.assertIsNotNone(seen.connections[1].end)

    def test_short(self) -> None:
        """A connection that ends in the midst keeps the trips until then."""
        seen, _ = self.look(StreamPath(late=0.01, bytes=2 * (SMALL + SEGMENT + LARGE)))
        for each in seen.connections:
            self.assertEqual([len(each.trips[size]) for size in SIZES], [2, 2, 1])
            self.assertIsNone(each.end)

    def test_atAnyTime(self) -> None:
        """Where answers are slow, messages are sent after pauses by chance; on a good path none is."""
        self.assertEqual(self.look(GOOD)[0].atAnyTime, [])
        seen, given = self.look(StreamPath(late=0.05))
        self.assertEqual((len(seen.atAnyTime), len(given.streams)), (ANY_COUNT, CONNECTIONS + 2))
        pauses = [at - came for (_, came), (at, _) in pairwise(seen.atAnyTime)]
        self.assertGreater(len({round(each, 2) for each in pauses}), 5)
        self.assertLess(max(pauses), 0.12)

    def test_lines(self) -> None:
        """Where answers are slow, letters are sent with a newline at the end and without."""
        self.assertEqual(self.look(GOOD)[0].lines, [])
        self.assertEqual(len(self.look(StreamPath(late=0.05))[0].lines), LINE_PAIRS)

    def test_budget(self) -> None:
        """On a slow path there are three connections."""
        seen, _ = self.look(StreamPath(late=1.0))
        self.assertEqual(len(seen.connections), 3)
        self.assertLess(len(seen.atAnyTime), 9)

    def test_late(self) -> None:
        """The lateness of this process is subtracted; a trip of which it is half or more is left out."""
        # Trips of the first connection begin 0.01 s apart, from 0.01 s on; a small one is every third.
        for late, net in ((0.004, [0.006, 0.01, 0.01, 0.01]), (0.005, [0.01, 0.01, 0.01])):
            seen, _ = self.look(GOOD, lateness=[(0.018, late)])
            first = seen.connections[0]
            self.assertEqual(len(first.trips[SMALL]), ROUNDS)
            self.assertEqual([round(each, 6) for each in first.net[SMALL]], net)

    def test_pings(self) -> None:
        """A thorough examination pings for a minute, and notes the moments."""
        seen, given = self.look(GOOD, CheckSettings(isThorough=True))
        self.assertEqual(len(given.streams), CONNECTIONS + 1)
        self.assertApproximates(len(seen.pings), LONG / (LONG_INTERVAL + 0.01), 150)
        moments = [at for at, _ in seen.pings]
        self.assertGreater(moments[-1] - moments[0], LONG - 1)
        self.assertIn(f"{len(seen.pings)} pings, max 10.0 ms", str(seen))

    def test_data(self) -> None:
        """The times are numbers for JSON."""
        seen, _ = self.look(GOOD)
        data: Any = seen.data()
        self.assertEqual(len(data["connections"][0]["trips"]["1"]), ROUNDS)
        self.assertEqual(str(Times()), "no answer")

    def test_cost(self) -> None:
        """The check spends no more than it announces."""
        for settings in (CheckSettings(), CheckSettings(isThorough=True)):
            _, given = self.look(StreamPath(late=0.001), settings)
            context: Any = given
            cost = TimesCheck().cost(context)
            self.assertLessEqual(len(given.streams), cost.connections)
            self.assertLessEqual(sum(each.sent for each in given.evidence.connections), cost.bytes)
