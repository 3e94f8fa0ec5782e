"""Statistics of measurements, and their limits."""

from __future__ import annotations

import math
from statistics import NormalDist

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.results.statistics import (
    ABOVE,
    headsByChance,
    interval,
    jitter,
    milliseconds,
    percentile,
    percentiles,
    spread,
)
from tests.support.properties import given

TIMES = st.lists(st.floats(0, 1000), min_size=1, max_size=300)


class PercentileTests(SynchronousTestCase):
    @given(TIMES, st.sampled_from((1.0, 50.0, 90.0, 99.0)))
    def test_definition(self, samples: list[float], rank: float) -> None:
        """A percentile is the smallest sample that so many per cent do not exceed."""
        value = percentile(samples, rank)
        if value is None:
            return
        share = [sum(other <= sample for other in samples) * 100 for sample in samples]
        enough = [s for s, below in zip(samples, share, strict=True) if below >= rank * len(samples)]
        self.assertEqual(value, min(enough))

    def test_tenAbove(self) -> None:
        """A percentile is stated from the number of samples on that leaves ten above it."""
        for rank, fewest in ((50.0, 20), (90.0, 100), (99.0, 1000), (99.9, 10_000)):
            samples = [float(n) for n in range(fewest, 0, -1)]
            value = percentile(samples, rank)
            assert value is not None
            self.assertEqual(sum(sample > value for sample in samples), ABOVE)
            self.assertIsNone(percentile(samples[1:], rank))

    def test_none(self) -> None:
        """Of nothing there is no percentile."""
        self.assertEqual(percentiles([]), {})

    def test_words(self) -> None:
        """The maximum is always named, and the number of samples; a percentile only when it can be."""
        self.assertEqual(spread([0.002] * 19 + [0.003]), "p50 2.00 ms, max 3.00 ms of 20")
        self.assertEqual(spread([0.5]), "max 500 ms of 1")
        self.assertEqual(
            spread([n / 1000 for n in range(1, 101)]), "p50 50.0 ms, p90 90.0 ms, max 100 ms of 100"
        )

    def test_milliseconds(self) -> None:
        """Three digits, and no more decimals than they need."""
        times = (0, 4.21e-5, 0.0021, 0.0213, 0.213, 12.5)
        words = ["0 ms", "0.0421 ms", "2.10 ms", "21.3 ms", "213 ms", "12500 ms"]
        self.assertEqual([milliseconds(each) for each in times], words)


class JitterTests(SynchronousTestCase):
    @given(TIMES)
    def test_definition(self, times: list[float]) -> None:
        """The jitter is the mean difference of each time from the one before."""
        total = sum(abs(times[i] - times[i - 1]) for i in range(1, len(times)))
        value = jitter(times)
        if len(times) == 1:
            self.assertIsNone(value)
        else:
            assert value is not None
            self.assertTrue(math.isclose(value, total / (len(times) - 1), abs_tol=1e-9))

    def test_order(self) -> None:
        """The jitter depends on the order of the times, not on their spread."""
        self.assertEqual(jitter([1.0, 2.0, 3.0]), 1.0)
        self.assertEqual(jitter([1.0, 3.0, 2.0]), 1.5)


class IntervalTests(SynchronousTestCase):
    @given(st.integers(1, 5000).flatmap(lambda tries: st.tuples(st.integers(0, tries), st.just(tries))))
    def test_definition(self, counts: tuple[int, int]) -> None:
        """At its ends the share that was seen is 1.96 standard deviations away, and inside it is nearer."""
        hits, tries = counts
        quantile = NormalDist().inv_cdf(0.975)

        def deviations(probability: float) -> float:
            return abs(hits / tries - probability) / math.sqrt(probability * (1 - probability) / tries)

        low, high = interval(hits, tries)
        for end in (low, high):
            # At the ends of the scale a share has no deviation: 0 of 10 is as far from 0 as it is.
            if 1e-9 < end < 1 - 1e-9:
                self.assertTrue(math.isclose(deviations(end), quantile, rel_tol=1e-6), end)
        self.assertLess(deviations((low + high) / 2), quantile)
        self.assertTrue(low - 1e-12 <= hits / tries <= high + 1e-12)

    def test_published(self) -> None:
        """Worked examples: those of Newcombe (Statistics in Medicine 17, 1998, table I, method 3)."""
        for hits, tries, low, high in (
            (81, 263, 0.2553, 0.3662),
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ):
            self.assertEqual(tuple(round(end, 4) for end in interval(hits, tries)), (low, high))

    def test_nothing(self) -> None:
        """Of no tries nothing is known."""
        self.assertEqual(interval(0, 0), (0.0, 1.0))


class SignTests(SynchronousTestCase):
    @given(st.integers(1, 200).flatmap(lambda tosses: st.tuples(st.integers(1, tosses), st.just(tosses))))
    def test_definition(self, counts: tuple[int, int]) -> None:
        """So many heads or more is the opposite of so many tails or more, less one."""
        heads, tosses = counts
        total = headsByChance(heads, tosses) + headsByChance(tosses - heads + 1, tosses)
        self.assertTrue(math.isclose(total, 1.0), total)

    def test_known(self) -> None:
        """Of 1,024 series of ten tosses 56 have eight heads or more, and one has ten."""
        self.assertEqual([headsByChance(heads, 10) * 1024 for heads in (0, 8, 10)], [1024, 56, 1])
        self.assertEqual(headsByChance(0, 0), 1.0)
