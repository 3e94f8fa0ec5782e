"""Delayed calls of a connection, which are cancelled together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Calls:
    """Makes delayed calls, and cancels those that are still to come.

    :param clock: makes the calls.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._calls: list[IDelayedCall] = []
        self._isOver = False

    def later(self, seconds: float, function: Callable[[], object]) -> None:
        """Calls a function after these seconds, unless the calls have ended, or end before."""
        if self._isOver:
            return

        def run() -> None:
            self._calls.remove(call)
            function()

        call = self._clock.callLater(seconds, run)
        self._calls.append(call)

    def cancel(self) -> None:
        """Cancels the calls that are still to come."""
        for call in self._calls:
            call.cancel()
        self._calls.clear()

    def end(self) -> None:
        """Cancels the calls that are still to come, and makes none any more."""
        self._isOver = True
        self.cancel()
