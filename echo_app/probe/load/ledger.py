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
from echo_app.probe.results.results import COUNTS, DIFFERENCES, HISTOGRAMS, PARTS

# Bits of a time that are kept, as in an HdrHistogram with three digits: a time is in the same bucket here and
# there.
_BITS = 11

# Times that are put into a histogram in one step, of some 40 microseconds: the load goes on between steps.
_AT_ONCE = 20


class Times:
    """Counts times at a tenth of a histogram's cost, and makes a histogram of them later."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}

    def __bool__(self) -> bool:
        """Says whether a time was counted."""
        return bool(self._counts)

    def record(self, seconds: float) -> None:
        """Counts a time."""
        time = int(seconds * 1e9)
        shift = time.bit_length() - _BITS
        if shift > 0:
            time = time >> shift << shift
        self._counts[time] = self._counts.get(time, 0) + 1

    def encoded(self) -> Iterator[str]:
        """Makes a histogram, in steps: yields empty texts, and at last its encoded form."""
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
    """Counts the messages that were due in one second.

    :ivar came: answers that came in each tenth of it, whenever their messages were due.
    :ivar pending: messages that are neither answered nor given up.
    """

    __slots__ = (*COUNTS, *HISTOGRAMS, "came", "errors", "pending")

    def __init__(self) -> None:
        self.due = self.sent = self.answered = self.bytes = self.pending = 0
        self.came = [0] * PARTS
        self.carried = self.outstanding = self.unbegun = self.unserved = self.dropped = 0
        self.latency, self.lateness, self.held, self.connects = Times(), Times(), Times(), Times()
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
        """Counts a message that was sent and has failed."""
        self.pending -= 1
        self.errors[reason] += 1

    def giveUp(self, reason: Reason) -> None:
        """Counts a message that was due and was never sent."""
        self.due += 1
        self.errors[reason] += 1

    def errorTexts(self) -> dict[str, int]:
        """Returns the errors by their texts, for JSON."""
        return {str(reason): count for reason, count in self.errors.items()}

    def data(self) -> Iterator[dict[str, Any]]:
        """Returns the second for JSON, in steps: yields dictionaries, whose union it is."""
        counts = {name: getattr(self, name) for name in COUNTS}
        yield counts | {"came": self.came, "errors": self.errorTexts()}
        for name in HISTOGRAMS:
            for encoded in getattr(self, name).encoded():
                yield {name: encoded} if encoded else {}


class Ledger:
    """Holds the open seconds of a run.

    :ivar start: of the measured part, a second of CLOCK_MONOTONIC.
    :ivar end: of the measured part.
    :ivar latest: the moment at which a message was last answered or failed.
    :ivar seconds: the open ones, by number.
    :ivar differences: lines about bytes that came back and were not sent; they wait to be reported.
    """

    # The bounds of the second that was returned last: mostly the next one is the same.
    _from = _to = 0.0

    def __init__(self) -> None:
        self.start = self.end = float("inf")
        self.latest = 0.0
        self.differences: list[str] = []
        self._differing = 0
        self._warmup = self._second = Second()
        self.seconds: dict[int, Second] = {}

    def begin(self, start: float, end: float) -> None:
        """Sets the bounds of the measured part."""
        self.start, self.end = start, end

    def carry(self) -> None:
        """Begins the measured part: messages under way are carried over, and fail in its first second."""
        first = self.second(self.start)
        first.carried, self._warmup.errors = self._warmup.pending, first.errors

    @property
    def count(self) -> int:
        """The number of seconds of the measured part; the last may be shorter."""
        return max(0, ceil(self.end - self.start))

    def second(self, due: float) -> Second:
        """Returns the second in which a message is due.

        Events before the measured part do not count; those after it count in its last second. What was due
        in the warm-up and fails later counts in the first one.
        """
        if self._from <= due < self._to:
            return self._second
        if due < self.start:
            return self._warmup
        number = int(due - self.start)
        # Where the subtraction was rounded, the second's own bounds decide: reports use those.
        number += (due >= self.start + number + 1) - (due < self.start + number)
        number = min(number, self.count - 1)
        self._from = self.start + number
        self._to = self._from + 1
        self._second = self.seconds.setdefault(number, Second())
        return self._second

    def came(self, now: float, count: int) -> None:
        """Counts answers that come at a moment of the measured part."""
        self.latest = now
        if self.start <= now < self.end:
            part = int((now - self.start) * PARTS) % PARTS
            self.second(now).came[part] += count

    def differ(self, line: str) -> None:
        """Keeps a line about a difference, up to DIFFERENCES of them."""
        self._differing += 1
        if self._differing <= DIFFERENCES:
            self.differences.append(line)

    @property
    def isSettled(self) -> bool:
        """Says whether every message that was sent is answered or has failed."""
        return not self._warmup.pending and not any(each.pending for each in self.seconds.values())

    def isPending(self, number: int) -> bool:
        """Says whether a message that was due in a second, or carried into it, has no end yet."""
        return self._pending(number) > 0

    def _pending(self, number: int) -> int:
        second = self.seconds.get(number)
        return (second.pending if second else 0) + (0 if number else self._warmup.pending)

    def take(self, number: int) -> Second:
        """Removes a second, and returns it; messages that have no end yet are outstanding."""
        pending = self._pending(number)
        second = self.seconds.pop(number, None) or Second()
        second.outstanding = pending
        return second
