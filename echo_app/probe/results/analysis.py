"""Analysis of one run: whether it is good, its rate, and whether latencies grew."""

from __future__ import annotations

from statistics import median_high, median_low

from echo_app.probe.results.results import LoadSettings, Run
from echo_app.probe.results.statistics import MEDIAN

# The tolerated difference of the rate that was sent to the rate that was asked for: a share of it, or with
# random arrivals, whose number is random too, three standard deviations.
EXACT, DEVIATIONS = 0.01, 3


def isGood(run: Run) -> bool:
    """Says whether every message came back, as it was sent."""
    return not run.errors and not run.differences


def rateOf(run: Run, settings: LoadSettings) -> float:
    """Returns answers a second.

    Where answers fell behind a schedule, they took longer than the run: those that came after it do not
    count.
    """
    slope = growth(run) if settings.rate is not None else 0.0
    return run.rate / (1 + slope) if slope > EXACT else run.rate


def growth(run: Run) -> float:
    """Returns the growth of the latency: seconds a second, from the first third of a run to the last.

    Where a service can't keep up with a schedule, messages wait longer each second. The medians of many
    seconds are used, as a stall does not move them.

    :return: 0 where there are too few intervals to tell.
    """
    latencies = [each.percentiles[MEDIAN] for each in run.intervals if MEDIAN in each.percentiles]
    third = len(latencies) // 3
    if third < 2 or not run.seconds:
        return 0.0
    before, after = median_high(latencies[:third]), median_low(latencies[-third:])
    return (after - before) / (run.seconds * 2 / 3)
