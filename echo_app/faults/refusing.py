"""Connections that are refused for a while: the fault ``refuse``.

After an accept nobody sees ECONNREFUSED. So the listening sockets stop listening, while they stay bound,
and listen again. It is for all of a service at once, and so there is no number of a connection in it. The
time counts from :meth:`Refusing.begin`.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING

from echo_app.faults.valves import Window

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from echo_app.faults.spec import Fault
    from echo_app.service.listeners import Listeners

# Seconds between two steps, at the least: none of the times that a fault takes is shorter.
RESOLUTION = 0.001


class Refusing:
    """Suspends and resumes a service's listeners, as faults have it.

    :param clock: what time is.
    :param listeners: the listeners.
    """

    def __init__(self, clock: IReactorTime, listeners: Listeners) -> None:
        self._clock = clock
        self._listeners = listeners
        self._windows: list[Window] = []
        self._call: IDelayedCall | None = None

    def begin(self, faults: Iterable[Fault]) -> None:
        """Begins with these faults, or again with others; those that are no ``refuse`` are left out."""
        self._rest()
        now = self._clock.seconds()
        self._windows = [Window(fault, now) for fault in faults if fault.name == "refuse"]
        self._step()

    def end(self) -> None:
        """Leaves the listeners as they are."""
        self._rest()
        self._windows.clear()

    def _rest(self) -> None:
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
