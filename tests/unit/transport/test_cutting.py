"""A cut: input that has arrived is read before a connection is ended."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.transport import cutting
from echo_app.transport.cutting import GRACE, CutTimer
from echo_app.transport.sockets import Progress


class CutTimerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.progress: Progress | None = Progress(0, 0, 0, 0)
        self.patch(cutting, "progressOf", lambda transport: self.progress)
        self.cuts: list[float] = []
        self.timer = CutTimer(self.clock, 10, object(), lambda: self.cuts.append(self.clock.seconds()))

    def test_silent(self) -> None:
        """A peer that has sent nothing is cut in time, and so is one without a socket."""
        self.clock.advance(10)
        self.assertEqual(self.cuts, [10])
        self.progress = None
        CutTimer(self.clock, 10, object(), lambda: self.cuts.append(0))
        self.clock.advance(10)
        self.assertEqual(self.cuts, [10, 0])

    def test_unread(self) -> None:
        """Input that is not read yet defers the cut once."""
        self.progress = Progress(5, 0, 0, 5)
        self.clock.advance(10)
        self.assertEqual(self.cuts, [])
        self.clock.advance(GRACE)
        self.assertEqual(self.cuts, [10 + GRACE])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cancelled(self) -> None:
        """A timer is cancelled before it looks, and after."""
        self.progress = Progress(5, 0, 0, 5)
        self.clock.advance(10)
        for _ in range(2):
            self.timer.cancel()
        self.clock.advance(10)
        self.assertEqual(self.cuts, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
