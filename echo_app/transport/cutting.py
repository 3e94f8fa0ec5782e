"""Cutting: the end of a connection whose time is over, unless its input has arrived and is not read yet.

A process that was stopped or suspended, or a turn of the reactor that took long, finds its time-outs due
before it has read its sockets. So a connection with input in the kernel's queue gets one more second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from echo_app.transport.sockets import progressOf

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

# Seconds that input in the kernel's queue defers a cut, once: a turn of the reactor reads every socket.
GRACE = 1.0


class CutTimer:
    """Calls a function after so many seconds, unless it is cancelled before.

    :param clock: counts the time.
    :param seconds: the time.
    :param transport: the connection that the function ends.
    """

    __slots__ = ("_call", "_clock", "_function", "_transport")

    def __init__(
        self, clock: IReactorTime, seconds: float, transport: object, function: Callable[[], object]
    ) -> None:
        self._clock = clock
        self._transport = transport
        self._function = function
        self._call: IDelayedCall | None = clock.callLater(seconds, self._look)

    def active(self) -> bool:
        """Returns whether the call is still to come."""
        return self._call is not None

    def cancel(self) -> None:
        """Forgets the call; a second time is harmless."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def _look(self) -> None:
        progress = progressOf(self._transport)
        if progress is not None and progress.unread:
            self._call = self._clock.callLater(GRACE, self._cut)
        else:
            self._cut()

    def _cut(self) -> None:
        self._call = None
        self._function()
