"""Scales of axes: positions of values, and labels; pure functions.

A position is a share of the axis, from 0 to 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from echo_app.probe.results.statistics import Output, shownIn

# The relative difference below which a value equals a round number.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Tick:
    """A label of an axis.

    :param at: its position.
    :param text: its text.
    :param isMinor: the label may be omitted where there is no room.
    """

    at: float
    text: str
    isMinor: bool = False


@dataclass(frozen=True, slots=True)
class Logarithmic:
    """A logarithmic axis of times.

    :param low: seconds at its beginning; shorter times have the same position.
    :param high: seconds at its end.
    """

    low: float
    high: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Logarithmic:
        """Returns the shortest axis that has all these times and ends at 1, 2 or 5 with zeros."""
        values = [each for each in seconds if each > 0] or [0.001]
        low, high = _below(min(values)), _above(max(values))
        return cls(low, high) if low < high else cls(low, _above(low * 1.5))

    def at(self, seconds: float) -> float:
        """Returns the position of a time."""
        if seconds <= self.low:
            return 0.0
        return min(1.0, math.log(seconds / self.low) / math.log(self.high / self.low))

    def ticks(self) -> list[Tick]:
        """Returns labels at powers of ten; a short axis has labels at twos and fives, too."""
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        factors = (1, 2, 5) if self.high / self.low < 2000 else (1,)
        values = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
        isInside = (value for value in values if self.low * 0.999 <= value <= self.high * 1.001)
        return [Tick(self.at(value), f"{_plain(value * 1000)} ms") for value in isInside]


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear axis from 0 on.

    :param high: the value at its end.
    """

    high: float

    def at(self, value: float) -> float:
        """Returns the position of a value."""
        return min(1.0, max(0.0, value / self.high)) if self.high > 0 else 0.0

    def ticks(self, most: int) -> list[Tick]:
        """Returns labels at round numbers from 0 on.

        :param most: maximum number of labels after 0.
        """
        if self.high <= 0:
            return [Tick(0.0, "0")]
        step = _above(self.high / most)
        count = math.floor(self.high / step * 1.001)
        return [Tick(self.at(step * n), _plain(step * n)) for n in range(count + 1)]


@dataclass(frozen=True, slots=True)
class Nines:
    """The axis of a percentile curve, as in HdrHistogram's plots: each nine is as long as the one before.

    :param last: the last percentile on the axis, less than 100.
    """

    last: float

    def at(self, percent: float) -> float:
        """Returns the position of a percentile: by how many nines it has."""
        return min(1.0, _nines(percent) / _nines(self.last))

    def ticks(self) -> list[Tick]:
        """Returns the labels: 0 at the left end, and percentiles."""
        minor = shownIn(Output.MINOR) if self.last > 99.99 else []
        return [
            Tick(self.at(percent), f"{percent:.10g}", percent in minor)
            for percent in (0.0, *shownIn(Output.AXIS))
            if percent <= self.last + _ROUNDING
        ]


def _nines(percent: float) -> float:
    return math.log10(100 / (100 - percent))


def _steps(value: float) -> list[float]:
    """Returns the numbers 1, 2 and 5 with zeros around a value, in rising order."""
    power = math.floor(math.log10(value))
    return [factor * 10.0**exponent for exponent in (power - 1, power, power + 1) for factor in (1, 2, 5)]


def _below(value: float) -> float:
    return max(step for step in _steps(value) if step <= value * (1 + _ROUNDING))


def _above(value: float) -> float:
    return min(step for step in _steps(value) if step >= value * (1 - _ROUNDING))


def _plain(value: float) -> str:
    """Formats a round number without an exponent: ``0.02``, ``5``, ``100,000``."""
    return f"{value:,.6f}".rstrip("0").rstrip(".")
