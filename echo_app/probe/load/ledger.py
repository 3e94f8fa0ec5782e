"""Counts of a load in one worker, by the second in which a message was due.

A second is open until everything due in it is answered or given up. That takes a message's time-out at the
most, so that there are never more than a few.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import ceil
from typing import Any

from echo_app.probe.net.errors import Reason
from echo_app.probe.results.histogram import Histogram
from echo_app.probe.results.results import DIFFERENCES

# Bits of a time that are kept, as HdrHistogram does with three digits: what is counted here is counted
# there in the same place.
_BITS = 11

# Times that are put into a histogram at once, some 40 microseconds: a load goes on meanwhile.
_AT_ONCE = 20


class Times:
    """Times, counted by size: a tenth of the cost of a histogram, which it becomes when there is time."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def record(self, seconds: float) -> None:
        """Counts a time."""
        time = int(seconds * 1e9)
        shift = time.bit_length() - _BITS
        if shift > 0:
            time = time >> shift << shift
        self._counts[time] = self._counts.get(time, 0) + 1

    def encoded(self) -> Iterator[str]:
        """Makes a histogram, in steps: yields nothing, ever again, and at last its encoded form."""
        if not self._counts:
            return
        histogram = Histogram()
        yield ""
        for number, (time, count) in enumerate(self._counts.items()):
            histogram.record(time / 1e9, count)
            if number % _AT_ONCE == 0:
                yield ""
        yield histogram.encode()


class Second:
    """What became of the messages that were due in one second.

    :ivar pending: that are neither answered nor given up.
    """

    __slots__ = ("answered", "bytes", "connects", "due", "errors", "latency", "lateness", "pending", "sent")

    def __init__(self) -> None:
        self.due = self.sent = self.answered = self.bytes = self.pending = 0
        self.latency, self.lateness, self.connects = Times(), Times(), Times()
        self.errors: Counter[Reason] = Counter()

    def ask(self) -> None:
        """Counts a message that is sent."""
        self.due += 1
        self.sent += 1
        self.pending += 1

    def answer(self, seconds: float, size: int) -> None:
        """Counts a message that came back."""
        self.pending -= 1
        self.answered += 1
        self.bytes += size
        self.latency.record(seconds)

    def fail(self, reason: Reason) -> None:
        """Counts a message that was sent in vain."""
        self.pending -= 1
        self.errors[reason] += 1

    def giveUp(self, reason: Reason) -> None:
        """Counts a message that was not sent at all."""
        self.due += 1
        self.errors[reason] += 1

    def errorTexts(self) -> dict[str, int]:
        """Returns the errors by their texts, for JSON."""
        return {str(reason): count for reason, count in self.errors.items()}

    def data(self) -> Iterator[dict[str, Any]]:
        """Returns it for JSON, in steps: yields dictionaries that add up to it."""
        yield {
            **{name: getattr(self, name) for name in ("due", "sent", "answered", "bytes")},
            "errors": self.errorTexts(),
        }
        for name in ("latency", "lateness", "connects"):
            for encoded in getattr(self, name).encoded():
                yield {name: encoded} if encoded else {}


class Ledger:
    """The seconds of a run.

    :ivar start: of the measured part, a second of CLOCK_MONOTONIC.
    :ivar end: of it.
    :ivar differences: lines that say where bytes came back that were not sent, to be reported yet.
    """

    # The second that was asked for last has these bounds: mostly it is asked for again.
    _from = _to = 0.0

    def __init__(self) -> None:
        self.start = self.end = float("inf")
        self.differences: list[str] = []
        self._differing = 0
        self._warmup = self._second = Second()
        self._seconds: dict[int, Second] = {}

    def begin(self, start: float, end: float) -> None:
        """Says when the measured part is."""
        self.start, self.end = start, end

    @property
    def count(self) -> int:
        """How many seconds the measured part has; the last may be shorter."""
        return max(0, ceil(self.end - self.start))

    def second(self, due: float) -> Second:
        """Returns the second in which a message is due.

        What happens before the measured part counts nowhere, what happens after it in its last second.
        """
        if self._from <= due < self._to:
            return self._second
        if due < self.start:
            return self._warmup
        number = int(due - self.start)
        # Where a difference was rounded, the second's own bounds decide: they are what reports go by.
        number += (due >= self.start + number + 1) - (due < self.start + number)
        number = min(number, self.count - 1)
        self._from = self.start + number
        self._to = self._from + 1
        self._second = self._seconds.setdefault(number, Second())
        return self._second

    def differ(self, line: str) -> None:
        """Keeps a line about a difference, if it is one of the first."""
        self._differing += 1
        if self._differing <= DIFFERENCES:
            self.differences.append(line)

    def isPending(self, number: int) -> bool:
        """Says whether something that was sent in a second is open."""
        second = self._seconds.get(number)
        return second is not None and second.pending > 0

    def take(self, number: int) -> Second:
        """Removes a second, and returns it."""
        return self._seconds.pop(number, None) or Second()
