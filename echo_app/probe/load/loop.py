"""Event loop of a worker: waits for sockets and times, to some tens of microseconds.

A reactor waits for whole milliseconds, as epoll does, and a schedule is as exact as the wait. So this loop
has an epoll of its own, and waits with ``select()`` on its descriptor where a moment is near.

How late 1,000 moments a second were on a machine with two cores, in microseconds, median and 99th percentile:
epoll alone 535 and 1,076; ``select()`` 71 and 277, and 25 and 96 where Linux does not stretch time-outs
(:func:`wakeExactly`); a timerfd, through ctypes, 20 and 131; epoll_pwait2(2), through ctypes, 44 and 120. A
busy wait for the last 60 us is 0.4 and 71 us late, but takes 60 us of processor for each moment, which a
server on the same machine may need.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from contextlib import suppress
from heapq import heappop, heappush, heapreplace
from itertools import count
from pathlib import Path
from time import monotonic

IN, OUT = select.EPOLLIN, select.EPOLLOUT

# Events that one epoll_wait() returns, at the most.
EVENTS = 1024

# Seconds: a call that is further away than NEAR is waited for by epoll alone, in whole milliseconds, less
# LEFT.
NEAR, LEFT = 0.003, 0.001

# Seconds of the longest wait, where no call is due before.
LONGEST_WAIT = 1.0

# Seconds by which a call is late only after a pause of this process, in which sockets may become ready.
PAUSE = 0.05

NEVER = float("inf")

# Linux adds up to 50 us to a time-out of a process, so that it wakes up for several at once, unless this
# file says otherwise (proc(5)).
_SLACK = Path("/proc/self/timerslack_ns")

# Returns the moment of its next call, a second of the monotonic clock; None is never.
Call = Callable[[float], "float | None"]


def wakeExactly() -> None:
    """Sets the timer slack of this process to a nanosecond."""
    with suppress(OSError):
        _SLACK.write_text("1")


class Loop:
    """Calls functions when their sockets are ready, and at moments.

    :ivar clock: returns a second of CLOCK_MONOTONIC.
    :ivar woken: the moment at which the sockets that are served now were found ready; after a pause of this
        process, the moment of the first late call.
    :ivar since: the moment from which on they may have been ready: they were not when the loop looked then.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.clock = clock
        self._epoll = select.epoll()
        self._ready: dict[int, Callable[[int], object]] = {}
        self._calls: list[tuple[float, int, Call]] = []
        self._numbers = count()
        self._isStopped = False
        self.woken = self.since = 0.0

    def watch(self, fd: int, events: int, call: Callable[[int], object]) -> None:
        """Watches a descriptor: calls with its events, errors and hang-ups included."""
        self._ready[fd] = call
        self._epoll.register(fd, events)

    def change(self, fd: int, events: int, call: Callable[[int], object]) -> None:
        """Changes the events of a descriptor, or the function that is called."""
        self._ready[fd] = call
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Stops watching a descriptor, if it is watched."""
        if self._ready.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def at(self, moment: float, call: Call) -> None:
        """Calls a function at a moment, with that moment, and again at the moment that it returns."""
        heappush(self._calls, (moment, next(self._numbers), call))

    def stop(self) -> None:
        """Ends :meth:`run`."""
        self._isStopped = True

    def close(self) -> None:
        """Closes the epoll descriptor."""
        self._epoll.close()

    def run(self) -> None:
        """Serves until :meth:`stop`."""
        ready, clock = self._ready, self.clock
        looked = clock()
        while not self._isStopped:
            now = clock()
            paused = self._pausedSince(now)
            self._serveCalls(now)
            events = [] if self._isStopped else self._poll()
            before, looked = looked, clock()
            if events:
                self.woken = min(looked, paused, self._pausedSince(looked))
                self.since = min(before, self.woken)
            elif not self._isStopped:
                events = self._wait()
                looked = clock()
                self.woken = self.since = min(looked, self._pausedSince(looked))
            for fd, event in events:
                # An earlier call of this turn may have closed this descriptor.
                call = ready.get(fd)
                if call is not None:
                    call(event)

    def _next(self) -> float:
        return self._calls[0][0] if self._calls else NEVER

    def _pausedSince(self, now: float) -> float:
        """Returns since when this process did not run, as far as a late call shows it; NEVER if it ran."""
        moment = self._next()
        return moment if moment < now - PAUSE else NEVER

    def _serveCalls(self, now: float) -> None:
        calls = self._calls
        while calls and calls[0][0] <= now and not self._isStopped:
            moment, number, call = calls[0]
            # A call that this one adds has a later moment or number, so that this one stays the first.
            again = call(moment)
            if again is None:
                heappop(calls)
            else:
                heapreplace(calls, (again, number, call))

    def _poll(self) -> list[tuple[int, int]]:
        return self._epoll.poll(0, EVENTS)

    def _wait(self) -> list[tuple[int, int]]:
        left = self._next() - self.clock()
        if left >= NEAR:
            return self._epoll.poll(min(left, LONGEST_WAIT) - LEFT, EVENTS)
        if left > 0:
            select.select((self._epoll,), (), (), left)
        return self._epoll.poll(0, EVENTS)
