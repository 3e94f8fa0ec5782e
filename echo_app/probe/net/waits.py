"""Bounded waits: stop waiting for an event after a given time."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

T = TypeVar("T")

# A time-out is this many steps. When this process, or its machine, stops for a while, one step is late and
# the others are still to come: its own pause is not taken for a silent peer.
STEPS = 10


class NothingCame(Exception):
    """A wait has timed out."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"timed out after {seconds:g} s")
        self.seconds = seconds


def within(clock: IReactorTime, seconds: float, waiting: Deferred[T]) -> Deferred[T]:
    """Cancels a Deferred after some seconds of running; returns it.

    It fails with :class:`NothingCame` then. When the caller cancels it, it fails with ``CancelledError``.
    """
    left = STEPS
    isLate = False
    timer: IDelayedCall

    def step() -> None:
        nonlocal left, isLate, timer
        left -= 1
        if left:
            timer = clock.callLater(seconds / STEPS, step)
        else:
            isLate = True
            waiting.cancel()

    def done(result: T | Failure) -> T | Failure:
        if timer.active():
            timer.cancel()
        if isLate and isinstance(result, Failure):
            return Failure(NothingCame(seconds))
        return result

    timer = clock.callLater(seconds / STEPS, step)
    return waiting.addBoth(done)


def pause(clock: IReactorTime, seconds: float) -> Deferred[None]:
    """Returns a Deferred that fires after some seconds; cancelling it ends the pause."""
    waiting: Deferred[None] = Deferred(lambda each: timer.cancel())
    timer = clock.callLater(seconds, waiting.callback, None)
    return waiting


async def together(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Runs coroutines at the same time; returns their results, in order.

    The first exception is raised, and the other coroutines are cancelled.
    """
    waiting = [Deferred.fromCoroutine(work) for work in works]
    try:
        return await gatherResults(waiting)
    except FirstError as error:
        error.subFailure.raiseException()
    finally:
        for each in waiting:
            each.addErrback(lambda failure: None).cancel()
