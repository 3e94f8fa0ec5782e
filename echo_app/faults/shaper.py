"""The part of a fault that delays, changes or cuts the bytes of one direction of a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from echo_app.faults.draws import Draws
    from echo_app.faults.window import Window

# Seconds until another turn of the reactor. Pieces of ``chop`` without a gap must be in different turns: a
# transport may join the writes of one turn.
TURN = 1e-4


class Shaper:
    """Applies a fault to one direction of a connection; a subclass has the methods of the fault's stage.

    A flow calls ``change`` in the stage CHANGE, ``delay`` in DELAY, and the other three in RATE and SEGMENT.
    In STALL it uses only the window.

    :param fault: the fault.
    :param window: the times at which the fault is on.
    :param draws: the random numbers of the fault.
    """

    def __init__(self, fault: Any, window: Window, draws: Draws) -> None:
        self.fault = fault
        self.window = window
        self.draws = draws

    def change(self, data: bytes, offset: int, now: float) -> bytes:
        """Returns the changed bytes, the same number; they follow the bytes of the last call.

        The window may begin between two bytes, so each change asks it.
        """
        raise NotImplementedError

    def delay(self, offset: int, now: float) -> float:
        """Returns the delay, in seconds, of bytes that come in together, by the offset of the first one."""
        raise NotImplementedError

    def most(self) -> int:
        """Returns the greatest size of the next piece, in bytes."""
        raise NotImplementedError

    def earliest(self, size: int, floor: float) -> float:
        """Returns the earliest time at which a piece may pass that was ready at the time `floor`."""
        raise NotImplementedError

    def passed(self, size: int, at: float, now: float) -> None:
        """Notes that a piece has passed.

        :param at: the scheduled time.
        :param now: the actual time.
        """
        raise NotImplementedError
