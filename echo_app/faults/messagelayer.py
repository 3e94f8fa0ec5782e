"""The layer of a connection with faults of messages: the protocol above says where each message ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from zope.interface import implementer

from echo_app.connections.record import ConnectionRecord, recordOf
from echo_app.faults.fault import EndingFault, Fault, MessageFault
from echo_app.faults.flow import Flow
from echo_app.faults.layer import CAP, Chosen, FaultLayer
from echo_app.faults.messageflow import MessageChoices, MessageFlow
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
        self, protocol: IProtocol, clock: IReactorTime, chosen: Sequence[Chosen], cap: int = CAP
    ) -> None:
        self._ofMessages = [each for each in chosen if each[0].messageKey]
        self._record: ConnectionRecord | None = None
        super().__init__(protocol, clock, chosen, cap)

    def makeConnection(self, transport: ITransport) -> None:
        """Connects the protocol above, and begins the faults."""
        self._record = recordOf(transport)
        super().makeConnection(transport)

    def writeMessage(self, data: bytes) -> None:
        """Sends a message through its faults."""
        self._messages.feedMessage(data)

    def _makeFlow(self, direction: str, *arguments: Any) -> Flow:
        if direction == "in":
            return super()._makeFlow(direction, *arguments)
        choices = MessageChoices(
            changes=self._choices(MessageFault),
            endings=self._choices(EndingFault),
            begin=self.begin,
            note=self._note,
            mostCopies=self._cap // 2,
        )
        self._messages = MessageFlow(self.clock, choices, *arguments)
        return self._messages

    def _choices(self, kind: type[AnyFault]) -> list[Choice[AnyFault]]:
        now = self.clock.seconds()
        faults = [(each, draws) for each, draws in self._ofMessages if isinstance(each, kind)]
        faults.sort(key=lambda pair: pair[0].stage)
        return [Choice(each, now, draws) for each, draws in faults]

    def _note(self, kind: str) -> None:
        if self._record is not None:
            self._record.messageFaults = self._record.messageFaults or Counter()
            self._record.messageFaults[kind] += 1
