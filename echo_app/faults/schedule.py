"""The times and offsets at which the endings of a connection begin.

An ending begins at once, after seconds, after bytes of its direction, or after silence. Those of messages
begin in the flow of messages instead. When the faults change, all of this counts from the change, and an
ending that has not begun is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from echo_app.faults.calls import Calls
from echo_app.faults.fault import EndingFault
from echo_app.faults.silence import watchSilence

if TYPE_CHECKING:
    from echo_app.faults.fault import Fault
    from echo_app.faults.layer import FaultLayer


class Schedule:
    """Begins the endings of one connection, those of one moment in the order of their stages.

    :param layer: the connection's layer.
    """

    def __init__(self, layer: FaultLayer) -> None:
        self._layer = layer
        self._endings: list[EndingFault] = []
        self._origins: Mapping[str, int] = {}
        self._calls = Calls(layer.clock)

    @property
    def atOnce(self) -> list[EndingFault]:
        """Returns the endings that begin at once."""
        return [
            each for each in self._endings if not (each.afterSeconds or each.afterBytes or each.afterIdle)
        ]

    def plan(self, faults: Iterable[Fault], origins: Mapping[str, int]) -> None:
        """Takes the endings among these faults, in place of those that have not begun.

        :param origins: the offset from which ``after`` counts, by direction.
        """
        self._calls.cancel()
        endings = [each for each in faults if isinstance(each, EndingFault) and not each.messageKey]
        self._endings = sorted(endings, key=lambda fault: fault.stage)
        self._origins = origins

    def edges(self, direction: str) -> list[int]:
        """Returns the offsets of a direction at which endings begin."""
        offsets = [each.afterBytes for each in self._endings if each.appliesIn(direction)]
        return [self._origins[direction] + each for each in offsets if each]

    def start(self) -> None:
        """Begins the endings that begin at once, and the times of others."""
        for fault in self._endings:
            if fault.afterSeconds:
                self._calls.later(fault.afterSeconds, partial(self._layer.begin, fault))
            elif fault.afterIdle:
                begin = partial(self._layer.begin, fault)
                watchSilence(self._layer, self._calls, fault.afterIdle, begin)
        for fault in self.atOnce:
            self._layer.begin(fault)

    def reached(self, direction: str, offset: int) -> None:
        """Begins the endings whose ``after`` is there."""
        for fault in self._endings:
            if (
                fault.afterBytes
                and fault.appliesIn(direction)
                and self._origins[direction] + fault.afterBytes == offset
            ):
                self._layer.begin(fault)

    def end(self) -> None:
        """Begins no ending any more."""
        self._calls.end()
