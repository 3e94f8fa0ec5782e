"""Statistics: the percentiles that are printed, and for checks and ping spread, jitter and intervals.

:data:`PERCENTILES` is the only list: to add or remove a percentile, change its line there.

A percentile without samples above it is the maximum by another name, and three losses of a hundred are no
rate. So the functions here return None, or a wide interval, where there are few samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import Flag, auto
from itertools import pairwise

# Samples that must lie above a percentile for it to be stated: with fewer, the next run has another one.
ABOVE = 10

# The normal distribution's 97.5 % quantile: a 95 % interval ends there.
_Z = 1.959963984540054


class Output(Flag):
    """Outputs that print some percentiles. All percentiles are in the row of a run, and in its intervals."""

    # The times of a check, and the statistics of a ping.
    SAMPLES = auto()
    # One line: live progress, a repeat that has ended, the time to connect.
    LINE = auto()
    # The summary's table of repeats.
    REPEATS = auto()
    # Comparisons, and the tables of a page.
    FIGURES = auto()
    # The picture of the latency over time.
    OVER_TIME = auto()
    # The labels of a percentile axis, and those of them that a long axis omits on a narrow screen.
    AXIS = auto()
    MINOR = auto()


_EVERYWHERE = ~Output.MINOR
_TABLES = Output.SAMPLES | Output.FIGURES | Output.AXIS

# Rules go by these two as well: the growth of latencies by the median, the probe's lateness by the tail.
MEDIAN, TAIL = 50.0, 99.0

# In rising order.
PERCENTILES: Mapping[float, Output] = {
    MEDIAN: _EVERYWHERE,
    75.0: Output(0),
    90.0: _TABLES,
    TAIL: _EVERYWHERE,
    99.9: _TABLES | Output.REPEATS,
    99.99: Output.AXIS | Output.MINOR,
    99.999: Output.AXIS,
    99.9999: Output.AXIS | Output.MINOR,
}


def shownIn(output: Output = Output(0)) -> list[float]:
    """Returns the percentiles that an output prints, in rising order; by default all of them."""
    return [percentile for percentile, outputs in PERCENTILES.items() if output in outputs]


def nameOf(percentile: float) -> str:
    """Returns the name of a percentile: ``p50``, ``p99.99``."""
    return f"p{percentile:.10g}"


def percentile(samples: Sequence[float], percent: float) -> float | None:
    """Returns the sample that `percent` per cent of the samples do not exceed (nearest rank).

    :param samples: in any order.
    :param percent: between 0 and 100.
    :return: None where fewer than ten samples lie above it, by position.
    """
    position = max(1, math.ceil(len(samples) * percent / 100))
    return sorted(samples)[position - 1] if len(samples) - position >= ABOVE else None


def percentiles(samples: Sequence[float]) -> dict[float, float]:
    """Returns the percentiles of samples, those that have ten samples above them."""
    stated = {percent: percentile(samples, percent) for percent in shownIn(Output.SAMPLES)}
    return {percent: value for percent, value in stated.items() if value is not None}


def spread(seconds: Sequence[float]) -> str:
    """Formats percentiles and the maximum of times: ``p50 2.1 ms, max 3.0 ms of 20``.

    :param seconds: one at least.
    """
    parts = percentileTexts(percentiles(seconds))
    return ", ".join([*parts, f"max {milliseconds(max(seconds))} of {len(seconds)}"])


def percentileTexts(seconds: Mapping[float, float]) -> list[str]:
    """Returns a text for each percentile of times: ``p50 2.10 ms``."""
    return [f"{nameOf(percent)} {milliseconds(value)}" for percent, value in seconds.items()]


def milliseconds(seconds: float) -> str:
    """Formats a time in milliseconds, to three digits: ``0.0421 ms``, ``2.10 ms``, ``1250 ms``."""
    value = seconds * 1000
    decimals = 0 if value < 1e-9 else max(0, 2 - math.floor(math.log10(value)))
    return f"{value:.{decimals}f} ms"


def jitter(seconds: Sequence[float]) -> float | None:
    """Returns the mean absolute difference of successive times; None of fewer than two.

    This is the interarrival jitter of RFC 3550 (6.4.1) without its smoothing, and the packet delay variation
    of RFC 3393 between neighbours.

    :param seconds: in the order in which they were measured.
    """
    differences = [abs(after - before) for before, after in pairwise(seconds)]
    return math.fsum(differences) / len(differences) if differences else None


def interval(hits: int, tries: int) -> tuple[float, float]:
    """Returns the 95 % Wilson score interval of a share.

    Unlike the textbook's "two standard deviations" it holds for few tries and for shares near 0 and 1.
    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", Journal
    of the American Statistical Association 22 (1927), 209; recommended by Brown, Cai and DasGupta,
    "Interval estimation for a binomial proportion", Statistical Science 16 (2001), 101.

    :param tries: without tries, the interval is from 0 to 1.
    """
    if not tries:
        return 0.0, 1.0
    share, square = hits / tries, _Z * _Z
    centre = share + square / (2 * tries)
    half = _Z * math.sqrt(share * (1 - share) / tries + square / (4 * tries * tries))
    scale = 1 + square / tries
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def headsByChance(heads: int, tosses: int) -> float:
    """Returns the probability of at least so many heads in tosses of a fair coin.

    This is the sign test: where two kinds of samples do not differ, either is the greater one of a pair
    equally often.
    """
    return sum(math.comb(tosses, each) for each in range(heads, tosses + 1)) / (1 << tosses)
