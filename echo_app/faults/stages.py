"""The stages of a flow: its shapers, by the order in which bytes and the end of the stream pass them."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf
from typing import TYPE_CHECKING

from echo_app.faults.fault import Stage

if TYPE_CHECKING:
    from echo_app.faults.shaping import Shaper

# The stages of a flow, in their order.
STAGES = (Stage.CHANGE, Stage.DELAY, Stage.STALL, Stage.RATE, Stage.SEGMENT, Stage.END)

# Bytes of a piece, as of one read of the direct path: the receiver may pause between two.
MAX_PIECE = 128 * 1024


class Stages:
    """Asks the shapers of one direction, by stage.

    :param shapers: apply the faults.

    :ivar isEmpty: there are no shapers.
    :ivar edges: the offsets at which a shaper begins; no piece may reach over them.
    :ivar hasChanges: some shapers change bytes.
    :ivar hasSmallPieces: the pieces may be small.
    """

    def __init__(self, shapers: Iterable[Shaper] = ()) -> None:
        shapers = tuple(shapers)
        self.isEmpty = not shapers
        self._changes, self._delays, self._stalls, self._rates, self._segments, self._ends = (
            [each for each in shapers if each.fault.stage is stage] for stage in STAGES
        )
        self.edges = {each.window.start for each in shapers} - {0}
        self.hasChanges = bool(self._changes)
        self.hasSmallPieces = bool(self._segments or self._rates)
        self._delayEdges = sorted({each.window.start for each in self._delays} - {0})

    def change(self, data: bytes, offset: int, now: float) -> bytes:
        """Returns the changed bytes, which begin at an offset."""
        for shaper in self._changes:
            # The window's time begins with the first byte of its ``after``, and not with a changed one.
            shaper.window.isOn(offset + len(data) - 1, now)
            data = shaper.change(data, offset, now)
        return data

    def upToDelayEdge(self, offset: int, end: int) -> int:
        """Returns the end of the bytes from an offset on that have one delay; `end` is the most."""
        while self._delayEdges and self._delayEdges[0] <= offset:
            self._delayEdges.pop(0)
        return min(end, self._delayEdges[0]) if self._delayEdges else end

    def delay(self, offset: int, now: float) -> float:
        """Returns the delay of the bytes that come in at an offset, or of the end there."""
        return sum(each.delay(offset, now) for each in self._delays)

    def stalledUntil(self, offset: int, now: float) -> float:
        """Returns the time until which the byte at an offset is stalled; -inf if it is not."""
        return max((each.window.over(offset, now) for each in self._stalls), default=-inf)

    def piece(self, size: int, offset: int, floor: float, now: float) -> tuple[int, float, list[Shaper]]:
        """Returns the size of the next piece, at most this one, its time, and the shapers to tell of it.

        :param floor: the time from which these bytes are ready.
        """
        for each in self._ends:
            # As above: the time of its window begins with a byte.
            each.window.isOn(offset, now)
        rates = [each for each in self._rates if each.window.isOn(offset, now)]
        segments = [each for each in self._segments if each.window.isOn(offset, now)]
        on = [*rates, *segments]
        # A piece that ends at a cut waits for its last byte.
        limits = [each.most() for each in segments or rates]
        size = min(size, *(limits if segments else [MAX_PIECE, *limits]))
        return size, max((each.earliest(size, floor) for each in on), default=floor), on

    def endDelay(self, offset: int, now: float) -> float:
        """Returns the delay of the end of the stream, when all bytes before it have passed."""
        return sum(each.delay(offset, now) for each in self._ends)
