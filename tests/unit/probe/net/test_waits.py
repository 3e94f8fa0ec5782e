"""Time-outs that a pause of this machine does not use up."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.net.waits import STEPS, NothingCame, pause, within


class WithinTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.waiting: Deferred[str] = Deferred()
        self.result = within(self.clock, 10, self.waiting)

    def test_inTime(self) -> None:
        """A value that comes in time is the result, and no timer is left."""
        self.clock.pump([1] * 9)
        self.waiting.callback("came")
        self.assertEqual(self.successResultOf(self.result), "came")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_tooLate(self) -> None:
        """A value that does not come is cancelled, with an error that has the time."""
        self.clock.pump([1] * 10)
        error = self.failureResultOf(self.result, NothingCame).value
        self.assertEqual((error.seconds, str(error)), (10, "timed out after 10 s"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_pauseOfTheMachine(self) -> None:
        """A machine that stops for an hour takes one step of the time-out, and not all of it."""
        self.clock.advance(3600)
        self.assertNoResult(self.result)
        self.clock.pump([1] * (STEPS - 2))
        self.assertNoResult(self.result)
        self.clock.advance(1)
        self.failureResultOf(self.result, NothingCame)

    def test_cancelled(self) -> None:
        """A cancellation by the caller fails as such."""
        self.result.cancel()
        self.failureResultOf(self.result, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_failure(self) -> None:
        """Another failure passes through."""
        self.waiting.errback(ZeroDivisionError())
        self.failureResultOf(self.result, ZeroDivisionError)


class PauseTests(SynchronousTestCase):
    def test_ends(self) -> None:
        """A pause ends after its time."""
        clock = Clock()
        waiting = pause(clock, 2)
        clock.advance(1)
        self.assertNoResult(waiting)
        clock.advance(1)
        self.assertIsNone(self.successResultOf(waiting))

    def test_cancelled(self) -> None:
        """Cancelling it leaves no timer."""
        clock = Clock()
        waiting = pause(clock, 2)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(clock.getDelayedCalls(), [])
