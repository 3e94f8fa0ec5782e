"""The faults that hold a stream back or change it, each by itself: what they say of the next bytes.

A :class:`Window` says when a fault is on. ``after`` in bytes counts those of its own direction; in seconds,
from the connection's beginning. ``for`` and ``every`` count from there: ``for=1s,every=5s`` is the first of
every five seconds.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from echo_app.faults.draws import Corruption, Draws, Sizes

if TYPE_CHECKING:
    from echo_app.faults.spec import Fault

# Seconds between two pieces that a bandwidth lets pass, where one byte does not take longer: a hundred
# timers a second cost nothing, and no peer takes pieces of 10 ms for a burst.
TICK = 0.01

# Seconds until another turn of the reactor. Pieces of ``chop`` without a gap have to be in different ones:
# a transport that gathers what is written in one would put them together again.
TURN = 1e-4


class Window:
    """When a fault is on.

    :param fault: the fault.
    :param began: when the connection did.

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
        """Returns when it will be on that is not yet; inf if it never will, or that is not up to time."""
        if self._since is None or (now >= self._since and self._period == inf):
            return inf
        return self._since if now < self._since else now - (now - self._since) % self._period + self._period

    def isOn(self, offset: int, now: float) -> bool:
        """Says whether it is on for the byte at this offset."""
        return self.over(offset, now) > now


class Valve:
    """A fault in one direction of one connection.

    :param fault: the fault.
    :param window: when it is on.
    :param draws: what it leaves to chance.
    """

    def __init__(self, fault: Fault, window: Window, draws: Draws) -> None:
        self.fault = fault
        self.window = window
        self.draws = draws


class Corrupt(Valve):
    """Replaces bytes by others."""

    def __init__(self, fault: Fault, window: Window, draws: Draws) -> None:
        super().__init__(fault, window, draws)
        self._corruption = Corruption(fault.amount, draws)

    def apply(self, data: bytes, offset: int, now: float) -> bytes:
        """Returns what becomes of the bytes; they follow those of the call before."""
        # Its time counts from here, and not from the first byte that is hit.
        self.window.isOn(offset + len(data) - 1, now)
        return self._corruption.apply(data, offset, lambda at: self.window.isOn(at, now))


class Latency(Valve):
    """Lets bytes come later."""

    def delay(self, offset: int, now: float) -> float:
        """Returns by how many seconds those that come in together do; the offset is the first one's."""
        if not self.window.isOn(offset, now):
            return 0
        jitter = self.fault.jitter
        return self.fault.amount + (jitter and jitter * (2 * self.draws.at(offset) - 1))


class Stall(Valve):
    """Lets nothing pass."""


class Pacing(Valve):
    """Says how much may pass, and when."""

    def most(self) -> int:
        """Returns the number of bytes of the next piece, at the most."""
        raise NotImplementedError

    def earliest(self, size: int, floor: float) -> float:
        """Returns when a piece may pass that was ready by then."""
        raise NotImplementedError

    def passed(self, size: int, at: float, now: float) -> None:
        """A piece has passed: when it was to, and when it did."""
        raise NotImplementedError


class Bandwidth(Pacing):
    """Lets bytes pass no faster than they come through a line of that rate.

    A piece passes when its last byte has come through, so that in no time since the line was idle more have
    passed than the rate allows.
    """

    def __init__(self, fault: Fault, window: Window, draws: Draws) -> None:
        super().__init__(fault, window, draws)
        self._free = -inf

    def most(self) -> int:
        """Returns the bytes of a tick."""
        return max(1, int(self.fault.amount * TICK))

    def earliest(self, size: int, floor: float) -> float:
        """Returns when the piece has come through."""
        return max(self._free, floor) + size / self.fault.amount

    def passed(self, size: int, at: float, now: float) -> None:
        """The line is free again."""
        self._free = at


class Chop(Pacing):
    """Cuts at offsets that were drawn, and keeps a gap between the pieces."""

    def __init__(self, fault: Fault, window: Window, draws: Draws) -> None:
        super().__init__(fault, window, draws)
        assert fault.sizes is not None
        self._sizes = Sizes(*fault.sizes, draws)
        self._rest = self._sizes.next()
        self._next = -inf

    def most(self) -> int:
        """Returns the number of bytes up to the next cut."""
        return self._rest

    def earliest(self, size: int, floor: float) -> float:
        """Returns when the gap is over."""
        return max(self._next, floor)

    def passed(self, size: int, at: float, now: float) -> None:
        """The gap begins, and perhaps the next piece."""
        self._rest = self._rest - size or self._sizes.next()
        self._next = now + max(self.fault.gap, TURN)
