"""A flow: one direction of a connection with faults.

A byte passes the stages (:class:`~echo_app.faults.stages.Stages`) in this order: CHANGE when it comes in;
DELAY, which sets the earliest time at which it goes out; STALL, RATE and SEGMENT, which must all let it pass.
Bytes never overtake each other. The end of the stream passes after the last byte, and after the time of END.

The rules of :class:`Flow`:

- Bytes up to `_passed` are gone. Bytes up to `_ready` wait only for the last three stages. Bytes up to `_fed`
  wait for their time in `_arrivals`. Later bytes, and the end behind them, wait in `_queue` for CHANGE.
- At most one delayed call is pending, for the time at which the first byte may pass. Later bytes can't pass
  earlier.
- Times follow a schedule, not the timers. A late timer makes nothing slower in the end.
- No piece reaches over an edge, the offset at which a fault begins.
- When the faults change, all held bytes come in again, as if at that moment, and the end behind them. So no
  byte is lost, doubled or overtaken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from enum import IntEnum
from math import inf
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from echo_app.faults.budget import TURN
from echo_app.faults.changequeue import ChangeQueue
from echo_app.faults.stages import Stages

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from echo_app.faults.budget import Budget
    from echo_app.faults.shaping import Shaper

# Bytes of memory that a note of an arrival takes: a peer that sends single bytes fills the memory with notes.
NOTE = 100

# Seconds by which rounding may change a time.
_ROUNDING = 1e-9


class Intake(IntEnum):
    """The states of a flow's input; a state is followed only by a later one."""

    OPEN = 1
    # Bytes are discarded; the end of the stream has not come in.
    SEALED = 2
    # The end of the stream has come in, or the flow is closed.
    ENDED = 3


