"""When the messages of an open loop are due."""

from __future__ import annotations

import math
from collections.abc import Iterator
from heapq import merge
from itertools import islice, pairwise, takewhile

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.load.schedule import scheduleOf, sizesOf
from echo_app.probe.results.results import LoadSettings

RATE, CONNECTIONS, PROCESSES = 1000.0, 5, 2


def whole(arrivals: str, seconds: float, seed: int = 1) -> list[float]:
    """Returns when all messages of a load are due, over two workers with five connections each."""
    rate = RATE / PROCESSES
    share = LoadSettings(connections=CONNECTIONS, rate=rate, arrivals=arrivals, processes=PROCESSES)
    schedules: list[Iterator[float]] = [
        scheduleOf(share, 100.0, number, index, seed)
        for index in range(PROCESSES)
        for number in range(CONNECTIONS)
    ]
    return list(takewhile(lambda due: due < 100.0 + seconds, merge(*schedules)))


class ScheduleTests(SynchronousTestCase):
    def test_uniform(self) -> None:
        """All connections of all workers together have equal gaps."""
        times = whole("uniform", 10.0)
        self.assertEqual(len(times), 10_000)
        self.assertEqual(times[0], 100.0)
        for before, after in pairwise(times):
            self.assertApproximates(after - before, 1 / RATE, 1e-9)

    def test_noDrift(self) -> None:
        """After a million messages it is where it should be."""
        share = LoadSettings(rate=3.0, arrivals="uniform")
        last = next(islice(scheduleOf(share, 0.0, 0, 0, 1), 1_000_000, None))
        self.assertApproximates(last, 1_000_000 / 3, 1e-6)

    def test_poisson(self) -> None:
        """All together have exponential gaps, which know nothing of each other."""
        times = whole("poisson", 60.0)
        self.assertApproximates(len(times), 60_000, 5 * math.sqrt(60_000))
        gaps = sorted(after - before for before, after in pairwise(times))
        # Kolmogorov and Smirnov: at 1 in 1,000 a true one is further off; this one is always the same.
        distance = max(abs(1 - math.exp(-RATE * gap) - number / len(gaps)) for number, gap in enumerate(gaps))
        self.assertLess(distance, 1.95 / math.sqrt(len(gaps)))
        # Counts of a tenth of a second vary as much as they are large.
        counts = [0] * 600
        for due in times:
            counts[int((due - 100.0) * 10)] += 1
        mean = sum(counts) / len(counts)
        variance = sum((count - mean) ** 2 for count in counts) / len(counts)
        self.assertApproximates(variance / mean, 1.0, 0.2)

    def test_seed(self) -> None:
        """A seed repeats it."""
        self.assertEqual(whole("poisson", 1.0), whole("poisson", 1.0))
        self.assertNotEqual(whole("poisson", 1.0), whole("poisson", 1.0, seed=2))


class SizesTests(SynchronousTestCase):
    def test_one(self) -> None:
        """A single size is constant."""
        self.assertEqual(set(islice(sizesOf(LoadSettings(), 0, 0, 1), 1000)), {1024})

    def test_mix(self) -> None:
        """Several are drawn by their weights, and again so by the same seed."""
        mixed = LoadSettings(sizes=((64, 3.0), (1000, 1.0)))
        drawn = list(islice(sizesOf(mixed, 0, 0, 1), 10_000))
        self.assertApproximates(drawn.count(64), 7500, 200)
        self.assertEqual(drawn, list(islice(sizesOf(mixed, 0, 0, 1), 10_000)))
        self.assertNotEqual(drawn, list(islice(sizesOf(mixed, 1, 0, 1), 10_000)))
