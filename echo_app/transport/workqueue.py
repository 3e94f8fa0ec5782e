"""Work queue: work of connections that takes long is done in slices, between turns of the reactor.

One connection with much work, or many connections with a little, would otherwise hold up all others. A queue
never waits while there is work: a slice comes in each turn of the reactor.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

# Seconds after which no further work begins in one turn of the reactor: as long as a turn of the poller.
SLICE = 0.002

# Seconds in which at most a slice of work is done without waiting.
PERIOD = 0.004


class WorkQueue:
    """Calls functions in the order in which they came, a slice of them in each turn of the reactor.

    A function takes well below a slice. It adds itself again if its work is not done; then it is the turn of
    the next one.

    :param clock: measures a slice, and makes the calls.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: OrderedDict[Callable[[], object], None] = OrderedDict()
        self._call: IDelayedCall | None = None
        self._periodEnd = self._spent = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    def do(self, work: Callable[[], object]) -> None:
        """Calls a function now, or in a later turn if others wait or have used up this period's slice."""
        now = self._clock.seconds()
        if now >= self._periodEnd:
            self._periodEnd, self._spent = now + PERIOD, 0.0
        if self._waiting or self._spent >= SLICE:
            self.add(work)
        else:
            try:
                work()
            finally:
                self._spent += self._clock.seconds() - now

    def add(self, work: Callable[[], object]) -> None:
        """Calls a function in a later turn; a function that waits already keeps its place."""
        self._waiting.setdefault(work, None)
        self._schedule()

    def remove(self, work: Callable[[], object]) -> None:
        """Forgets a function, if it waits."""
        self._waiting.pop(work, None)
        if not self._waiting and self._call is not None:
            self._call.cancel()
            self._call = None

    def _schedule(self) -> None:
        if self._call is None:
            self._call = self._clock.callLater(0, self._work)

    def _work(self) -> None:
        self._call = None
        began = self._clock.seconds()
        try:
            # Work that is added meanwhile comes in the next slice.
            for _ in range(len(self._waiting)):
                if not self._waiting or self._clock.seconds() - began >= SLICE:
                    break
                work, _ = self._waiting.popitem(last=False)
                work()
        finally:
            if self._waiting:
                self._schedule()