@implementer(IPushProducer)
class Flow:
    """Passes the bytes of one direction through the faults.

    :param clock: measures delays and windows, within the budget.
    :param deliver: takes a piece.
    :param finished: called when the end of the stream has passed.
    :param reached: called with each edge that the bytes have reached.
    :param changed: called when the held bytes, or a stall, may have changed.

    :ivar isPaused: the receiver has paused the flow.
    :ivar isStalled: a ``stall`` holds the flow.
    :ivar intake: the state of the input.
    """

    def __init__(
        self,
        clock: Budget,
        deliver: Callable[[bytes], object],
        finished: Callable[[], object],
        reached: Callable[[int], object],
        changed: Callable[[], object],
    ) -> None:
        self.isPaused = self.isStalled = False
        self.intake = Intake.OPEN
        self._clock = clock
        self._deliver, self._finished, self._reached, self._changed = deliver, finished, reached, changed
        self._stages = Stages()
        self._queue = ChangeQueue(clock, self._enter, self._queueDone)
        self._isEndQueued = False
        self._edges: list[int] = []
        self._bytes = bytearray()
        self._passed = self._ready = self._fed = 0
        self._arrivals: deque[tuple[float, int]] = deque()
        self._floor = -inf
        self._endDue: float | None = None
        self._isEndLate = False
        self._call: IDelayedCall | None = None
        self._isPassing = False

    @property
    def held(self) -> int:
        """Returns the number of bytes that have come in and not passed."""
        return len(self._bytes) + self._queue.size

    @property
    def isClear(self) -> bool:
        """Says whether bytes would pass at once and unchanged, so that they need not come in at all."""
        return not (
            self._edges
            or self._bytes
            or self._isPassing
            or self._queue.size
            or self.intake is not Intake.OPEN
            or not self._stages.isEmpty
        )

    @property
    def offset(self) -> int:
        """The offset of the next byte to pass."""
        return self._passed

    @property
    def came(self) -> int:
        """The offset of the next byte to come in."""
        return self._fed + self._queue.size

    @property
    def isBusy(self) -> bool:
        """Says whether bytes that have come in wait for their turn, so that others should not come yet."""
        return self._queue.size > 0

    @property
    def load(self) -> int:
        """Returns the bytes of memory that the flow takes."""
        return len(self._bytes) + self._queue.size + NOTE * len(self._arrivals)

    def skip(self, size: int) -> None:
        """Counts bytes that have passed without coming in."""
        self._passed += size

    def setFaults(self, shapers: Iterable[Shaper], edges: Iterable[int]) -> None:
        """Takes other faults, for held bytes too; nothing passes before ``goOn``.

        :param shapers: apply the faults.
        :param edges: further offsets that no piece may reach over.
        """
        held = self._takeBack()
        isEndHeld = self._endDue is not None or self._isEndQueued
        self._drop()
        self._stages = Stages(shapers)
        self._edges = sorted({*edges, *self._stages.edges} - {0})
        self._floor = self._clock.seconds()
        self._isEndLate = False
        wasPassing, self._isPassing = self._isPassing, True
        try:
            if held:
                self._come(held, 0)
            if isEndHeld:
                self._endComes()
        finally:
            self._isPassing = wasPassing

    def goOn(self) -> None:
        """Passes the bytes that may pass by other faults."""
        self._pass()

    def _takeBack(self) -> bytes:
        """Returns the bytes that are held, in their order."""
        return bytes(self._bytes) + self._queue.takeBack()

    def feed(self, data: bytes, delay: float = 0) -> None:
        """Takes bytes, and passes those whose time has come.

        :param delay: seconds by which these bytes are late, besides the faults of the flow.
        """
        if self.intake is Intake.OPEN and data:
            self._come(data, delay)

    def _come(self, data: bytes, delay: float) -> None:
        """Takes bytes, whatever the state of the input."""
        if not self._stages.hasChanges:
            self._enter(data, delay)
            return
        self._queue.add(data, delay)
        if self.isBusy:
            self._changed()

    def _enter(self, data: bytes, delay: float) -> None:
        """Changes bytes, and passes those whose time has come."""
        now = self._clock.seconds()
        data = self._stages.change(data, self._fed, now)
        self._bytes += data
        end = self._fed + len(data)
        while self._fed < end:
            self._arrive(end, now, delay)
        self._pass()

    def end(self) -> None:
        """Takes the end of the stream."""
        if self.intake is not Intake.ENDED:
            self.intake = Intake.ENDED
            self._endComes()

    def _endComes(self) -> None:
        """Notes the earliest time for the end of the stream, or has it wait behind the bytes in the queue."""
        self._isEndQueued = self.isBusy
        if not self._isEndQueued:
            now = self._clock.seconds()
            self._endDue = now + self._stages.delay(self._fed, now)
            self._pass()

    def seal(self) -> None:
        """Discards further bytes. Held bytes and the end of the stream still pass."""
        self.intake = max(self.intake, Intake.SEALED)

    def close(self) -> None:
        """Drops the held bytes, and passes nothing more."""
        self.intake = Intake.ENDED
        self.isPaused = False
        self._drop()

    def _drop(self) -> None:
        """Drops what is held, and the pending call."""
        self._isEndQueued = self.isStalled = False
        self._queue.clear()
        self._endDue = None
        self._bytes.clear()
        self._arrivals.clear()
        self._ready = self._fed = self._passed
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def pauseProducing(self) -> None:
        """Holds all bytes for now."""
        self.isPaused = True
        self._changed()

    def resumeProducing(self) -> None:
        """Goes on; the rates do not make up for the pause."""
        if self.isPaused:
            self.isPaused = False
            self._floor = self._clock.seconds()
            self._pass()

    def stopProducing(self) -> None:
        """Does nothing: the layer also learns of the end of the transport below."""

    def _queueDone(self) -> None:
        if self._isEndQueued:
            self._endComes()
        self._changed()

    def _arrive(self, end: int, now: float, delay: float) -> None:
        """Notes the earliest time for the next bytes that came in, up to an edge."""
        end = self._stages.upToDelayEdge(self._fed, end)
        due = now + self._stages.delay(self._fed, now) + delay
        self._fed = end
        if due > now or self._arrivals:
            self._arrivals.append((due, end))
        else:
            self._become(due, end)

    def _become(self, due: float, end: int) -> None:
        """Makes the bytes up to an offset ready, from a time on."""
        if self._ready == self._passed:
            self._floor = max(self._floor, due)
        self._ready = end

    def _pass(self) -> None:
        """Passes the bytes that may pass, unless a pending call or a caller up the stack does so."""
        if self._call is None and not self._isPassing:
            self._isPassing = True
            try:
                wait = self._passOn()
            finally:
                self._isPassing = False
            if wait < inf:
                self._call = self._clock.callLater(max(0, wait - self._clock.seconds()), self._called)
        self._changed()

    def _called(self) -> None:
        self._call = None
        self._pass()

    def _passOn(self) -> float:
        """Passes the bytes that may pass; returns the time for more, or inf if time does not decide."""
        began = self._clock.seconds()
        while not self.isPaused:
            now = self._clock.seconds()
            if self._stages.hasSmallPieces and now - began > TURN:
                # It is the turn of the other connections.
                return now
            while self._arrivals and self._arrivals[0][0] <= now + _ROUNDING:
                self._become(*self._arrivals.popleft())
            size = self._ready - self._passed
            if not size and self._arrivals:
                return self._arrivals[0][0]
            if not size and (self._endDue is None or self._endDue > now + _ROUNDING):
                return self._endDue or inf
            over = self._stages.stalledUntil(self._passed, now)
            self.isStalled = over > now + _ROUNDING
            if self.isStalled:
                self._floor = over
                return over
            if not size:
                if self._isEndLater(now):
                    continue
                self._endDue = None
                self._finished()
                return inf
            wait = self._piece(size, now)
            if wait is not None:
                return wait
        return inf

    def _isEndLater(self, now: float) -> bool:
        """Says whether the end of the stream, which could pass now, is to pass later; asks once."""
        if self._isEndLate:
            return False
        self._isEndLate = True
        self._endDue = now + self._stages.endDelay(self._passed, now)
        return self._endDue > now

    def _piece(self, size: int, now: float) -> float | None:
        """Passes a piece of at most so many bytes; returns its time if that is still to come."""
        if self._edges:
            size = min(size, self._edges[0] - self._passed)
        size, at, on = self._stages.piece(size, self._passed, self._floor, now)
        if at > now + _ROUNDING:
            return at
        for each in on:
            each.passed(size, at, now)
        piece = bytes(memoryview(self._bytes)[:size])
        del self._bytes[:size]
        self._passed += size
        self._deliver(piece)
        if self._edges and self._passed == self._edges[0]:
            self._edgePassed(self._edges.pop(0))
        return None

    def _edgePassed(self, offset: int) -> None:
        """Tells the layer that all bytes before an edge have passed."""
        self._reached(offset)
