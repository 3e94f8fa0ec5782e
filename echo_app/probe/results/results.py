"""Results of a load: values, to JSON and back.

Times are seconds, except in the histograms, whose own form counts nanoseconds. A run is one repeat at one
target; it is what two results are compared by.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from echo_app.probe.results.histogram import Histogram
from echo_app.probe.results.percentiles import TAIL
from echo_app.probe.results.validation import validationError

# The share of its time that a worker may be busy: of what is left, a part goes into waking up.
BUSY = 0.95

# What a connection may have under way in an open loop: what a thousand a second come to when the service
# stalls for a second. Messages that are due and not sent wait too, and their time counts, so that this bounds
# the queue on the path and not the schedule.
INFLIGHT = 1000

# Differences that are kept: the first ones tell what is wrong.
DIFFERENCES = 10

# What a file begins with; another number is another format.
FORMAT = "echo-probe load 1"


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """The settings of a load. Only runs of equal settings are compared.

    :param sizes: bytes of a message, and the weight of that size; of several, each message has one by chance.
    :param connections: at one time, over all processes; for UDP, source ports.
    :param rate: messages a second over all connections, an open loop; None is a closed loop, where each
        connection asks again when it is answered.
    :param arrivals: ``poisson`` or ``uniform``; empty in a closed loop.
    :param maxInflight: messages that a connection may have under way.
    :param perConnection: messages after which a connection is ended, and another one made; None is never.
    :param duration: seconds that are measured.
    :param warmup: seconds before.
    :param wait: seconds until one is not answered any more.
    :param processes: that share the connections.
    """

    sizes: tuple[tuple[int, float], ...] = ((1024, 1.0),)
    connections: int = 1
    rate: float | None = None
    arrivals: str = ""
    maxInflight: int = 1
    perConnection: int | None = None
    duration: float = 10.0
    warmup: float = 1.0
    wait: float = 10.0
    processes: int = 1

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> LoadSettings:
        """Takes them from JSON."""
        return cls(**{**data, "sizes": tuple((size, weight) for size, weight in data["sizes"])})


@dataclass(frozen=True, slots=True)
class Interval:
    """What happened in a part of a run.

    :param start: seconds after the measured part began, in which the messages were due.
    :param seconds: how long it is.
    :param answered: messages that were due in it and were answered.
    :param percentiles: latency in seconds at each percentile that has ten answers above it.
    :param most: the longest latency; 0 of none.
    :param errors: messages that were due in it and were not answered as they should have been, and
        connections that failed in it, by kind.
    """

    start: float
    seconds: float
    answered: int = 0
    percentiles: Mapping[float, float] = field(default_factory=dict)
    most: float = 0.0
    errors: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Interval:
        """Takes it from JSON, where percentiles are texts."""
        percentiles = {float(percent): seconds for percent, seconds in data["percentiles"].items()}
        return cls(**{**data, "percentiles": percentiles})


@dataclass(slots=True)
class Run:
    """One repeat at one target. Only what was due after the warm-up counts.

    :ivar target: as it was typed.
    :ivar started: ISO 8601, in UTC.
    :ivar seconds: that were measured; shorter than asked for when it was interrupted.
    :ivar due: messages that the schedule had in them; in a closed loop, those that were sent.
    :ivar sent: messages that were sent, late ones included.
    :ivar answered: messages whose every byte came back.
    :ivar bytes: of those, one way.
    :ivar latency: from the moment that a message was due until its last byte was back.
    :ivar lateness: how long after it was due a message was sent, for the probe's own reasons; in a
        closed loop, how long an answer lay there while the probe looked at others.
    :ivar connects: how long connections took, TLS handshakes included.
    :ivar errors: by kind.
    :ivar differences: where bytes came back that were not sent, a line each, the first ones.
    :ivar intervals: of equal length, in order.
    :ivar isInterrupted: it ended before its time.
    :ivar busy: the share of the time in which the busiest worker ran, or waited for a core to run on.
    """

    target: str
    started: str
    seconds: float = 0.0
    due: int = 0
    sent: int = 0
    answered: int = 0
    bytes: int = 0
    latency: Histogram = field(default_factory=Histogram)
    lateness: Histogram = field(default_factory=Histogram)
    connects: Histogram = field(default_factory=Histogram)
    errors: dict[str, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    intervals: list[Interval] = field(default_factory=list)
    isInterrupted: bool = False
    busy: float = 0.0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answered / self.seconds if self.seconds else 0.0

    @property
    def isProbeLate(self) -> bool:
        """Says whether the probe was the bottleneck, so that the latencies are partly its own.

        That is when the 99th percentile of its lateness is over a millisecond and a tenth of the result's, or
        when one of its processes had no time left: answers that had come then waited in it.
        """
        if self.busy > BUSY:
            return True
        late, result = self.lateness.percentile(TAIL), self.latency.percentile(TAIL)
        return late is not None and late > 0.001 and (result is None or late > result / 10)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Run:
        """Takes it from JSON."""
        histograms = {name: Histogram(data[name]) for name in _HISTOGRAMS}
        return cls(**{**data, **histograms, "intervals": [Interval.of(each) for each in data["intervals"]]})

    def data(self) -> dict[str, Any]:
        """Returns it for JSON."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        histograms = {name: getattr(self, name).encode() for name in _HISTOGRAMS}
        return {**plain, **histograms, "intervals": [asdict(each) for each in self.intervals]}


_HISTOGRAMS = ("latency", "lateness", "connects")


@dataclass(slots=True)
class Results:
    """What one command measured.

    :ivar command: the exact command line.
    :ivar versions: of the probe and what it stands on, by name.
    :ivar machine: what it ran on, by what it is.
    :ivar runs: in the order in which they were made: with several targets, each in its turn, in every repeat.
    """

    command: str
    versions: dict[str, str]
    machine: dict[str, str]
    settings: LoadSettings
    runs: list[Run] = field(default_factory=list)

    def targets(self) -> list[str]:
        """Returns the targets, in the order in which they were typed."""
        return list(dict.fromkeys(run.target for run in self.runs))

    def runsAt(self, target: str) -> list[Run]:
        """Returns the repeats at a target."""
        return [run for run in self.runs if run.target == target]

    @classmethod
    def fromJson(cls, text: str) -> Results:
        """Reads what :meth:`toJson` wrote.

        :raise ValueError: when it is something else; the text says what.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError("no JSON") from None
        if not isinstance(data, dict) or data.pop("format", None) != FORMAT:
            raise ValueError(f"not written by echo-probe load --json ({FORMAT!r})")
        try:
            settings = LoadSettings.of(data.pop("settings"))
            runs = [Run.of(each) for each in data.pop("runs")]
            results = cls(**data, settings=settings, runs=runs)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"damaged: {error!r}") from error
        if found := validationError(results, cls):
            raise ValueError(f"damaged: {found}")
        return results

    def toJson(self) -> str:
        """Returns it as JSON."""
        data = {name: getattr(self, name) for name in ("command", "versions", "machine")}
        runs = [run.data() for run in self.runs]
        return json.dumps(
            {"format": FORMAT, **data, "settings": asdict(self.settings), "runs": runs}, indent=1
        )
