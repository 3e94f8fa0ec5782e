"""Clocks: a monotonic one for measurements and waits; the calendar's is only for people.

Twisted's reactors tell the time of the calendar (twisted #2424), which an operator or NTP may set while a
service runs. A step forward would end connections too soon, and a step back would hold up every wait.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer


def makeMonotonic(reactor: Any) -> None:
    """Gives a reactor of Twisted a monotonic clock, for the rest of the process; its calls go on waiting.

    Only the program that the reactor belongs to may do so: ``reactor.seconds()`` is no date afterwards.
    """
    if not _isTwisteds(reactor) or reactor.seconds is monotonic:
        return
    now = reactor.seconds()
    waiting: Any = reactor.getDelayedCalls()
    reactor.seconds = monotonic
    for call in waiting:
        left = max(0.0, call.getTime() - now)
        call.seconds = monotonic
        call.reset(left)


def monotonicClock(reactor: IReactorTime) -> IReactorTime:
    """Returns a monotonic clock on a reactor; anything but a reactor of Twisted is its own."""
    return MonotonicClock(reactor) if _isTwisteds(reactor) else reactor


def _isTwisteds(reactor: object) -> bool:
    # Where there is a reactor, this is imported already.
    from twisted.internet.base import ReactorBase

    return isinstance(reactor, ReactorBase)


@implementer(IReactorTime)
class MonotonicClock:
    """A monotonic clock on a reactor whose own may be set.

    A call is never early, since it looks at the clock when the reactor makes it. After a step back of the
    reactor's clock it is as late as the reactor: see :func:`makeMonotonic`.

    :param reactor: makes the calls.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def seconds(self) -> float:
        """Returns seconds since some moment."""
        return monotonic()

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kw: Any) -> IDelayedCall:
        """Calls a function after so many seconds, as ``IReactorTime`` does."""
        call: IDelayedCall
        if self._reactor.seconds is monotonic:
            call = self._reactor.callLater(delay, callable, *args, **kw)
        else:
            call = _MonotonicCall(self._reactor, delay, lambda: callable(*args, **kw))
        return call

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        """Returns the reactor's calls."""
        calls: Sequence[IDelayedCall] = self._reactor.getDelayedCalls()
        return calls


@implementer(IDelayedCall)
class _MonotonicCall:
    """A call that waits on, when the reactor makes it before its time.

    :param reactor: makes it.
    :param delay: seconds.
    """

    def __init__(self, reactor: Any, delay: float, function: Callable[[], object]) -> None:
        self._reactor = reactor
        self._function = function
        self._wait(delay)

    def _wait(self, delay: float) -> None:
        self._at = monotonic() + delay
        self._call = self._reactor.callLater(delay, self._run)

    def _run(self) -> None:
        left = self._at - monotonic()
        # A reactor that waits by whole milliseconds may be early by one.
        if left > 0.001:
            self._call = self._reactor.callLater(left, self._run)
        else:
            self._function()

    def cancel(self) -> None:
        """Cancels the call."""
        self._call.cancel()

    def active(self) -> bool:
        """Returns whether the call is still to come."""
        return bool(self._call.active())

    def getTime(self) -> float:
        """Returns when it is due, in seconds of the monotonic clock."""
        return self._at

    def delay(self, secondsLater: float) -> None:
        """Makes the call later by so many seconds."""
        self.reset(self._at - monotonic() + secondsLater)

    def reset(self, secondsFromNow: float) -> None:
        """Makes the call so many seconds from now."""
        self._call.cancel()
        self._wait(secondsFromNow)
