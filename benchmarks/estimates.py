"""The median of measurements, with its 90 % interval, and the ratios of rounds.

The interval's ends are two of the measurements: with 15 of them, the 4th lowest and the 4th highest. The true
median is below the k-th lowest only if fewer than k measurements are below the true median. Each is below it
with probability 1/2, so that the number of those is binomial, whatever the distribution is (David and
Nagaraja, Order Statistics, 3rd edition, section 7.1). A bootstrap would choose among the same values without
that guarantee. Student's t assumes a normal distribution, and costs have rare high values instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb, isfinite
from statistics import median
from typing import NamedTuple

# The probability with which the interval holds the median, at the least.
CONFIDENCE = 0.9


class Estimate(NamedTuple):
    """A median, with its 90 % interval.

    :param low: the interval's lower end; None if there are too few values for one.
    :param high: its upper end.
    """

    median: float
    low: float | None
    high: float | None


def rank(count: int) -> int:
    """Returns the rank of the interval's ends, from the lowest and the highest value; 0 if there are too few.

    :param count: the number of values.
    """
    ends, outside = 0, 0.0
    while (outside := outside + 2 * comb(count, ends) / 2**count) <= 1 - CONFIDENCE:
        ends += 1
    return ends


# The fewest values that have an interval.
FEWEST = next(count for count in range(1, 100) if rank(count))


def estimateOf(values: Sequence[float]) -> Estimate | None:
    """Returns the median of values with its interval; None if there are no values."""
    if not values:
        return None
    ordered = sorted(values)
    ends = rank(len(ordered))
    if not ends:
        return Estimate(median(ordered), None, None)
    return Estimate(median(ordered), ordered[ends - 1], ordered[-ends])


def ratios(ours: Sequence[float | None], others: Sequence[float | None]) -> list[float]:
    """Returns the ratio of each round that has both values.

    :param ours: the values of one server by round; None where a round has none, infinite where the server
        fell behind.
    :param others: those of the other server.
    """
    # A round after the end of the shorter one has one value.
    pairs = zip(ours, others, strict=False)
    # Two servers that fell behind in the same round tell nothing of each other.
    return [
        one / other
        for one, other in pairs
        if one is not None and other and (isfinite(one) or isfinite(other))
    ]
