"""One place in a load: one connection after the other, and the messages on it.

Its rules. In a closed loop a message is due when the one before is answered. In an open loop the schedule
says when, and never waits: what can't be sent, as too many messages are under way or there is no connection,
stays due, and is sent when it can be, its latency counted from when it was due; it is given up when that was
longer ago than ``wait``. So an outage that is shorter is seen as latency, which it is to whoever waits,
and a longer one as errors, with its reason. What is due is not kept: the schedule is a pointer to the next
time, which stands still meanwhile.

A message that was sent and is not answered within ``wait`` ends its connection, as every other error of a
connection does: all that is under way on it fails with the same kind. Another one is made at once, and after
failures without any answer between them after growing pauses.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from time import monotonic
from typing import TYPE_CHECKING

from echo_app.probe.load.dial import TIMEOUT, Channel, Dial, kindOf
from echo_app.probe.load.ledger import Second
from echo_app.probe.load.loop import IN, OUT
from echo_app.probe.load.pattern import CHUNK, PATTERN, PERIOD, VIEW, firstDifference, placeOf
from echo_app.probe.load.schedule import scheduleOf, sizesOf

if TYPE_CHECKING:
    from echo_app.probe.load.share import Share

# Seconds between two attempts to connect: none before the second, then these, doubled up to the last.
PAUSE, LONGEST_PAUSE = 0.05, 1.0

# Seconds between two looks at what is given up, at the least.
LOOK = 0.05

NEVER = float("inf")

# Under way: when it was due, where it ends in the stream, when it was sent, its second, its size.
Message = tuple[float, int, float, Second, int]


class Connection:
    """A stream connection's place.

    :param number: among those of this worker.
    """

    def __init__(self, share: Share, number: int) -> None:
        self._share = share
        self._loop = share.loop
        self._ledger = share.ledger
        self._settings = share.settings
        self._number = number
        self._room = share.settings.maxInflight
        self._isOpenLoop = share.settings.rate is not None
        self._left = NEVER
        self._underWay: deque[Message] = deque()
        self._channel: Channel | None = None
        self._dial: Dial | None = None
        self._made = 0
        self._pause = 0.0
        self._why = "not sent in time"
        self._due = NEVER
        self._schedule: Iterator[float] = iter(())
        self._isWaiting = False
        self._isEnding = False
        self._loop.at(monotonic() + LOOK, self._look)
        self._sizes = sizesOf(share.settings, number, share.index, share.seed)

    def isBehind(self, moment: float) -> bool:
        """Says whether something waits that was due before a moment."""
        return self._isWaiting and self._due < moment

    # From the first connection to the next.

    def open(self) -> None:
        """Connects."""
        self._began = monotonic()
        try:
            self._dial = Dial(self._loop, self._share.address, self._opened, self._failedToOpen)
        except OSError as error:
            self._failedToOpen(kindOf(error))

    def _failedToOpen(self, kind: str) -> None:
        self._dial = None
        self._why = kind
        self._share.connectFailed(kind)
        self._openLater()

    def _opened(self, channel: Channel) -> None:
        now = monotonic()
        self._dial = None
        self._channel = channel
        self._recv, self._send = channel.recv, channel.send
        self._fd = channel.sock.fileno()
        self._place = placeOf(self._share.index + self._settings.processes * (self._number + 7 * self._made))
        self._made += 1
        self._queued = self._sent = self._received = self._answered = 0
        self._left = self._settings.perConnection or NEVER
        self._isFull = False
        self._isEnding = False
        self._why = "not sent in time"
        self._loop.watch(self._fd, IN, self._ready)
        self._share.connected(now - self._began)
        self._goOn(now)

    def _openLater(self) -> None:
        pause, self._pause = self._pause, min(max(2 * self._pause, PAUSE), LONGEST_PAUSE)
        self._loop.at(monotonic() + pause, self._openAgain)

    def _openAgain(self, moment: float) -> None:
        if moment < self._ledger.end or self.isBehind(self._ledger.end):
            self.open()

    # What is due.

    def begin(self, start: float) -> None:
        """Begins to send at a moment."""
        if self._isOpenLoop:
            self._schedule = scheduleOf(
                self._settings, start, self._number, self._share.index, self._share.seed
            )
            self._due = next(self._schedule)
            self._loop.at(self._due, self._fire)
        else:
            self._loop.at(start, self._beginToAsk)

    def _beginToAsk(self, moment: float) -> None:
        self._due = moment
        if self._channel is not None:
            self._goOn(monotonic())

    def _fire(self, due: float) -> float | None:
        """Sends the message that is due now, unless it has to wait; returns when the next is due."""
        if due >= self._ledger.end:
            return None
        if self._channel is None or len(self._underWay) >= self._room or not self._left:
            self._isWaiting = True
            return None
        now = monotonic()
        self._ask(due, now).lateness.record(now - due)
        self._due = due = next(self._schedule)
        return due

    def _ask(self, due: float, now: float) -> Second:
        second = self._ledger.second(due)
        second.due += 1
        second.sent += 1
        second.pending += 1
        self._left -= 1
        size = next(self._sizes)
        self._queued += size
        self._underWay.append((due, self._queued, now, second, size))
        if not self._isFull:
            self._push()
        return second

    def _goOn(self, now: float) -> None:
        """Sends what is due and has waited, if there is room."""
        if self._isOpenLoop:
            self._catchUp(now)
        elif self._due <= now:
            end = self._ledger.end
            while self._channel and len(self._underWay) < self._room and self._left and now < end:
                self._ask(now, now)

    def _catchUp(self, now: float) -> None:
        if not self._isWaiting:
            return
        end = self._ledger.end
        while self._due <= now and self._due < end:
            if self._channel is None or len(self._underWay) >= self._room or not self._left:
                return
            self._ask(self._due, now)
            self._due = next(self._schedule)
        self._isWaiting = False
        self._loop.at(self._due, self._fire)

    def _look(self, moment: float) -> float | None:
        """Gives up what was sent or due too long ago; returns when to look again."""
        now, wait = monotonic(), self._settings.wait
        if self._dial is not None and self._began + TIMEOUT <= now:
            self._dial.giveUp()
        if self._underWay and self._underWay[0][2] + wait <= now:
            self.fail("timed out")
        if self._channel is not None and self._isEnding and self._ended + wait <= now:
            self.fail("no FIN")
        while self._isWaiting and self._due + wait <= now and self._due < self._ledger.end:
            self._ledger.second(self._due).giveUp(self._why)
            self._due = next(self._schedule)
        oldest = self._underWay[0][2] if self._underWay else now
        if self._isWaiting:
            oldest = min(oldest, self._due)
        return max(oldest + min(wait, TIMEOUT), now + LOOK)

    # The stream.

    def _ready(self, event: int) -> None:
        if event & OUT:
            self._push()
            if event == OUT:
                return
        try:
            data = self._recv(CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            self.fail(kindOf(error))
            return
        start = (self._place + self._received) % PERIOD
        received = self._received + len(data)
        if data != PATTERN[start : start + len(data)] or received > self._sent or not data:
            self._wrong(data, start)
            return
        self._received = received
        now, underWay = monotonic(), self._underWay
        if underWay[0][1] > received:
            return
        late = self._loop.woken
        while underWay and underWay[0][1] <= received:
            due, _, _, second, size = underWay.popleft()
            second.answer(now - due, size)
            self._answered += 1
            if not self._isOpenLoop:
                second.lateness.record(now - late)
        self._pause = 0.0
        self._goOn(now)
        if not self._left and not underWay:
            self._end()

    def _push(self) -> None:
        """Sends what is due, as far as the kernel takes it."""
        try:
            while rest := self._queued - self._sent:
                start = (self._place + self._sent) % PERIOD
                self._sent += self._send(VIEW[start : start + min(rest, CHUNK)])
        except BlockingIOError:
            if not self._isFull:
                self._isFull = True
                self._loop.change(self._fd, IN | OUT, self._ready)
            return
        except OSError as error:
            self.fail(kindOf(error))
            return
        if self._isFull:
            self._isFull = False
            self._loop.change(self._fd, IN, self._ready)

    def _end(self) -> None:
        """Ends our side; nothing may come but the end of the peer's."""
        self._isEnding, self._ended = True, monotonic()
        assert self._channel is not None
        try:
            self._channel.halfClose()
        except OSError as error:
            self.fail(kindOf(error))

    def _wrong(self, data: bytes, start: int) -> None:
        """Something came that was not expected."""
        if not data:
            self._endCame()
            return
        if data == PATTERN[start : start + len(data)]:
            surplus = self._received + len(data) - self._sent
            self._ledger.differ(f"{surplus} bytes too many came after byte {self._sent} of {self._name()}")
            self.fail("surplus")
            return
        index = firstDifference(data, start)
        self._differ(data[index], PATTERN[start + index], self._received + index)

    def _differ(self, got: int, right: int, position: int) -> None:
        number, begin = self._answered, 0
        for _, end, _, _, size in self._underWay:
            begin = end - size
            if position < end:
                break
            number += 1
        self._ledger.differ(
            f"message {number}, byte {position - begin}: {got:#04x} came, {right:#04x} was sent"
            f" (byte {position} of {self._name()})"
        )
        self.fail("corrupt")

    def _name(self) -> str:
        """Says which connection this is."""
        assert self._channel is not None
        name = self._channel.sock.getsockname()
        port = f" from port {name[1]}" if isinstance(name, tuple) else ""
        return f"connection {self._number}{port}"

    def _endCame(self) -> None:
        if self._isEnding and not self._underWay:
            self._close()
            self._openAgain(monotonic())
        else:
            self.fail("FIN")

    def fail(self, kind: str) -> None:
        """Ends the connection; what is under way on it has failed."""
        self._close()
        self._why = kind
        if not self._underWay:
            self._ledger.second(monotonic()).errors[kind] += 1
        for _, _, _, second, _ in self._underWay:
            second.fail(kind)
        self._underWay.clear()
        self._openLater()

    def _close(self) -> None:
        if self._channel is not None:
            self._loop.forget(self._fd)
            self._channel.sock.close()
            self._channel = None

    # The end.

    def finish(self) -> None:
        """Ends the connection for good, when it is settled."""
        if self._channel is not None and not self._isEnding:
            self._end()

    @property
    def isFinished(self) -> bool:
        """Says whether it has ended."""
        return self._channel is None

    def leave(self) -> None:
        """Ends it at once."""
        self._close()
