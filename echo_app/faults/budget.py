"""Budget: what faults may take of the reactor's time, over all connections of a service.

A peer may choose expensive faults for itself (``--fault-preamble``), and many peers may. Their work is done
in slices: at most half of the time, and a slice at once, so that other connections have their turn between
two slices. Work beyond that waits, in its order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import implementer

if TYPE_CHECKING:
    from typing import TypeAlias

    Work: TypeAlias = Callable[[], object]

# Seconds of work in each period. An echo of another connection waits for a slice at the most.
SLICE, PERIOD = 0.002, 0.004

# Seconds of one connection's work at once; then it is the next connection's turn.
TURN = 0.0005


@implementer(IReactorTime)
class Budget:
    """A clock whose calls, when they are due, are work within the budget.

    :param clock: the clock, which also measures the work.

    :ivar isWorking: work is being done now.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: deque[Work] = deque()
        self._periodEnd = 0.0
        self._spent = 0.0
        self.isWorking = False
        self._isScheduled = False

    def seconds(self) -> float:
        """Returns the clock's seconds."""
        return self._clock.seconds()

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kw: Any) -> IDelayedCall:
        """Does work after so many seconds, or later when others have used up the budget."""
        call = _BudgetCall(lambda: callable(*args, **kw))
        call.start(self._clock.callLater(delay, self.do, call.run))
        return call

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        """Returns the clock's calls."""
        return self._clock.getDelayedCalls()

    def do(self, work: Work) -> None:
        """Does work now, or when it is its turn."""
        if self._waiting or self.isWorking or not self._hasRoom():
            self._waiting.append(work)
            self._wait()
        else:
            self._measure(work)

    def isOver(self, began: float) -> bool:
        """Says whether one connection has worked for long enough since a time."""
        return self._clock.seconds() - began > TURN

    def _hasRoom(self) -> bool:
        now = self._clock.seconds()
        if now >= self._periodEnd:
            self._periodEnd = now + PERIOD
            self._spent = 0.0
        return self._spent < SLICE

    def _measure(self, work: Work) -> None:
        began = self._clock.seconds()
        self.isWorking = True
        try:
            work()
        finally:
            self.isWorking = False
            self._spent += self._clock.seconds() - began

    def _wait(self) -> None:
        if not self._isScheduled:
            self._isScheduled = True
            # With room left, in the reactor's next turn.
            wait = 0.0 if self._hasRoom() else max(0.0, self._periodEnd - self._clock.seconds())
            self._clock.callLater(wait, self._goOn)

    def _goOn(self) -> None:
        """Does the work that waits, as far as the budget goes."""
        self._isScheduled = False
        try:
            # Work that comes meanwhile has the next slice.
            for _ in range(len(self._waiting)):
                if not self._hasRoom():
                    break
                self._measure(self._waiting.popleft())
        finally:
            if self._waiting:
                self._wait()


@implementer(IDelayedCall)
class _BudgetCall:
    """A call that waits for its time, and then for its turn.

    :param function: the work.
    """

    _call: IDelayedCall

    def __init__(self, function: Work) -> None:
        self._function: Work | None = function

    def start(self, call: IDelayedCall) -> None:
        """Waits for the time of a call of the clock."""
        self._call = call

    def run(self) -> None:
        """Does the work, unless it was cancelled while it waited for its turn."""
        function, self._function = self._function, None
        if function is not None:
            function()

    def cancel(self) -> None:
        """Cancels the work."""
        self._function = None
        if self._call.active():
            self._call.cancel()

    def active(self) -> bool:
        """Returns whether the work is still to be done."""
        return self._function is not None

    def getTime(self) -> float:
        """Returns the time at which the work is due."""
        return self._call.getTime()

    def delay(self, secondsLater: float) -> None:
        """Makes the work due later."""
        self._call.delay(secondsLater)

    def reset(self, secondsFromNow: float) -> None:
        """Makes the work due so many seconds from now."""
        self._call.reset(secondsFromNow)
