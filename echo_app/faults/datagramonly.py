"""The faults of datagrams alone: ``loss``, ``duplicate``, ``reorder`` and ``truncate``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from echo_app.faults.fault import TIMED, DatagramFault, Stage, value
from echo_app.quantities import PROBABILITY, SIZE

if TYPE_CHECKING:
    from echo_app.faults.datagrams import DatagramAnswer
    from echo_app.faults.draws import Draws


@dataclass(frozen=True, kw_only=True)
class _Chance(DatagramFault):
    """A fault whose value is its probability for each datagram."""

    takes = TIMED

    probability: float = value(PROBABILITY)


class Loss(_Chance):
    """Drops the answer to a datagram, with the given probability."""

    name = "loss"
    stage = Stage.LOSE

    def changeAnswer(self, answer: DatagramAnswer, number: int, draws: Callable[..., Draws]) -> None:
        """Drops an answer."""
        answer.lose("fault-loss")


class Duplicate(_Chance):
    """Answers a datagram twice, with the given probability."""

    name = "duplicate"
    stage = Stage.DUPLICATE

    def changeAnswer(self, answer: DatagramAnswer, number: int, draws: Callable[..., Draws]) -> None:
        """Sends an answer once more."""
        answer.duplicate()


class Reorder(_Chance):
    """Sends an answer after the next one, with the given probability."""

    name = "reorder"
    stage = Stage.REORDER

    def changeAnswer(self, answer: DatagramAnswer, number: int, draws: Callable[..., Draws]) -> None:
        """Lets the next answer overtake this one."""
        answer.isReordered = True


@dataclass(frozen=True, kw_only=True)
class Truncate(DatagramFault):
    """Cuts an answer to the given size.

    :param amount: bytes that stay.
    """

    name = "truncate"
    stage = Stage.TRUNCATE
    takes = ("probability", *TIMED)

    amount: int = value(SIZE)

    def changeAnswer(self, answer: DatagramAnswer, number: int, draws: Callable[..., Draws]) -> None:
        """Cuts an answer."""
        answer.datagram = answer.datagram[: self.amount]
