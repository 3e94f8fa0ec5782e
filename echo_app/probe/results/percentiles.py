"""Percentiles that are printed, and the outputs that print each of them.

This is the only list: to add or remove a percentile, change its line in :data:`PERCENTILES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Flag, auto


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
