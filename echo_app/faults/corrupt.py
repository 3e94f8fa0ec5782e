"""The fault ``corrupt``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from echo_app.faults.draws import Corruption, Draws
from echo_app.faults.fault import DatagramFault, ShapingFault, Stage, value
from echo_app.faults.formats import PROBABILITY
from echo_app.faults.shaper import Shaper
from echo_app.faults.window import Window

if TYPE_CHECKING:
    from echo_app.faults.datagrams import Answer


class _Replacement(Shaper):
    """Replaces bytes while the fault is on."""

    def __init__(self, fault: Corrupt, window: Window, draws: Draws) -> None:
        super().__init__(fault, window, draws)
        self._corruption = Corruption(fault.amount, draws)

    def change(self, data: bytes, offset: int, now: float) -> bytes:
        """Returns the corrupted bytes."""
        # This call starts the window's time, which would else start at the first corrupt byte.
        self.window.isOn(offset + len(data) - 1, now)
        return self._corruption.apply(data, offset, lambda at: self.window.isOn(at, now))


@dataclass(frozen=True, kw_only=True)
class Corrupt(ShapingFault, DatagramFault):
    """Replaces each byte by another one, with the given probability.

    :param amount: the probability for each byte.
    """

    name = "corrupt"
    stage = Stage.CHANGE
    shaper = _Replacement

    amount: float = value(PROBABILITY)

    def changeAnswer(self, answer: Answer, number: int, draws: Callable[..., Draws]) -> None:
        """Corrupts an answer."""
        answer.datagram = Corruption(self.amount, draws(number)).apply(answer.datagram, 0, lambda _: True)
