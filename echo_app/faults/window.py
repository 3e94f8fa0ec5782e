"""The window of a fault, the times at which it is on: its keys ``after``, ``for`` and ``every``.

``after`` in bytes counts the bytes of the fault's direction. ``after`` in seconds counts from the beginning
of the connection; for datagrams and listeners, from the time when the faults were read. When the faults of an
open connection change, both count from the change. ``for`` and ``every`` count from the end of ``after``:
``for=1s,every=5s`` is the first of every five seconds.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from echo_app.faults.fault import Fault


class Window:
    """The times at which a fault is on.

    :param fault: the fault.
    :param began: the time from which the fault's seconds count, in seconds of the clock.
    :param origin: the offset from which the fault's bytes count.

    :ivar start: the offset of the first byte for which the fault may be on.
    """

    __slots__ = ("_duration", "_period", "_since", "start")

    def __init__(self, fault: Fault, began: float, origin: int = 0) -> None:
        self.start = origin + fault.afterBytes if fault.afterBytes else 0
        self._since = None if fault.afterBytes else began + (fault.afterSeconds or 0)
        self._duration = inf if fault.duration is None else fault.duration
        self._period = inf if fault.period is None else fault.period

    def over(self, offset: int, now: float) -> float:
        """Returns the time at which the fault goes off, if it is on for the byte at an offset; else -inf."""
        if offset < self.start:
            return -inf
        if self._since is None:
            self._since = now
        passed = now - self._since
        if passed < 0:
            return -inf
        passed %= self._period
        return now - passed + self._duration if passed < self._duration else -inf

    def next(self, now: float) -> float:
        """Returns the time at which the fault is on next; inf if never, or if bytes decide."""
        if self._since is None or (now >= self._since and self._period == inf):
            return inf
        return self._since if now < self._since else now - (now - self._since) % self._period + self._period

    def isOn(self, offset: int, now: float) -> bool:
        """Says whether the fault is on for the byte at an offset."""
        return self.over(offset, now) > now
