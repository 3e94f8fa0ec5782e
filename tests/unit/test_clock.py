"""Clocks: a step of the calendar's moves nothing that waits."""

from __future__ import annotations

from typing import Any

from twisted.internet.base import ReactorBase
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from echo_app import clock as clocks
from echo_app.clock import makeMonotonic, monotonicClock


class Reactor(ReactorBase):
    """A reactor that makes calls, and nothing else.

    :ivar wall: its own clock.
    """

    def __init__(self) -> None:
        self.wall = Clock()
        self.wall.advance(1e9)
        self.seconds = self.wall.seconds
        super().__init__()

    def installWaker(self) -> None:
        """Is not woken up."""

    def removeAll(self) -> list[Any]:
        return []


class ClockTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.elapsed = Clock()
        self.patch(clocks, "monotonic", self.elapsed.seconds)
        self.reactor: Any = Reactor()
        self.made: list[str] = []

    def advance(self, seconds: float, step: float = 0) -> list[str]:
        """Lets time pass, with a step of the calendar's clock besides; returns the calls made until then."""
        self.elapsed.advance(seconds)
        self.reactor.wall.rightNow += seconds + step
        self.reactor.runUntilCurrent()
        return self.made


class MakeMonotonicTests(ClockTestCase):
    def test_steps(self) -> None:
        """Calls of the reactor come in their time, those that waited already too."""
        self.reactor.callLater(10, self.made.append, "before")
        makeMonotonic(self.reactor)
        self.reactor.callLater(20, self.made.append, "after")
        self.assertEqual(self.advance(9, step=3600), [])
        self.assertEqual(self.advance(1.5, step=-7200), ["before"])
        self.assertEqual(self.advance(10), ["before", "after"])

    def test_twice(self) -> None:
        """A second time changes nothing, and no reactor but Twisted's is touched."""
        makeMonotonic(self.reactor)
        self.reactor.callLater(10, self.made.append, "call")
        makeMonotonic(self.reactor)
        self.assertEqual(self.advance(10.5), ["call"])
        other = Clock()
        makeMonotonic(other)
        self.assertEqual(other.seconds, Clock.seconds.__get__(other))


class MonotonicClockTests(ClockTestCase):
    """On a reactor that belongs to somebody else."""

    def test_interfaces(self) -> None:
        """It is a reactor's time, and its calls are Twisted's."""
        clock = monotonicClock(self.reactor)
        verifyObject(IReactorTime, clock)
        verifyObject(IDelayedCall, clock.callLater(1, str))
        self.assertEqual(len(clock.getDelayedCalls()), 1)
        fake = Clock()
        self.assertIs(monotonicClock(fake), fake)

    def test_forward(self) -> None:
        """A step forward makes no call early."""
        clock = monotonicClock(self.reactor)
        clock.callLater(10, self.made.append, "call")
        self.assertEqual(self.advance(1, step=3600), [])
        self.assertEqual(self.advance(8.5, step=3600), [])
        self.assertEqual(self.advance(1), ["call"])
        self.assertEqual(clock.seconds(), 10.5)

    def test_cancelled(self) -> None:
        """A call is cancelled, moved and asked, as one of a reactor is."""
        clock = monotonicClock(self.reactor)
        cancelled, moved = (clock.callLater(10, self.made.append, name) for name in ("cancelled", "moved"))
        self.advance(1, step=3600)
        cancelled.cancel()
        self.assertEqual((cancelled.active(), moved.active()), (False, True))
        moved.delay(5)
        self.assertEqual(moved.getTime(), 15)
        self.assertEqual(self.advance(13), [])
        self.assertEqual(self.advance(1.5), ["moved"])
        self.assertFalse(moved.active())
        self.assertEqual(self.reactor.getDelayedCalls(), [])
