"""The part of a fault that delays, changes or cuts the bytes of one direction of a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from echo_app.faults.draws import Draws
    from echo_app.faults.window import Window

# Seconds until another turn of the reactor. Pieces of ``chop`` without a gap have to be in different ones:
# a transport that gathers the writes of one turn would put them together again.
TURN = 1e-4


class Shaper:
    """Shapes one direction of a connection as a fault says; a subclass does it in the fault's stage.

    A flow calls ``change`` in the stage CHANGE, ``delay`` in DELAY, and the other three in RATE and SEGMENT.
    In STALL it asks for the window alone.

    :param fault: the fault.
    :param window: the times that it is on.
    :param draws: its random numbers.
    """

    def __init__(self, fault: Any, window: Window, draws: Draws) -> None:
        self.fault = fault
        self.window = window
        self.draws = draws

    def change(self, data: bytes, offset: int, now: float) -> bytes:
        """Returns the changed bytes, as many as these; they follow those of the last call.

        The window may begin between two of them: it is asked for each byte that changes.
        """
        raise NotImplementedError

    def delay(self, offset: int, now: float) -> float:
        """Returns the delay, in seconds, of bytes that come in together; the offset is the first one's."""
        raise NotImplementedError

    def most(self) -> int:
        """Returns the greatest size of the next piece."""
        raise NotImplementedError

    def earliest(self, size: int, floor: float) -> float:
        """Returns when a piece may pass that was ready at the time `floor`."""
        raise NotImplementedError

    def passed(self, size: int, at: float, now: float) -> None:
        """Notes that a piece has passed: when it was to, and when it did."""
        raise NotImplementedError
