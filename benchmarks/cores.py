"""Chooses one core for the server and another for the load."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple


class Cores(NamedTuple):
    """The numbers of two cores; the same number twice if there is only one."""

    server: int
    load: int

    def distinct(self) -> int:
        """Returns the number of different cores."""
        return len({self.server, self.load})


def _siblings(core: int) -> set[int]:
    """Returns the logical processors of a logical processor's physical core, with itself."""
    path = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
    try:
        parts = path.read_text().strip().split(",")
        ranges = [[int(end) for end in part.split("-")] for part in parts]
    except (OSError, ValueError):
        return {core}
    return {each for ends in ranges for each in range(ends[0], ends[-1] + 1)}


def chooseCores() -> Cores:
    """Chooses the last core for the server, and another for the load.

    The first core has most of the interrupts. Two logical processors of one physical core are chosen only if
    there is no other.
    """
    allowed = sorted(os.sched_getaffinity(0))
    server = allowed[-1]
    others = [core for core in allowed if core not in _siblings(server)] or allowed
    return Cores(server, others[0])


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """Pins processes that are started in the block to a core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
