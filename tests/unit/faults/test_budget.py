"""The budget of faults: work in slices, in its order, and the rest of the time is everybody else's."""

from __future__ import annotations

from functools import partial

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from echo_app.faults.budget import PERIOD, SLICE, Budget


class BudgetTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.budget = Budget(self.clock)
        self.done: list[str] = []

    def work(self, name: str, seconds: float = 0.0) -> None:
        """Does work that takes some time."""
        self.clock.rightNow += seconds
        self.done.append(name)

    def test_interfaces(self) -> None:
        """It is a clock, with calls like any other's."""
        verifyObject(IReactorTime, self.budget)
        verifyObject(IDelayedCall, self.budget.callLater(1, str))
        self.assertEqual(len(self.budget.getDelayedCalls()), 1)

    def test_cheap(self) -> None:
        """Work that takes no time is done at once, and calls come in their time."""
        for number in range(1000):
            self.budget.do(partial(self.work, str(number)))
        self.assertEqual(len(self.done), 1000)
        self.budget.callLater(5, self.work, "later")
        self.clock.advance(5)
        self.assertEqual(self.done[-1], "later")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_slices(self) -> None:
        """Of expensive work a slice is done in each period; the rest waits, in its order."""
        for number in range(4):
            self.budget.do(partial(self.work, str(number), SLICE))
        self.assertEqual(self.done, ["0"])
        times = []
        while len(self.done) < 4:
            self.clock.advance(PERIOD / 8)
            times.append(self.clock.seconds())
        self.assertEqual(self.done, ["0", "1", "2", "3"])
        self.assertGreaterEqual(times[-1], 3 * PERIOD)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_own(self) -> None:
        """Work that makes more work does not go on by itself: the clock's other calls come between."""

        def forever() -> None:
            self.work("again", SLICE / 4)
            self.budget.do(forever)

        self.budget.do(forever)
        self.assertEqual(self.done, ["again"])
        self.clock.callLater(0, self.work, "other")
        self.clock.advance(0)
        self.assertIn("other", self.done)
        self.assertLess(len(self.done), 8)

    def test_cancelled(self) -> None:
        """A call is cancelled before its time, and while it waits for its turn."""
        early = self.budget.callLater(5, self.work, "early")
        early.cancel()
        self.budget.callLater(1, self.work, "first", 1.5 * SLICE)
        waiting = self.budget.callLater(0.5, self.work, "waiting")
        waiting.reset(1.001)
        self.clock.advance(1)
        self.assertTrue(waiting.active())
        waiting.cancel()
        self.clock.advance(10)
        self.assertEqual(self.done, ["first"])
        self.assertEqual((early.active(), waiting.active()), (False, False))

    def test_fails(self) -> None:
        """Work that fails holds up nothing."""

        def fail() -> None:
            self.work("failing", SLICE)
            raise ArithmeticError

        self.assertRaises(ArithmeticError, self.budget.do, fail)
        self.budget.do(lambda: self.work("next"))
        self.clock.advance(PERIOD)
        self.assertEqual(self.done, ["failing", "next"])
