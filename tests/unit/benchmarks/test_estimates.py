"""The median of measurements, its interval, and ratios by rounds."""

from __future__ import annotations

import random
from math import inf

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.estimates import Estimate, estimateOf, rank, ratios


class RankTests(SynchronousTestCase):
    def test_fifteen(self) -> None:
        """Of 15 values the ends are the 4th and the 12th."""
        self.assertEqual(rank(15), 4)

    def test_few(self) -> None:
        """Five values are the fewest that have an interval: then it is from the lowest to the highest."""
        self.assertEqual([rank(count) for count in range(9)], [0, 0, 0, 0, 0, 1, 1, 1, 2])

    def test_covers(self) -> None:
        """Nine intervals of ten, or more, hold the distribution's median, which here is 1."""
        chance = random.Random(1)
        for count in (5, 8, 15, 40):
            held = 0
            for _ in range(2000):
                # Skewed, as costs are: disturbance only adds to them.
                found = estimateOf([chance.expovariate(1) / 0.6931471805599453 for _ in range(count)])
                assert found is not None
                assert found.low is not None
                assert found.high is not None
                held += found.low <= 1 <= found.high
            self.assertGreater(held / 2000, 0.885, count)


class EstimateTests(SynchronousTestCase):
    def test_odd(self) -> None:
        """The order of the values does not matter."""
        values = [float(value) for value in range(1, 16)]
        random.Random(2).shuffle(values)
        self.assertEqual(estimateOf(values), Estimate(8, 4, 12))

    def test_even(self) -> None:
        """The median of an even number of values is between the two in the middle."""
        self.assertEqual(estimateOf([1, 2, 3, 5, 6, 7]), Estimate(4, 1, 7))

    def test_few(self) -> None:
        """Four values have a median, and no interval; none have nothing."""
        self.assertEqual(estimateOf([1, 2, 3, 4]), Estimate(2.5, None, None))
        self.assertIsNone(estimateOf([]))

    def test_infinite(self) -> None:
        """A value that has no bound counts as the highest."""
        self.assertEqual(estimateOf([inf, 1, 2, 3, inf]), Estimate(3, 1, inf))
        self.assertEqual(estimateOf([inf, inf]), Estimate(inf, None, None))


class RatioTests(SynchronousTestCase):
    def test_paired(self) -> None:
        """Each round has a ratio of its own, so that what slows a round down for both cancels out."""
        self.assertEqual(ratios([2, 20, 3], [1, 10, 1]), [2, 2, 3])

    def test_missing(self) -> None:
        """A round without one of the two has no ratio."""
        self.assertEqual(ratios([2, None, 3, 4], [1, 1, None]), [2])
        self.assertEqual(ratios([1.0], [0.0]), [])

    def test_infinite(self) -> None:
        """A round in which one server fell behind counts against that server; one with both says nothing."""
        self.assertEqual(ratios([inf, 1, inf], [1, inf, inf]), [inf, 0])
