"""The times that a fault is on: its keys ``after``, ``for`` and ``every``.

``after`` in bytes counts those of the fault's direction; in seconds, from the beginning of the connection, or
from when the faults of datagrams or listeners were read. ``for`` and ``every`` count from there:
``for=1s,every=5s`` is the first of every five seconds.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from echo_app.faults.fault import Fault


class Window:
    """Says when a fault is on.

    :param fault: the fault.
    :param began: when its time begins, in seconds of the clock.

    :ivar start: the offset of the first byte that it may be on for.
    """

    __slots__ = ("_duration", "_period", "_since", "start")

    def __init__(self, fault: Fault, began: float) -> None:
        self.start = fault.afterBytes or 0
        self._since = None if self.start else began + (fault.afterSeconds or 0)
        self._duration = inf if fault.duration is None else fault.duration
        self._period = inf if fault.period is None else fault.period

    def over(self, offset: int, now: float) -> float:
        """Returns when it will be off, if it is on for the byte at this offset; -inf if it is off."""
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
        """Returns when it will be on next; inf if never, or if bytes decide that."""
        if self._since is None or (now >= self._since and self._period == inf):
            return inf
        return self._since if now < self._since else now - (now - self._since) % self._period + self._period

    def isOn(self, offset: int, now: float) -> bool:
        """Says whether it is on for the byte at this offset."""
        return self.over(offset, now) > now
