"""The layer of a connection with faults of messages: the protocol above says where each message ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from zope.interface import implementer

from echo_app.connections.record import ConnectionRecord, recordOf
from echo_app.faults.fault import EndingFault, Fault, MessageFault
from echo_app.faults.flow import Flow
from echo_app.faults.flowlayer import CAP
from echo_app.faults.layer import Chosen, FaultLayer
from echo_app.faults.messageflow import MessageChoices, MessageEvents, MessageFlow
from echo_app.faults.messages import Choice
from echo_app.interfaces import IMessageTransport

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocol, IReactorTime, ITransport

AnyFault = TypeVar("AnyFault", bound=Fault)


@implementer(IMessageTransport)
class MessageFaultLayer(FaultLayer):
    """Applies faults to one connection, some of them to its messages. The parameters are the layer's."""

    _messages: MessageFlow

    def __init__(
        self, protocol: IProtocol, clock: IReactorTime, chosen: Sequence[Chosen] = (), cap: int = CAP
    ) -> None:
        self._record: ConnectionRecord | None = None
        super().__init__(protocol, clock, chosen, cap)

    def makeConnection(self, transport: ITransport) -> None:
        """Connects the protocol above, and begins the faults."""
        self._record = recordOf(transport)
        super().makeConnection(transport)

    def writeMessage(self, data: bytes) -> None:
        """Sends a message through its faults, or passes it on."""
        if self._beside.isClear:
            self._messages.number += 1
            self.write(data)
        else:
            self._messages.feedMessage(data)

    def _makeFlow(
        self, direction: str, deliver: Callable[[bytes], object], finished: Callable[[], object]
    ) -> Flow:
        if direction == "in":
            return super()._makeFlow(direction, deliver, finished)
        events = MessageEvents(self.begin, self._count, self._cap // 2)
        reached = partial(self._edgeReached, direction)
        self._messages = MessageFlow(self.clock, events, deliver, finished, reached, self._adjust)
        return self._messages

    def _take(self, chosen: Sequence[Chosen]) -> None:
        messages = self._messages
        place = self.clock.seconds(), messages.offset + self._beside.skipped, messages.number
        ofMessages = sorted((each for each in chosen if each[0].messageKey), key=lambda each: each[0].stage)
        changes = _choices(MessageFault, ofMessages, *place)
        messages.choose(MessageChoices(changes, _choices(EndingFault, ofMessages, *place)))
        super()._take(chosen)

    def _count(self, kind: str) -> None:
        if self._record is not None:
            self._record.messageFaults = self._record.messageFaults or Counter()
            self._record.messageFaults[kind] += 1


def _choices(
    kind: type[AnyFault], chosen: Sequence[Chosen], began: float, origin: int, since: int
) -> list[Choice[AnyFault]]:
    """Returns the choices of the faults of a kind.

    :param origin: the offset from which bytes count.
    :param since: the number of the last message before those that count.
    """
    return [
        Choice(fault, began, draws, origin=origin, since=since)
        for fault, draws in chosen
        if isinstance(fault, kind)
    ]
