"""Faults of time and rate that a test plants in the evidence of a good path."""

from __future__ import annotations

from collections.abc import Sequence

from echo_app.probe.checks.latereader import LIMIT
from echo_app.probe.checks.smallwrites import PAIRS, Pair
from echo_app.probe.checks.times import LARGE, SEGMENT, SMALL
from tests.support.goodpath import MIB, GoodPath

# Seconds by which a planted fault makes something late.
LATE = 0.25


def noPushBack(path: GoodPath) -> None:
    path.filling.swallowed, path.filling.isPushedBack = LIMIT, False


def nagle(path: GoodPath) -> None:
    path.rounds.batches[0] = [Pair(path.rtt + 0.044, path.rtt)] * PAIRS


def delay(path: GoodPath, sizes: Sequence[int], which: slice = slice(None), late: float = LATE) -> None:
    """Makes round trips of these sizes late on some of the connections."""
    for timed in path.times.connections[which]:
        for size in sizes:
            for trips in (timed.trips, timed.net):
                trips[size] = [each + late for each in trips[size]]


def smallSlow(path: GoodPath) -> None:
    delay(path, (SMALL, SEGMENT))


def firstSlow(path: GoodPath) -> None:
    for timed in path.times.connections:
        timed.first = LATE


def coldStart(path: GoodPath) -> None:
    path.connects.records[0].firstAnswer = 2.0


def siblings(path: GoodPath) -> None:
    delay(path, (SMALL, SEGMENT, LARGE), slice(0, None, 3))


def slowService(path: GoodPath) -> None:
    delay(path, (SMALL, SEGMENT, LARGE))
    for timed in path.times.connections:
        timed.first = LATE


def jitter(path: GoodPath) -> None:
    for timed in path.times.connections:
        for n in range(1, len(timed.net[SMALL])):
            for trips in (timed.trips, timed.net):
                for size in (SMALL, SEGMENT, LARGE):
                    trips[size][n] += 0.03 * n


def outliers(path: GoodPath) -> None:
    for record in (path.records("identity")[0], path.records("burst")[-1]):
        record.longestWait, record.waitedSince = 0.3, record.began


def pauses(path: GoodPath) -> None:
    path.sizes.records.append(path.made("identity", 3.0, 30 * MIB))
    for record in path.sizes.records:
        record.longestWait, record.waitedAt, record.waitedSince = 0.7, MIB, record.began + 1


def lateEnd(path: GoodPath) -> None:
    for record in path.halfCloses.records:
        assert record.lastCame is not None
        record.ended = record.lastCame + 1.0


def limitedOut(path: GoodPath) -> None:
    path.sizes.batches[-1] = (17 * MIB, 16 * MIB, 8.0)
    path.filling.out = [(n * 0.3, n * 600_000) for n in range(11)]


def policed(path: GoodPath) -> None:
    # 8 MiB a second at first, and then a half.
    path.sizes.batches[-2:] = [(9 * MIB, 8 * MIB, 16.0), (17 * MIB, 16 * MIB, 32.0)]
