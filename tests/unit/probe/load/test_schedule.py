"""When the messages of an open loop are due."""

from __future__ import annotations

import math
from collections.abc import Iterator
from heapq import merge
from itertools import islice, pairwise, takewhile

from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.load.schedule import endOf, scheduleOf, sizesOf
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


class RampTests(SynchronousTestCase):
    def times(self, first: float, last: float, arrivals: str) -> list[float]:
        """Returns when the messages of ten seconds are due, after a warm-up of two seconds."""
        share = LoadSettings(
            rate=first, rampTo=last, arrivals=arrivals, duration=10.0, warmup=2.0, connections=4
        )
        schedules = [scheduleOf(share, 100.0, number, 0, 1) for number in range(4)]
        return list(takewhile(lambda due: due < 112.0, merge(*schedules)))

    def test_uniform(self) -> None:
        """The rate rises or falls evenly, and is the first one in the warm-up."""
        for first, last in ((100.0, 500.0), (500.0, 100.0), (300.0, 300.0)):
            times = self.times(first, last, "uniform")
            self.assertEqual(times[0], 100.0)
            slope = (last - first) / 10
            counts = [0] * 12
            for due in times:
                counts[int(due - 100.0)] += 1
            expected = [first, first, *(first + slope * (second + 0.5) for second in range(10))]
            for count, each in zip(counts, expected, strict=True):
                self.assertApproximates(count, each, 3)

    def test_poisson(self) -> None:
        """With random arrivals it is so on average."""
        times = self.times(1000.0, 5000.0, "poisson")
        begun = sum(due < 102.0 for due in times)
        self.assertApproximates(begun, 2000, 5 * math.sqrt(2000))
        self.assertApproximates(len(times) - begun, 30_000, 5 * math.sqrt(30_000))
        half = sum(102.0 <= due < 107.0 for due in times)
        self.assertApproximates(half, 10_000, 5 * math.sqrt(10_000))

    def test_zero(self) -> None:
        """A rate that falls would be 0 after the run: no message is due then."""
        share = LoadSettings(rate=10.0, rampTo=1.0, arrivals="uniform", duration=1.0, warmup=0.0)
        times = list(islice(scheduleOf(share, 0.0, 0, 0, 1), 50))
        self.assertEqual(times[-1], math.inf)
        self.assertEqual(sum(due < 1.0 for due in times), 6)


class EndTests(SynchronousTestCase):
    def test_count(self) -> None:
        """As many messages as the count are due before the end, after the warm-up."""
        for arrivals in ("uniform", "poisson"):
            share = LoadSettings(rate=50.0, arrivals=arrivals, warmup=1.5, connections=3, count=40)
            times = merge(*(scheduleOf(share, 0.0, number, 0, 1) for number in range(3)))
            end = endOf(share, 0, 1)
            dues = list(islice(times, 1000))
            self.assertEqual(sum(1.5 <= due < 1.5 + end for due in dues), 40)
        self.assertEqual(endOf(LoadSettings(rate=50.0, arrivals="uniform", count=0), 0, 1), 0.0)


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
