"""Totals of a run: the sums of all workers' counts, in memory that does not grow with the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any

from echo_app.probe.results.histogram import Histogram
from echo_app.probe.results.results import COUNTS, DIFFERENCES, HISTOGRAMS, PARTS, Interval, LoadSettings, Run

# The most intervals of a run: a picture has no columns for more. An interval is a whole number of seconds.
INTERVALS = 600


@dataclass(slots=True)
class _Part:
    """The counts of an interval that some workers have not reported yet."""

    lines: int = 0
    answered: int = 0
    came: list[int] = field(default_factory=lambda: [0] * PARTS)
    latency: Histogram = field(default_factory=Histogram)
    errors: Counter[str] = field(default_factory=Counter)


class Totals:
    """Adds up the reports of all workers of a run.

    The latencies of an interval are kept until all workers have reported it: then its percentiles are known,
    and the latencies are dropped. Workers report at most some seconds apart, so that few intervals are open
    at a time.

    :ivar run: the sums so far.
    :ivar ended: seconds from the beginning of the measured part to its end, where the end is that of a count.
    :ivar rate: answers that came in the last second that all workers have reported; None before the first.
    """

    def __init__(self, run: Run, settings: LoadSettings) -> None:
        self.run = run
        self._duration = settings.duration
        self._length = ceil(ceil(settings.duration) / INTERVALS)
        self._reported = [0] * settings.processes
        self._parts: dict[int, _Part] = {}
        self._came: Counter[int] = Counter()
        self.rate: float | None = None
        self.ended = 0.0

    @property
    def errors(self) -> int:
        """The number of errors so far."""
        return sum(self.run.errors.values())

    def connected(self, data: Mapping[str, Any]) -> None:
        """Adds the connections and errors of a worker from before the load."""
        self._add({"connects": data.get("connects", ""), "errors": data.get("errors", {})})

    def second(self, worker: int, data: Mapping[str, Any]) -> None:
        """Adds a second that a worker measured.

        :raise ValueError: or another exception, when the report is invalid.
        """
        number = data["second"]
        if number != self._reported[worker] or number >= self._duration:
            raise ValueError(f"second {number} after {self._reported[worker]}")
        self._reported[worker] += 1
        self._add(data)
        self.ended = max(self.ended, float(data.get("ended", 0.0)))
        self._came[number] += sum(data.get("came", ()))
        if min(self._reported) > number:
            self.rate = self._came.pop(number) / min(1.0, self._duration - number)
        self._addToPart(number // self._length, data)

    def _add(self, data: Mapping[str, Any]) -> None:
        for name in COUNTS:
            setattr(self.run, name, getattr(self.run, name) + data.get(name, 0))
        for name in HISTOGRAMS:
            if data.get(name):
                getattr(self.run, name).add(data[name])
        for kind, count in data.get("errors", {}).items():
            self.run.errors[kind] = self.run.errors.get(kind, 0) + count
        for address, count in data.get("addresses", {}).items():
            self.run.addresses[address] = self.run.addresses.get(address, 0) + count
        self.run.differences = [*self.run.differences, *data.get("differences", ())][:DIFFERENCES]

    def _addToPart(self, index: int, data: Mapping[str, Any]) -> None:
        part = self._parts.setdefault(index, _Part())
        part.lines += 1
        part.answered += data["answered"]
        first = data["second"] % self._length * PARTS
        for tenth, count in enumerate(data.get("came", ())[:PARTS], first):
            part.came[tenth // self._length] += count
        part.errors.update(data.get("errors", {}))
        if data.get("latency"):
            part.latency.add(data["latency"])
        if part.lines == self._length * len(self._reported):
            self._close(index)

    def _close(self, index: int) -> None:
        part = self._parts.pop(index)
        start = index * self._length
        seconds = min(float(self._length), self._duration - start)
        interval = Interval(
            start,
            seconds,
            part.answered,
            part.latency.percentiles(),
            part.latency.most,
            dict(part.errors),
            part.came,
        )
        self.run.intervals.append(interval)

    def end(self, seconds: float) -> Run:
        """Closes all intervals, and returns the run.

        :param seconds: measured time.
        """
        # Workers hear of an interruption a little later.
        if not self.ended:
            seconds = max(seconds, max(self._reported) - 1 + 0.001)
        self.run.seconds = self._duration = min(seconds, self._duration)
        for index in list(self._parts):
            self._close(index)
        ordered = sorted(self.run.intervals, key=lambda interval: interval.start)
        # An interval that was closed before may be longer than the interrupted run.
        self.run.intervals = [
            replace(each, seconds=min(each.seconds, self._duration - each.start)) for each in ordered
        ]
        return self.run
