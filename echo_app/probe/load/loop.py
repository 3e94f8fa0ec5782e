"""Event loop of a worker: waits for sockets and times, to some tens of microseconds.

A reactor would do, for all but this: epoll's time-outs are whole milliseconds, and a schedule is as exact
as the waiting. So this is an epoll of its own, and ``select()`` on its descriptor where a moment is near.

How late 1,000 moments a second were on a machine with two cores, in microseconds, median and 99th percentile:
epoll alone 535 and 1,076; ``select()`` 71 and 277, and 25 and 96 where Linux does not stretch time-outs
(:func:`wakeExactly`); a timerfd, through ctypes, 20 and 131; epoll_pwait2(2), through ctypes, 44 and 120.
Who is awake for the last 60 us is 0.4 and 71 us late, but takes 60 us of processor for each moment, which a
server beside it may need.
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

# Events that are asked for at once.
EVENTS = 1024

# Seconds: what is further away is waited for by epoll alone, in whole milliseconds, less one.
NEAR, LEFT = 0.003, 0.001

# Seconds of the longest wait: with no call to make, the loop looks this often whether it was stopped.
LONGEST_WAIT = 1.0

# Linux adds up to 50 us to a time-out of a process, so that it wakes up for several at once, unless this
# file says otherwise (proc(5)).
_SLACK = Path("/proc/self/timerslack_ns")

# Returns when to be called again, a second of the monotonic clock; None is never.
Call = Callable[[float], "float | None"]


def wakeExactly() -> None:
    """Has this process's time-outs end when they are over."""
    with suppress(OSError):
        _SLACK.write_text("1")


class Loop:
    """Calls what is ready, and what is due.

    :ivar clock: returns a second of CLOCK_MONOTONIC.
    :ivar woken: when the sockets were found ready that are served now.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.clock = clock
        self._epoll = select.epoll()
        self._ready: dict[int, Callable[[int], object]] = {}
        self._calls: list[tuple[float, int, Call]] = []
        self._numbers = count()
        self._isStopped = False
        self.woken = 0.0

    def watch(self, fd: int, events: int, call: Callable[[int], object]) -> None:
        """Calls with the events when there are any of them, or an error or hang-up."""
        self._ready[fd] = call
        self._epoll.register(fd, events)

    def change(self, fd: int, events: int, call: Callable[[int], object]) -> None:
        """Watches for other events, or calls something else."""
        self._ready[fd] = call
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Watches no more; harmless if nothing did."""
        if self._ready.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def at(self, moment: float, call: Call) -> None:
        """Calls at a moment, with that moment, and again when it returns another one."""
        heappush(self._calls, (moment, next(self._numbers), call))

    def stop(self) -> None:
        """Ends :meth:`run`."""
        self._isStopped = True

    def close(self) -> None:
        """Watches nothing any more."""
        self._epoll.close()

    def run(self) -> None:
        """Serves until :meth:`stop`."""
        ready, clock = self._ready, self.clock
        while not self._isStopped:
            self._serveCalls(clock())
            events = [] if self._isStopped else self._wait()
            if events:
                self.woken = clock()
            for fd, event in events:
                # What was called before it may have ended it.
                call = ready.get(fd)
                if call is not None:
                    call(event)

    def _serveCalls(self, now: float) -> None:
        calls = self._calls
        while calls and calls[0][0] <= now and not self._isStopped:
            moment, number, call = calls[0]
            # What it adds comes after it.
            again = call(moment)
            if again is None:
                heappop(calls)
            else:
                heapreplace(calls, (again, number, call))

    def _wait(self) -> list[tuple[int, int]]:
        left = self._calls[0][0] - self.clock() if self._calls else LONGEST_WAIT
        if left >= NEAR:
            return self._epoll.poll(min(left, LONGEST_WAIT) - LEFT, EVENTS)
        if left > 0:
            select.select((self._epoll,), (), (), left)
        return self._epoll.poll(0, EVENTS)
