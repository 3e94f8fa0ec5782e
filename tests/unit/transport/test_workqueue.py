"""Work queue: order, slices, and what is added or removed meanwhile."""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from echo_app.transport.workqueue import PERIOD, SLICE, WorkQueue
from tests.support.fakes import TurnClock


class WorkQueueTests(SynchronousTestCase):
    """A queue under a clock that the work itself moves on."""

    def setUp(self) -> None:
        self.clock = TurnClock()
        self.queue = WorkQueue(self.clock)
        self.done: list[str] = []

    def work(self, name: str, seconds: float = 0.0) -> Callable[[], None]:
        """Returns work that takes so long."""

        def work() -> None:
            self.done.append(name)
            self.clock.rightNow += seconds

        return work

    def turn(self) -> list[str]:
        """Returns the work that one turn of the reactor does."""
        self.done.clear()
        self.clock.turn()
        return list(self.done)

    def test_order(self) -> None:
        """Work is done in its order, in a later turn, and not twice."""
        first = self.work("first")
        self.queue.add(first)
        self.queue.add(self.work("second"))
        self.queue.add(first)
        self.assertEqual((self.done, len(self.queue)), ([], 2))
        self.assertEqual(self.turn(), ["first", "second"])
        self.assertEqual((len(self.queue), self.clock.getDelayedCalls()), (0, []))

    def test_slices(self) -> None:
        """No work begins when a slice is over; the next turn has another slice."""
        for number in range(4):
            self.queue.add(self.work(str(number), SLICE / 2))
        self.assertEqual(self.turn(), ["0", "1"])
        self.assertEqual(self.turn(), ["2", "3"])

    def test_do(self) -> None:
        """Work is done at once, up to a slice in each period; the rest is done in turns, in its order."""
        for number in range(6):
            self.queue.do(self.work(str(number), SLICE / 2))
        self.assertEqual(self.done, ["0", "1"])
        self.clock.rightNow += PERIOD
        self.queue.do(self.work("6"))
        self.assertEqual(self.done, ["0", "1"])
        self.assertEqual(self.turn(), ["2", "3"])
        self.assertEqual(self.turn(), ["4", "5"])
        self.assertEqual(self.turn(), ["6"])
        self.clock.rightNow += PERIOD
        self.done.clear()
        self.queue.do(self.work("7"))
        self.assertEqual(self.done, ["7"])

    def test_doRaises(self) -> None:
        """The time of work that raises counts."""

        def fail() -> None:
            self.clock.rightNow += SLICE
            raise ArithmeticError

        self.assertRaises(ArithmeticError, self.queue.do, fail)
        self.queue.do(self.work("next"))
        self.assertEqual(self.done, [])
        self.assertEqual(self.turn(), ["next"])

    def test_addsItself(self) -> None:
        """Work that adds itself again has its next turn behind the others, and in another slice."""

        def again() -> None:
            self.done.append("again")
            self.queue.add(again)

        self.queue.add(again)
        self.queue.add(self.work("other"))
        self.assertEqual(self.turn(), ["again", "other"])
        self.assertEqual(self.turn(), ["again"])

    def test_remove(self) -> None:
        """Removed work is not done, and an empty queue has no call."""
        work = self.work("removed")
        self.queue.add(work)
        self.queue.remove(work)
        self.queue.remove(work)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.turn(), [])

    def test_removedMeanwhile(self) -> None:
        """Work may remove the work behind it."""
        last = self.work("last")
        self.queue.add(lambda: self.queue.remove(last))
        self.queue.add(last)
        self.assertEqual(self.turn(), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_raises(self) -> None:
        """Work that raises does not keep the work behind it from its turn."""

        def fail() -> None:
            raise ArithmeticError

        self.queue.add(fail)
        self.queue.add(self.work("next"))
        self.assertRaises(ArithmeticError, self.turn)
        self.assertEqual(self.turn(), ["next"])
