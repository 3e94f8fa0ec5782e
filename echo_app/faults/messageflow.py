"""The output of a connection with faults of messages: these apply in front of the flow.

The rules of :class:`MessageFlow`:

- A message waits in `_untaken` for the budget, then passes the faults in the order of their stages, and its
  bytes enter the flow. Bytes that are no message keep their place among the messages.
- At most one message waits in `_behind`, for the next one to go first, and `_turn` is its delayed call.
- Each call in `_copies` sends a late copy. The end of the output drops late copies; it passes after all else.
- An ending begins when the message that its fault chose, and the one behind it, have passed.
- When the faults change, the message in `_behind` joins the held bytes, and late copies and endings that have
  not come are dropped. Messages in `_untaken` pass the new faults.
"""

from __future__ import annotations

from bisect import insort
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from echo_app.faults.budget import Budget
from echo_app.faults.fault import EndingFault, MessageFault
from echo_app.faults.flow import NOTE, Flow, Intake
from echo_app.faults.messages import REORDER_WAIT, Choice, Message

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

# Bytes of memory that a late copy takes besides its data: a delayed call and its closure.
_CALL = 1024


@dataclass(frozen=True, slots=True)
class MessageChoices:
    """The faults of messages of one connection.

    :param changes: those that change a message, in the order of their stages.
    :param endings: those that end the connection, in that order.
    """

    changes: Sequence[Choice[MessageFault]] = ()
    endings: Sequence[Choice[EndingFault]] = ()


@dataclass(frozen=True, slots=True)
class MessageEvents:
    """What a flow of messages calls, and the memory that it may take.

    :param begin: begins an ending.
    :param note: counts a fault that took effect, by its name.
    :param mostCopies: bytes of memory that late copies may take.
    """

    begin: Callable[[EndingFault], object]
    note: Callable[[str], object]
    mostCopies: int


@dataclass(slots=True, eq=False, kw_only=True)
class _StreamMessage(Message):
    """A message of a stream.

    :param count: counts a fault that took effect.
    :param endings: the endings that begin when the message has passed.
    """

    count: Callable[[str], object]
    endings: Sequence[EndingFault] = ()

    def note(self, kind: str) -> None:
        """Counts a fault that took effect."""
        self.count(kind)


