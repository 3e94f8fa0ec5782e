"""One direction of a connection with faults: bytes come in at one end and go out at the other.

A byte passes the stages in this order: CHANGE, where it comes in; DELAY, which sets the earliest time that it
goes out at; STALL, RATE and SEGMENT, which all have to let it go. Bytes
never overtake each other, and the end of the stream passes behind the last of them.

The rules of :class:`Flow`: bytes up to `_passed` are gone, those up to `_ready` wait for nothing but the
last three, and for those up to `_fed` the time is not there yet; `_arrivals` says when it is. One call is
pending at the most, for when the first byte may pass: those behind it can't pass earlier. Times are
those of a schedule, and not of timers: a timer that comes late makes nothing slower in the end. No piece
that passes reaches over an edge, where by the count of bytes some fault begins.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from enum import IntEnum
from math import inf
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from echo_app.faults.fault import Stage

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from echo_app.faults.shaper import Shaper

# Bytes of a piece at the most, as of one read of the direct path: its receiver may stop the next one.
_MOST = 128 * 1024

# Bytes that a note of an arrival takes: a peer that sends single bytes fills the memory with those.
_NOTE = 100

# Seconds that a time may be off by rounding.
_ROUNDING = 1e-9


# The stages of a flow, in their order.
STAGES = (Stage.CHANGE, Stage.DELAY, Stage.STALL, Stage.RATE, Stage.SEGMENT)


class Intake(IntEnum):
    """The states of the input of a flow; they only go on, from one to a later one."""

    OPEN = 1
    # Bytes are discarded; the end is still awaited.
    SEALED = 2
    # The end is in, or the flow is closed.
    ENDED = 3


@implementer(IPushProducer)
class Flow:
    """Passes the bytes of one direction on, as faults have it.

    :param clock: tells the time.
    :param shapers: the faults.
    :param edges: further offsets that no piece reaches over; `reached` is told of them.
    :param deliver: takes a piece.
    :param finished: is called when the end of the stream has passed.
    :param reached: is called with an edge that was passed.
    :param changed: is called when the held bytes, or a stall, may have changed.

    :ivar isPaused: nothing passes, because the end behind it takes no more for now.
    :ivar isStalled: nothing passes, because of a ``stall``.
    :ivar intake: whether bytes and their end still come in.
    """

    def __init__(
        self,
        clock: IReactorTime,
        shapers: Iterable[Shaper],
        edges: Iterable[int],
        deliver: Callable[[bytes], object],
        finished: Callable[[], object],
        reached: Callable[[int], object],
        changed: Callable[[], object],
    ) -> None:
        shapers = tuple(shapers)
        self.isPaused = self.isStalled = False
        self.intake = Intake.OPEN
        self._clock = clock
        self._deliver, self._finished, self._reached, self._changed = deliver, finished, reached, changed
        self._changes, self._delays, self._stalls, self._rates, self._segments = (
            [each for each in shapers if each.fault.stage is stage] for stage in STAGES
        )
        starts = {each.window.start for each in shapers}
        self._edges = deque(sorted({*edges, *starts} - {0}))
        self._delayEdges = deque(sorted({each.window.start for each in self._delays} - {0}))
        self._bytes = bytearray()
        self._passed = self._ready = self._fed = 0
        self._arrivals: deque[tuple[float, int]] = deque()
        self._floor = -inf
        self._endDue: float | None = None
        self._call: IDelayedCall | None = None
        self._isPassing = False

    @property
    def held(self) -> int:
        """Bytes that have come in and did not pass."""
        return len(self._bytes)

    @property
    def load(self) -> int:
        """Bytes of memory that this takes."""
        return len(self._bytes) + _NOTE * len(self._arrivals)

    def feed(self, data: bytes) -> None:
        """Takes bytes in; it may pass them on at once."""
        if self.intake is not Intake.OPEN:
            return
        now = self._clock.seconds()
        for shaper in self._changes:
            data = shaper.change(data, self._fed, now)
        self._bytes += data
        end = self._fed + len(data)
        while self._fed < end:
            self._arrive(end, now)
        self._pass()

    def end(self) -> None:
        """Takes the end of the stream in."""
        if self.intake is not Intake.ENDED:
            self.intake = Intake.ENDED
            now = self._clock.seconds()
            self._endDue = now + self._delay(now)
            self._pass()

    def seal(self) -> None:
        """Takes nothing in any more but the end; held bytes still pass."""
        self.intake = max(self.intake, Intake.SEALED)

    def close(self) -> None:
        """Forgets the held bytes: nothing passes any more."""
        self.intake = Intake.ENDED
        self.isPaused = self.isStalled = False
        self._endDue = None
        self._bytes.clear()
        self._arrivals.clear()
        self._ready = self._fed = self._passed
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def pauseProducing(self) -> None:
        """Passes nothing on for now."""
        self.isPaused = True
        self._changed()

    def resumeProducing(self) -> None:
        """Goes on; the time between is not made up for."""
        if self.isPaused:
            self.isPaused = False
            self._floor = self._clock.seconds()
            self._pass()

    def stopProducing(self) -> None:
        """The transport below is gone, which the layer is told by itself."""

    def _arrive(self, end: int, now: float) -> None:
        """Notes when the next bytes in, up to an edge, may pass at the earliest."""
        while self._delayEdges and self._delayEdges[0] <= self._fed:
            self._delayEdges.popleft()
        if self._delayEdges:
            end = min(end, self._delayEdges[0])
        due = now + self._delay(now)
        self._fed = end
        if due > now or self._arrivals:
            self._arrivals.append((due, end))
        else:
            self._become(due, end)

    def _delay(self, now: float) -> float:
        return sum(each.delay(self._fed, now) for each in self._delays)

    def _become(self, due: float, end: int) -> None:
        """The bytes up to there are ready since then."""
        if self._ready == self._passed:
            self._floor = max(self._floor, due)
        self._ready = end

    def _pass(self) -> None:
        """Passes on the bytes that may pass, unless a call that is pending, or the caller, does so."""
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
        """Passes on the bytes that may pass; returns when more may, inf if time does not decide that."""
        while not self.isPaused:
            now = self._clock.seconds()
            while self._arrivals and self._arrivals[0][0] <= now + _ROUNDING:
                self._become(*self._arrivals.popleft())
            size = self._ready - self._passed
            if not size and self._arrivals:
                return self._arrivals[0][0]
            if not size and (self._endDue is None or self._endDue > now + _ROUNDING):
                return self._endDue or inf
            over = max((each.window.over(self._passed, now) for each in self._stalls), default=-inf)
            self.isStalled = over > now + _ROUNDING
            if self.isStalled:
                self._floor = over
                return over
            if not size:
                self._endDue = None
                self._finished()
                return inf
            wait = self._piece(size, now)
            if wait is not None:
                return wait
        return inf

    def _piece(self, size: int, now: float) -> float | None:
        """Passes a piece, of so many bytes at the most; returns when, if it is too early for it."""
        if self._edges:
            size = min(size, self._edges[0] - self._passed)
        rates = [each for each in self._rates if each.window.isOn(self._passed, now)]
        segments = [each for each in self._segments if each.window.isOn(self._passed, now)]
        on = [*rates, *segments]
        # A piece up to a cut waits for its last byte.
        limits = [each.most() for each in segments or rates]
        size = min(size, *(limits if segments else [_MOST, *limits]))
        at = max((each.earliest(size, self._floor) for each in on), default=self._floor)
        if at > now + _ROUNDING:
            return at
        for each in on:
            each.passed(size, at, now)
        piece = bytes(memoryview(self._bytes)[:size])
        del self._bytes[:size]
        self._passed += size
        self._deliver(piece)
        if self._edges and self._passed == self._edges[0]:
            self._reached(self._edges.popleft())
        return None
