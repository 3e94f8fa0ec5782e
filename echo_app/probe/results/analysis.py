"""Analysis of one run: whether it is good, its rate, and whether latencies grew."""

from __future__ import annotations

from statistics import median_high, median_low

from echo_app.probe.results.percentiles import MEDIAN
from echo_app.probe.results.results import LoadSettings, Run

# How far the rate that was sent may be from the one that was asked for. Of arrivals by chance their number is
# by chance too: three of its standard deviations are no miss.
EXACT, DEVIATIONS = 0.01, 3


def isGood(run: Run) -> bool:
    """Says whether every message came back, as it was sent."""
    return not run.errors and not run.differences


def rateOf(run: Run, settings: LoadSettings) -> float:
    """Returns answers a second.

    Where answers fell behind a schedule they took longer than the run, and those that came after it are no
    part of its rate.
    """
    slope = growth(run) if settings.rate is not None else 0.0
    return run.rate / (1 + slope) if slope > EXACT else run.rate


def growth(run: Run) -> float:
    """Returns by how many seconds latencies grew in each second, from the first third to the last.

    Where a service can't keep up with a schedule, what is due waits, and each second for longer. The medians
    of many seconds do not see a stall.

    :return: 0 where there are too few intervals to tell.
    """
    latencies = [each.percentiles[MEDIAN] for each in run.intervals if MEDIAN in each.percentiles]
    third = len(latencies) // 3
    if third < 2 or not run.seconds:
        return 0.0
    before, after = median_high(latencies[:third]), median_low(latencies[-third:])
    return (after - before) / (run.seconds * 2 / 3)
