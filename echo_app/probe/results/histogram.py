"""Histogram of a load's times, and their percentiles, in bounded memory.

It is Gil Tene's HdrHistogram. Other programs read its encoded form, too.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable
from typing import Any

from echo_app.probe.results.statistics import ABOVE, shownIn

# Nanoseconds of the shortest and the longest time that are told apart: a round trip on loopback takes 10,000
# and more, and no option of a load is longer than an hour. With three digits a time is right to a thousandth.
SHORTEST_TIME, LONGEST_TIME, DIGITS = 100, 3600 * 10**9, 3

# Bytes before the compressed part of an encoded histogram, and of that part uncompressed, at the most: the
# library would uncompress any number. It is a header and the counts, of nine bytes at the most each.
_PREFIX, _LARGEST = 8, 40 + 9 * 27_648


def _checkSize(encoded: str) -> None:
    """Checks that an encoded histogram is no larger than one of ours can be.

    :raise ValueError: when it is.
    """
    unpacking = zlib.decompressobj()
    unpacking.decompress(base64.b64decode(encoded)[_PREFIX:], _LARGEST)
    if unpacking.unconsumed_tail:
        raise ValueError("too large")


class Histogram:
    """Histogram of times.

    :param encoded: the times of another histogram, from its :meth:`encode`.
    :raise ValueError: when it is no encoded histogram.
    """

    def __init__(self, encoded: str | None = None) -> None:
        # hdrh comes with the extra ``probe``. Pings and checks do without.
        from hdrh.histogram import HdrHistogram

        self._counts: Any = HdrHistogram(SHORTEST_TIME, LONGEST_TIME, DIGITS)
        if encoded is not None:
            self.add(encoded)

    def record(self, seconds: float, count: int = 1) -> None:
        """Counts a time; a time over an hour counts as an hour.

        :param count: the number of such times.
        """
        self._counts.record_value(min(max(round(seconds * 1e9), 0), LONGEST_TIME), count)

    def add(self, encoded: str) -> None:
        """Adds the times of another histogram, from its :meth:`encode`.

        :raise ValueError: when it is no encoded histogram.
        """
        try:
            _checkSize(encoded)
            self._counts.decode_and_add(encoded)
        except Exception as error:
            # The library raises exceptions of Base64, zlib and its own.
            raise ValueError("not an encoded HdrHistogram") from error

    def encode(self) -> str:
        """Returns the histogram in HdrHistogram's form V2, compressed, in Base64; its unit is nanoseconds."""
        return str(self._counts.encode().decode())

    def __len__(self) -> int:
        """Returns the number of times that were counted."""
        return int(self._counts.get_total_count())

    @property
    def most(self) -> float:
        """The longest time, in seconds; 0 where nothing was counted."""
        return self._counts.get_max_value() / 1e9 if len(self) else 0.0

    def percentile(self, percent: float) -> float | None:
        """Returns the time, in seconds, that `percent` per cent do not exceed; None where fewer than ten do.

        :param percent: between 0 and 100.
        """
        return self.percentiles([percent]).get(percent)

    def percentiles(self, percents: Iterable[float] | None = None) -> dict[float, float]:
        """Returns percentiles, in seconds, those that have ten times above them.

        :param percents: in any order; None is all that are printed. Many cost as much as one.
        """
        asked = shownIn() if percents is None else percents
        stated = [percent for percent in asked if len(self) * (100 - percent) / 100 >= ABOVE]
        times = self._counts.get_percentile_to_value_dict(stated)
        return {percent: nanoseconds / 1e9 for percent, nanoseconds in times.items()}
