"""The fault ``chop``."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from echo_app.faults.draws import Draws, Sizes
from echo_app.faults.fault import ShapingFault, Stage, key, value
from echo_app.faults.formats import PIECES, TIME
from echo_app.faults.shaper import TURN, Shaper
from echo_app.faults.window import Window


class _Cuts(Shaper):
    """Cuts the stream at random offsets, and keeps the gap between the pieces."""

    def __init__(self, fault: Chop, window: Window, draws: Draws) -> None:
        super().__init__(fault, window, draws)
        self._gap = max(fault.gap, TURN)
        self._sizes = Sizes(*fault.sizes, draws)
        self._rest = self._sizes.next()
        self._next = -inf

    def most(self) -> int:
        """Returns the number of bytes up to the next cut."""
        return self._rest

    def earliest(self, size: int, floor: float) -> float:
        """Returns the time at which the gap is over."""
        return max(self._next, floor)

    def passed(self, size: int, at: float, now: float) -> None:
        """Begins the gap, and the next piece after a cut."""
        self._rest = self._rest - size or self._sizes.next()
        self._next = now + self._gap


@dataclass(frozen=True, kw_only=True)
class Chop(ShapingFault):
    """Cuts the stream into pieces with sizes drawn from the given range.

    :param sizes: bytes in a piece, from and to.
    :param gap: seconds between two pieces.
    """

    name = "chop"
    stage = Stage.SEGMENT
    shaper = _Cuts

    sizes: tuple[int, int] = value(PIECES)
    gap: float = key("gap", TIME, 0)
