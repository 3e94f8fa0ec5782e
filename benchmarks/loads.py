"""What loads a server, and what is seen of the server meanwhile."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.rows import Row


class LoadError(Exception):
    """The load ended early; the text is its one line."""


class Phase(NamedTuple):
    """How long to load, and how fast.

    :param warmup: seconds before anything counts.
    :param rate: messages a second, where the row has a fixed rate.
    """

    warmup: float
    seconds: float
    rate: int = 0


class Usage(NamedTuple):
    """What a process has used so far.

    :param cpu: nanoseconds of all its threads, user and system.
    :param memory: resident bytes.
    """

    cpu: int
    memory: int

    @classmethod
    def of(cls, pid: int) -> Usage:
        """Looks at a process of one's own user."""
        # What clock_getcpuclockid(3) returns: the scheduler's own count, which getrusage(2) rounds.
        cpu = time.clock_gettime_ns((~pid << 3) | 2)
        # The counters in status and statm lag behind, by up to some hundred KiB; these are exact.
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        found = re.search(r"^Rss:\s*(\d+) kB", rollup, re.MULTILINE)
        assert found is not None
        return cls(cpu, int(found.group(1)) * 1024)


class Outcome(NamedTuple):
    """What the load says of the measured phase, and what the server used in it.

    :param seconds: how long it took.
    :param median: of the round trips, in seconds; 0 where they were not timed.
    :param tail: their 99th percentile.
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
        """Takes what the server used from before to after."""
        return cls(echoes, seconds, median, tail, after.cpu - before.cpu, after.memory - before.memory)


class Load(ABC):
    """What loads a server, as ``load.c`` describes it.

    :ivar language: ``C`` or ``Python``.
    :ivar missing: why it does no TLS; empty where it does.
    """

    language: str
    missing: str

    @abstractmethod
    def run(self, row: Row, address: tuple[str, int], phase: Phase, usage: Callable[[], Usage]) -> Outcome:
        """Loads a server at an address until the phase is over and every connection is checked and closed.

        :param usage: tells what the server has used; asked before and after the measured phase.
        :raise LoadError: when a byte is wrong, lost or too many, or the server is gone.
        """