class MessageFlow(Flow):
    """A flow of messages.

    :param budget: has the work on the messages done.
    :param events: what it calls.
    :param arguments: those of :class:`Flow`.

    :ivar number: the number of the last message.
    """

    def __init__(self, budget: Budget, events: MessageEvents, *arguments: Any) -> None:
        super().__init__(budget, *arguments)
        self._budget = budget
        self._events = events
        self._choices = MessageChoices()
        self._untaken: deque[tuple[bytes, bool]] = deque()
        self._waiting = self._waitingLoad = 0
        self._isTaking = self._isEnding = False
        self.number = 0
        self._behind: _StreamMessage | None = None
        self._turn: IDelayedCall | None = None
        self._copies: set[IDelayedCall] = set()
        self._copiesLoad = 0
        self._endingsAt: defaultdict[int, list[EndingFault]] = defaultdict(list)

    @property
    def held(self) -> int:
        """Returns the number of bytes that have come in and not passed; late copies are not owed."""
        return super().held + self._waiting

    @property
    def load(self) -> int:
        """Returns the bytes of memory that the flow takes."""
        return super().load + self._waitingLoad + self._copiesLoad

    @property
    def isClear(self) -> bool:
        """Says whether messages would pass at once and unchanged."""
        isBetween = self._isTaking or self._untaken or self._behind is not None
        return super().isClear and not (isBetween or self._choices.changes or self._choices.endings)

    def choose(self, choices: MessageChoices) -> None:
        """Takes other faults of messages; ``setFaults`` comes next."""
        self._choices = choices
        self._cancelCopies()
        self._endingsAt.clear()

    def _takeBack(self) -> bytes:
        held = super()._takeBack()
        message, self._behind = self._behind, None
        if message is None:
            return held
        if self._turn is not None and self._turn.active():
            self._turn.cancel()
        self._count(len(message.data), -1)
        return held + message.data * message.copies

    def feed(self, data: bytes, delay: float = 0) -> None:
        """Takes bytes that are no message."""
        if self._isTaking:
            self._wait(data, False)
        else:
            super().feed(data, delay)

    def feedMessage(self, data: bytes) -> None:
        """Takes a message."""
        self._wait(data, True)
        if not self._isTaking and self._untaken:
            self._isTaking = True
            self._budget.do(self._take)

    def end(self) -> None:
        """Takes the end of the stream, which passes after the messages that wait."""
        self._isEnding = True
        self._cancelCopies()
        if not self._isTaking:
            self._release()
            super().end()

    def seal(self) -> None:
        """Discards further bytes, and those that have not entered the flow."""
        self._clear()
        super().seal()

    def close(self) -> None:
        """Drops the held bytes, and passes nothing more."""
        self._clear()
        self._endingsAt.clear()
        super().close()

    def _clear(self) -> None:
        self._untaken.clear()
        self._cancelCopies()
        self._behind = None
        self._waiting = self._waitingLoad = 0
        if self._turn is not None and self._turn.active():
            self._turn.cancel()

    def _cancelCopies(self) -> None:
        for call in self._copies:
            call.cancel()
        self._copies.clear()
        self._copiesLoad = 0

    def _wait(self, data: bytes, isMessage: bool) -> None:
        if self.intake is Intake.OPEN and not self._isEnding:
            self._untaken.append((data, isMessage))
            self._count(len(data), 1)
            self._changed()

    def _count(self, size: int, sign: int) -> None:
        self._waiting += sign * size
        self._waitingLoad += sign * (size + NOTE)

    def _take(self) -> None:
        """Applies the faults to the messages that wait, until it is another connection's turn."""
        began = self._clock.seconds()
        while self._untaken:
            data, isMessage = self._untaken.popleft()
            self._count(len(data), -1)
            if isMessage:
                self._apply(data)
            else:
                super().feed(data)
            if self._untaken and self._budget.isOver(began):
                self._budget.do(self._take)
                return
        self._isTaking = False
        if self._isEnding:
            self.end()
        self._changed()

    def _apply(self, data: bytes) -> None:
        """Passes a message through the faults, and to its place among the others."""
        self.number += 1
        now = self._clock.seconds()
        message = _StreamMessage(data=data, count=self._events.note)
        place = self.number, self.came, now
        for choice in self._choices.changes:
            choice.apply(message, *place)
            if not message.copies:
                break
        message.endings = [each.fault for each in self._choices.endings if each.has(*place)]
        if message.copies and message.isReordered and self._behind is None:
            self._behind = message
            self._count(len(message.data), 1)
            self._turn = self._clock.callLater(REORDER_WAIT, self._release)
            return
        self._pour(message)
        if message.copies:
            self._release(isOvertaken=True)
        self._endAfter(message)

    def _release(self, isOvertaken: bool = False) -> None:
        """Lets the message go that waits for the next one."""
        message, self._behind = self._behind, None
        if message is None:
            return
        if self._turn is not None and self._turn.active():
            self._turn.cancel()
        self._count(len(message.data), -1)
        if isOvertaken:
            message.note("reorder")
        self._pour(message)
        self._endAfter(message)

    def _pour(self, message: _StreamMessage) -> None:
        """Feeds the copies of a message to the flow, now or later."""
        if message.data:
            super().feed(message.data * message.copies, message.delay)
            for seconds in message.lateCopies if message.copies else ():
                self._copyLater(message, message.delay + seconds)

    def _copyLater(self, message: _StreamMessage, seconds: float) -> None:
        load = len(message.data) + _CALL
        if self._isEnding or self._copiesLoad + load > self._events.mostCopies:
            return

        def send() -> None:
            self._copies.remove(call)
            self._copiesLoad -= load
            self.feed(message.data)

        message.note("unsolicited")
        self._copiesLoad += load
        call = self._clock.callLater(seconds, send)
        self._copies.add(call)

    def _endAfter(self, message: _StreamMessage) -> None:
        """Begins the endings of a message, now or when all bytes up to here have passed."""
        if not message.endings or self.intake is not Intake.OPEN:
            return
        if self._passed == self.came:
            self._beginAll(message.endings)
            return
        self._endingsAt[self.came] += message.endings
        if self.came not in self._edges:
            insort(self._edges, self.came)

    def _edgePassed(self, offset: int) -> None:
        super()._edgePassed(offset)
        self._beginAll(self._endingsAt.pop(offset, ()))

    def _beginAll(self, endings: Sequence[EndingFault]) -> None:
        for fault in endings:
            self._events.begin(fault)
