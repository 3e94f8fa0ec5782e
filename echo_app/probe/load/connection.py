"""One slot of a load: one connection after the other, and the times at which messages are sent on it.

Its rules. In a closed loop a message is due when the one before is answered. In an open loop the schedule has
the moments, and never waits. A message that can't be sent, as too many are under way or there is no
connection, stays due and is sent later: its latency counts from when it was due. It is given up ``wait``
seconds after it was due. So an outage shorter than ``wait`` is seen as latency, and a longer one as errors
with its reason. Due messages are not stored: the schedule is an iterator, which stops meanwhile. The time for
which a message waits because too many are under way is counted by itself.

A message has ``wait`` from when it was sent until it is answered. An error of the connection ends it: all
that is under way fails with the same kind. Another one is made at once; after failures with no answer
between them, after growing pauses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any

from echo_app.probe.load.channel import Channel
from echo_app.probe.load.dial import Dial
from echo_app.probe.load.ledger import Second
from echo_app.probe.load.loop import IN
from echo_app.probe.load.schedule import scheduleOf, sizesOf
from echo_app.probe.net.errors import ErrorKind, Reason, reasonOf

if TYPE_CHECKING:
    from echo_app.probe.load.generator import LoadGenerator

# Seconds between two attempts to connect: none before the second, then these, doubled up to the last.
PAUSE, LONGEST_PAUSE = 0.05, 1.0

# Seconds between two looks at what is given up, at the least.
LOOK = 0.05

NEVER = float("inf")


class Connection(ABC):
    """One slot of a load. Its two subclasses hold the messages that are under way.

    :param number: among those of this worker.
    """

    _underWay: Collection[Any]
    _container: Callable[[], Collection[Any]]

    # Seconds until a message that is not answered makes room for another one; NEVER is not before it fails.
    _patience = NEVER

    def __init__(self, generator: LoadGenerator, number: int) -> None:
        self._generator = generator
        self._loop = generator.loop
        self._clock = generator.loop.clock
        self._ledger = generator.ledger
        self._number = number
        settings = generator.settings
        self._wait = settings.wait
        self._room = settings.maxInflight
        self._perConnection = settings.perConnection or NEVER
        self._isOpenLoop = settings.rate is not None
        self._sizes = sizesOf(settings, number, generator.index, generator.seed)
        self._schedule: Iterator[float] = iter(())
        self._due = NEVER
        self._isWaiting = False
        self._full = NEVER
        self._channel: Channel | None = None
        self._dial: Dial | None = None
        self._pause = 0.0
        self._why = Reason(ErrorKind.NOT_SENT)
        self._left = NEVER
        self._ended = NEVER
        self._closed = -NEVER
        self._isServed = self._hasFailed = False
        self._hasPaused = False
        self._underWay = self._container()
        self._loop.at(self._clock() + LOOK, self._look)

    # From one connection to the next.

    def open(self) -> None:
        """Connects."""
        self._began = self._clock()
        try:
            self._dial = self._generator.address.dial(self._loop)
        except OSError as error:
            reason = reasonOf(error)
            # Not now: another one would be opened in this call, and another one in that.
            self._loop.at(self._began, lambda moment: self._failedToOpen(reason))
        else:
            self._dial.start(self._opened, self._failedToOpen)

    def _failedToOpen(self, reason: Reason) -> None:
        self._dial = None
        self._hasFailed = True
        self._why = reason
        self._generator.connectFailed(self, reason)

    def _opened(self, channel: Channel) -> None:
        now = self._clock()
        self._dial = None
        self._channel = channel
        self._fd = channel.sock.fileno()
        self._left = self._perConnection
        self._ended = NEVER
        self._why = Reason(ErrorKind.NOT_SENT)
        self._use(channel)
        self._loop.watch(self._fd, IN, self._ready)
        self._generator.connected(self, now - self._began)
        self._goOn(now)

    def openLater(self) -> None:
        """Connects again, after a pause that grows."""
        pause, self._pause = self._pause, min(max(2 * self._pause, PAUSE), LONGEST_PAUSE)
        self._loop.at(self._clock() + pause, self._openAgain)

    def _openAgain(self, moment: float) -> None:
        if moment < self._ledger.end or self.isBehind(self._ledger.end):
            self.open()

    def fail(self, reason: Reason) -> None:
        """Ends the connection, and makes another one. All messages under way have failed."""
        self._close()
        self._hasFailed = True
        self._why = reason
        self._ledger.latest = self._clock()
        if self._oldest(NEVER) == NEVER:
            self._ledger.second(self._clock()).errors[reason] += 1
        self._failAll(reason)
        self.openLater()

    def _close(self) -> None:
        if self._channel is not None:
            self._loop.forget(self._fd)
            self._channel.sock.close()
            self._channel = None
            self._closed = self._clock()

    def _end(self) -> None:
        """Ends our side; then only the end of the peer's side may come."""
        self._ended = self._clock()
        if self._channel is not None:
            try:
                self._channel.halfClose()
            except OSError as error:
                self.fail(reasonOf(error))

    def _name(self) -> str:
        """Says which connection this is."""
        assert self._channel is not None
        name = self._channel.sock.getsockname()
        port = f", from port {name[1]}" if isinstance(name, tuple) else ""
        return f"connection {self._number}{port}"

    # Messages that are due.

    def begin(self, start: float) -> None:
        """Begins to send at a moment."""
        if self._isOpenLoop:
            worker = self._generator
            self._schedule = scheduleOf(worker.settings, start, self._number, worker.index, worker.seed)
            self._due = next(self._schedule)
            self._loop.at(self._due, self._fire)
        else:
            self._loop.at(start, self._beginToAsk)

    def isBehind(self, moment: float) -> bool:
        """Says whether a message waits that was due before a moment."""
        return self._isWaiting and self._due < moment

    def _beginToAsk(self, moment: float) -> None:
        self._due = moment
        if self._channel is not None:
            self._goOn(self._clock())

    def _hasRoom(self) -> bool:
        return self._channel is not None and len(self._underWay) < self._room and self._left > 0

    def _fire(self, due: float) -> float | None:
        """Sends the messages that are due, unless they have to wait; returns when the next is due."""
        self._sendDue(self._clock(), 0.0)
        return None if self._isWaiting or self._due >= self._ledger.end else self._due

    def _sendDue(self, now: float, since: float) -> None:
        """Sends the messages that are due, as far as there is room; the others wait.

        Mostly one message is due. After a pause of this process, all due messages of a connection are sent
        together, which is faster than one by one.

        :param since: the moment from which on a message that is not sent is late by the probe's fault.
        """
        due, end = self._due, self._ledger.end
        self._isWaiting = False
        full, self._full = self._full, NEVER
        while due <= now and due < end:
            if not self._hasRoom():
                self._isWaiting = True
                if self._channel is not None and len(self._underWay) >= self._room:
                    self._full = min(full, now)
                break
            self._left -= 1
            second = self._ask(due, now)
            second.lateness.record(now - (due if due > since else since))
            if full < since and due < since:
                second.held.record(since - max(due, full))
            self._due = due = next(self._schedule)
        if self._channel is not None:
            self._push()

    def _goOn(self, now: float, since: float | None = None) -> None:
        """Sends the messages that can be sent now; in an open loop, then follows the schedule again.

        :param since: the moment at which there was room; None is when the socket was found ready, as an
            answer made the room.
        """
        if self._isWaiting:
            self._sendDue(now, self._loop.woken if since is None else since)
            if not self._isWaiting:
                self._loop.at(self._due, self._fire)
        elif not self._isOpenLoop and self._due <= now < self._ledger.end:
            while self._hasRoom() and self._generator.take(now):
                self._left -= 1
                self._ask(now, now)
            self._push()

    def _look(self, moment: float) -> float:
        """Gives up messages that take too long; returns the moment of the next check."""
        now = self._clock()
        # After a pause of this process, the answers that have come are read first.
        self._hasPaused = not self._hasPaused and now > moment + LOOK
        if self._hasPaused:
            return now + LOOK
        old = now - self._wait
        if self._dial is not None and self._began <= old:
            self._dial.giveUp()
        if self._channel is not None and self._ended <= old:
            self.fail(Reason(ErrorKind.NO_END))
        self._giveUp(old)
        while self.isBehind(self._ledger.end) and self._due <= old:
            self._ledger.second(self._due).giveUp(self._why)
            self._due = next(self._schedule)
        oldest = min(self._oldest(now), self._due if self._isWaiting else now)
        return max(min(oldest + self._wait, now + self._patience), now + LOOK)

    # The end.

    def countRest(self, second: Second) -> None:
        """Counts the messages that were due and never sent, and a connection without an answer.

        In an open loop there are some after an interruption alone: they are given up otherwise. In a closed
        loop it is the one of a connection that was away for all of the measured time.
        """
        while self.isBehind(self._ledger.end):
            second.due += 1
            second.unbegun += 1
            self._due = next(self._schedule)
        if not self._isOpenLoop and self._channel is None and self._closed <= self._ledger.start:
            second.giveUp(self._why)
        second.unserved += self._hasFailed and not self._isServed

    def finish(self) -> None:
        """Ends the connection for good; at once, where messages are under way that are given up."""
        if self._underWay:
            self._close()
        elif self._channel is not None and self._ended == NEVER:
            self._end()

    @property
    def isFinished(self) -> bool:
        """Says whether it has ended."""
        return self._channel is None

    def leave(self) -> None:
        """Closes the connection at once, also one that is being made."""
        self._close()
        if self._dial is not None:
            self._dial.close()
            self._dial = None

    # The subclasses differ in these.

    @abstractmethod
    def _use(self, channel: Channel) -> None:
        """Begins to use a new connection."""

    @abstractmethod
    def _ready(self, event: int) -> None:
        """Handles events of the socket: bytes have come, or can be sent."""

    @abstractmethod
    def _ask(self, due: float, now: float) -> Second:
        """Puts a message under way; returns the second in which it was due."""

    @abstractmethod
    def _push(self) -> None:
        """Sends messages under way that are not sent yet, as far as the kernel takes them."""

    @abstractmethod
    def _failAll(self, reason: Reason) -> None:
        """Counts all messages under way as failed."""

    @abstractmethod
    def _giveUp(self, old: float) -> None:
        """Gives up messages that were sent at a moment or before it."""

    @abstractmethod
    def _oldest(self, now: float) -> float:
        """Returns when the oldest message under way was sent; now, if there is none."""
