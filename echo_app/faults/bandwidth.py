"""The fault ``bandwidth``."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from echo_app.faults.fault import ShapingFault, Stage, value
from echo_app.faults.formats import RATE
from echo_app.faults.shaper import Shaper

# Seconds between two pieces, where one byte does not take longer: a hundred timers a second cost nothing,
# and no peer takes pieces of 10 ms for a burst.
TICK = 0.01


class _Rate(Shaper):
    """Passes bytes as a line of that rate.

    A piece passes when its last byte has come through, so that in no time since the line was idle more have
    passed than the rate allows.
    """

    fault: Bandwidth
    _free = -inf

    def most(self) -> int:
        """Returns the bytes of a tick."""
        return max(1, int(self.fault.amount * TICK))

    def earliest(self, size: int, floor: float) -> float:
        """Returns when the piece has come through."""
        return max(self._free, floor) + size / self.fault.amount

    def passed(self, size: int, at: float, now: float) -> None:
        """Notes that the line is free again."""
        self._free = at


@dataclass(frozen=True, kw_only=True)
class Bandwidth(ShapingFault):
    """Passes no more bytes a second than that.

    :param amount: bytes a second.
    """

    name = "bandwidth"
    stage = Stage.RATE
    shaper = _Rate
    directions = ("in", "out")

    amount: float = value(RATE)
