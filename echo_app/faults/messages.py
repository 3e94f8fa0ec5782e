"""Messages on their way through the faults: answers over UDP, and framed answers of a stream's responder.

Messages are numbered, from 1. A fault chooses among them by the keys ``each``, ``share`` and ``messages``.
With several of these keys, it applies to the messages that all of them choose. The draws for a message depend
on the seed, the fault and the message's number, never on time or on the boundaries of reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from echo_app.faults.fault import Fault, MessageFault, isWithin
from echo_app.faults.window import Window

if TYPE_CHECKING:
    from echo_app.faults.draws import Draws

# Seconds that a message waits for the next one to go first. A client that sends only after each answer would
# otherwise wait for ever.
REORDER_WAIT = 0.5

AnyFault = TypeVar("AnyFault", bound=Fault)


@dataclass(slots=True, eq=False, kw_only=True)
class Message:
    """A message on its way through the faults.

    :param data: the bytes, as changed by the faults so far.
    :ivar copies: the number of copies to send at once; 0 once the message is lost.
    :ivar delay: seconds until they are sent.
    :ivar isReordered: the next message may overtake this one.
    :ivar lateCopies: seconds from then on until a further copy is sent, for each of these.
    """

    data: bytes
    copies: int = 1
    delay: float = 0
    isReordered: bool = False
    lateCopies: tuple[float, ...] = ()

    @property
    def shape(self) -> object:
        """Returns the values that faults change, to find whether a fault took effect at once."""
        return self.data, self.copies, self.delay

    def note(self, kind: str) -> None:
        """Counts a fault that took effect in the access log, if there is one."""
        raise NotImplementedError

    def duplicate(self) -> None:
        """Adds a copy."""
        self.copies += 1

    def lose(self, reason: str) -> None:
        """Drops the message, for a reason under which it may be counted."""
        self.copies = 0


class Choice(Generic[AnyFault]):
    """Chooses the messages to which one fault applies.

    :param fault: the fault.
    :param began: the time from which the fault's seconds count.
    :param draws: returns the draws of the fault for a purpose.
    :param probability: the probability for each message, besides the fault's own keys.
    :param origin: the offset from which the fault's bytes count.
    :param since: the number of the last message before those that the fault counts.
    """

    __slots__ = ("_chance", "_draws", "_probability", "_share", "_since", "_window", "fault")

    def __init__(
        self,
        fault: AnyFault,
        began: float,
        draws: Callable[..., Draws],
        probability: float = 1,
        origin: int = 0,
        since: int = 0,
    ) -> None:
        self.fault = fault
        self._window = Window(fault, began, origin)
        self._since = since
        self._draws = draws
        self._share = None if fault.share is None else draws("share")
        self._probability = probability
        self._chance = None if probability >= 1 else draws("applies")

    def has(self, number: int, offset: int, now: float) -> bool:
        """Says whether the fault applies to the message with a number.

        :param offset: the bytes of the stream before the message; 0 for datagrams.
        """
        fault = self.fault
        # First, since the window's time begins with the first message of its ``after``, chosen or not.
        return (
            self._window.isOn(offset, now)
            and isWithin(number - self._since, fault.messages)
            and not (fault.each and (number - self._since) % fault.each)
            and (self._share is None or self._share.at(number) < (fault.share or 0))
            and (self._chance is None or self._chance.at(number) < self._probability)
        )

    def apply(self: Choice[MessageFault], message: Message, number: int, offset: int, now: float) -> None:
        """Applies the fault to the message with a number, if it has it."""
        if self.has(number, offset, now):
            before = message.shape
            self.fault.change(message, number, self._draws)
            if message.shape != before:
                message.note(self.fault.name)
