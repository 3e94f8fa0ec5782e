"""What a load measures of the server's process."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from benchmarks.loads import Rest, Usage


class RestTests(SynchronousTestCase):
    def test_share(self) -> None:
        """The share is that of the time after the server has settled, in % of a core."""
        clock = Clock()

        def usage() -> Usage:
            # 5 ms a second, after 500 ms a second in which the server settles.
            settling = min(clock.seconds(), 10)
            return Usage(round(5e8 * settling + 5e6 * (clock.seconds() - settling)), 0)

        self.assertAlmostEqual(Rest(10, 30).share(usage, clock.advance, clock.seconds), 0.5)

    def test_late(self) -> None:
        """The time that passed counts, not the time that was asked for."""
        clock = Clock()
        usage = lambda: Usage(round(1e9 * clock.seconds()), 0)  # noqa: E731
        share = Rest(10, 30).share(usage, lambda seconds: clock.advance(2 * seconds), clock.seconds)
        self.assertAlmostEqual(share, 100)
