"""Interface of the loads, and the values that a load measures."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from benchmarks.rows import Row


class LoadError(Exception):
    """A load that ended early; the text is its error, in one line."""


class Rest(NamedTuple):
    """The time in which idle connections are left alone, after all are open.

    :param settle: seconds until the measurement.
    :param seconds: seconds of the measurement.
    """

    settle: float
    seconds: float

    def share(
        self,
        usage: Callable[[], Usage],
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> float:
        """Waits, and returns the server's CPU time in % of a core.

        :param usage: returns the server's usage.
        """
        sleep(self.settle)
        start, before = clock(), usage()
        sleep(self.seconds)
        return 100 * (usage().cpu - before.cpu) / 1e9 / (clock() - start)


class Phase(NamedTuple):
    """Duration and rate of a load.

    :param warmup: seconds before the measured phase.
    :param seconds: seconds of the measured phase.
    :param rate: messages a second, if the row has a fixed rate.
    :param rest: the time in which idle connections are measured; None if they are not.
    """

    warmup: float
    seconds: float
    rate: int = 0
    rest: Rest | None = None


class Usage(NamedTuple):
    """The resources that a process has used so far.

    :param cpu: nanoseconds of all its threads, user and system.
    :param memory: resident bytes.
    """

    cpu: int
    memory: int

    @classmethod
    def of(cls, pid: int) -> Usage:
        """Returns the usage of a process of the same user."""
        # The clock of clock_getcpuclockid(3): the scheduler's own count, which getrusage(2) rounds.
        cpu = time.clock_gettime_ns((~pid << 3) | 2)
        # The counters in status and statm lag behind, by up to some hundred KiB; these are exact.
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        found = re.search(r"^Rss:\s*(\d+) kB", rollup, re.MULTILINE)
        assert found is not None
        return cls(cpu, int(found.group(1)) * 1024)

    @classmethod
    def ofTree(cls, pid: int) -> Usage:
        """Returns the usage of a process and its descendants, without those that have ended."""
        found = [cls.of(pid)]
        for listed in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, listed.read_text().split()):
                # It may have ended, and its parent has not noticed.
                with suppress(OSError):
                    found.append(cls.ofTree(child))
        return cls(sum(each.cpu for each in found), sum(each.memory for each in found))


class Outcome(NamedTuple):
    """The result of the measured phase: the load's figures, and the server's usage.

    :param seconds: the duration of the phase.
    :param median: the median of the round trips, in seconds; 0 if they were not timed.
    :param tail: the 99th percentile of the round trips, in seconds.
    :param share: the CPU time of a server at rest, in % of a core; None if it was not measured.
    """

    echoes: int
    seconds: float
    median: float
    tail: float
    cpu: int
    memory: int
    share: float | None = None

    @classmethod
    def between(
        cls, before: Usage, after: Usage, echoes: int, seconds: float, median: float = 0.0, tail: float = 0.0
    ) -> Outcome:
        """Returns the outcome with the server's usage between two moments."""
        return cls(echoes, seconds, median, tail, after.cpu - before.cpu, after.memory - before.memory)


class Load(ABC):
    """A load, as ``load.c`` describes it.

    :ivar language: ``C`` or ``Python``.
    :ivar missing: the reason why the load has no TLS; empty if it has.
    """

    language: str
    missing: str

    @abstractmethod
    def run(self, row: Row, address: tuple[str, int], phase: Phase, usage: Callable[[], Usage]) -> Outcome:
        """Loads a server until the phase is over and every connection is checked and closed.

        :param address: the server's address.
        :param usage: returns the server's usage; called before and after the measured phase.
        :raise LoadError: when a byte is wrong, lost or surplus, or the server is gone.
        """
