"""Interface of the loads, and the values that a load measures."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.rows import Row


class LoadError(Exception):
    """A load that ended early; the text is its error, in one line."""


class Phase(NamedTuple):
    """Duration and rate of a load.

    :param warmup: seconds before the measured phase.
    :param seconds: seconds of the measured phase.
    :param rate: messages a second, if the row has a fixed rate.
    """

    warmup: float
    seconds: float
    rate: int = 0


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


class Outcome(NamedTuple):
    """The result of the measured phase: the load's figures, and the server's usage.

    :param seconds: the duration of the phase.
    :param median: the median of the round trips, in seconds; 0 if they were not timed.
    :param tail: the 99th percentile of the round trips, in seconds.
    """

    echoes: int
    seconds: float
    median: float
    tail: float
    cpu: int
    memory: int

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
