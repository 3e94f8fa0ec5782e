"""The fault ``refuse``: the listening sockets stop listening for a while, and stay bound.

The kernel can refuse only a connection that it has not accepted. So the fault applies to all listeners of a
service at once, and not to numbers of connections. Its time counts from :meth:`ListenerSuspension.begin`.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING

from echo_app.faults.fault import TIMED, Fault, Stage
from echo_app.faults.window import Window

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from echo_app.service.listeners import Listeners

# The least number of seconds between two steps: the shortest time that a fault takes.
RESOLUTION = 0.001


class Refuse(Fault):
    """Refuses connections to TCP listeners."""

    name = "refuse"
    stage = Stage.LISTEN
    takes = TIMED


class ListenerSuspension:
    """Suspends and resumes a service's listeners by the windows of ``refuse``.

    :param clock: measures the windows.
    :param listeners: the listeners.
    """

    def __init__(self, clock: IReactorTime, listeners: Listeners) -> None:
        self._clock = clock
        self._listeners = listeners
        self._windows: list[Window] = []
        self._call: IDelayedCall | None = None

    def begin(self, faults: Iterable[Fault]) -> None:
        """Applies the ``refuse`` faults among these, in place of earlier ones; their time begins now."""
        self._cancel()
        now = self._clock.seconds()
        self._windows = [Window(fault, now) for fault in faults if isinstance(fault, Refuse)]
        self._step()

    def end(self) -> None:
        """Stops suspending and resuming; the listeners stay as they are."""
        self._cancel()
        self._windows.clear()

    def _cancel(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def _step(self) -> None:
        self._call = None
        now = self._clock.seconds()
        over = max((window.over(0, now) for window in self._windows), default=-inf)
        if over > now:
            self._listeners.suspend()
            at = over
        else:
            self._listeners.resume()
            at = min((window.next(now) for window in self._windows), default=inf)
        if at < inf:
            self._call = self._clock.callLater(max(RESOLUTION, at - now), self._step)
