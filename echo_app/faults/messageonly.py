"""The faults of messages alone: ``loss``, ``duplicate``, ``reorder``, ``truncate`` and ``unsolicited``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from echo_app.faults.fault import CHOOSING, TIMED, MessageFault, Stage, value
from echo_app.quantities import PROBABILITY, SIZE, SPAN

if TYPE_CHECKING:
    from echo_app.faults.draws import Draws
    from echo_app.faults.messages import Message


@dataclass(frozen=True, kw_only=True)
class _Chance(MessageFault):
    """A fault whose value is its probability for each message.

    :param amount: the probability.
    """

    takes = ("direction", "connections", *CHOOSING, *TIMED)

    amount: float = value(PROBABILITY)

    def change(self, message: Message, number: int, draws: Callable[..., Draws]) -> None:
        """Applies the fault with its probability."""
        if draws("applies").at(number) < self.amount:
            self.apply(message)

    def apply(self, message: Message) -> None:
        """Applies the fault."""
        raise NotImplementedError


class Loss(_Chance):
    """Drops a message, with the given probability."""

    name = "loss"
    stage = Stage.LOSE

    def apply(self, message: Message) -> None:
        """Drops the message."""
        message.lose("fault-loss")


class Duplicate(_Chance):
    """Sends a message twice, with the given probability."""

    name = "duplicate"
    stage = Stage.DUPLICATE

    def apply(self, message: Message) -> None:
        """Sends the message once more."""
        message.duplicate()


class Reorder(_Chance):
    """Sends a message after the next one, with the given probability."""

    name = "reorder"
    stage = Stage.REORDER

    def apply(self, message: Message) -> None:
        """Lets the next message overtake this one."""
        message.isReordered = True


@dataclass(frozen=True, kw_only=True)
class Truncate(MessageFault):
    """Cuts a message to the given size.

    :param amount: bytes that stay.
    """

    name = "truncate"
    stage = Stage.TRUNCATE
    takes = ("direction", "probability", "connections", *CHOOSING, *TIMED)

    amount: int = value(SIZE)

    def change(self, message: Message, number: int, draws: Callable[..., Draws]) -> None:
        """Cuts a message."""
        message.data = message.data[: self.amount]


@dataclass(frozen=True, kw_only=True)
class Unsolicited(MessageFault):
    """Sends a message again, unasked, after the given time.

    :param amount: seconds from the message to its copy.
    """

    name = "unsolicited"
    stage = Stage.REPEAT
    takes = ("direction", "probability", "connections", *CHOOSING, *TIMED)

    amount: float = value(SPAN)

    def change(self, message: Message, number: int, draws: Callable[..., Draws]) -> None:
        """Adds a late copy."""
        message.lateCopies += (self.amount,)
