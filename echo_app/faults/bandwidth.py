"""The fault ``bandwidth``."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from echo_app.faults.fault import ShapingFault, Stage, value
from echo_app.faults.formats import RATE
from echo_app.faults.shaper import Shaper

# Seconds between two pieces, unless one byte takes longer: a hundred timers a second cost nothing, and to a
# peer, pieces of 10 ms are no burst.
TICK = 0.01


class _Rate(Shaper):
    """Passes bytes like a line of the fault's rate.

    A piece passes when the line has transmitted its last byte. So in no interval do more bytes pass than the
    rate allows.
    """

    fault: Bandwidth
    _free = -inf

    def most(self) -> int:
        """Returns the bytes that the line transmits in a tick."""
        return max(1, int(self.fault.amount * TICK))

    def earliest(self, size: int, floor: float) -> float:
        """Returns the time at which the line has transmitted the piece."""
        return max(self._free, floor) + size / self.fault.amount

    def passed(self, size: int, at: float, now: float) -> None:
        """Notes the time from which the line is free."""
        self._free = at


@dataclass(frozen=True, kw_only=True)
class Bandwidth(ShapingFault):
    """Limits the bytes to the given rate.

    :param amount: bytes a second.
    """

    name = "bandwidth"
    stage = Stage.RATE
    shaper = _Rate
    directions = ("in", "out")

    amount: float = value(RATE)
