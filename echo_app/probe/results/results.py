"""Results of a load: values, to JSON and back.

Times are seconds, except in the encoded histograms, whose unit is the nanosecond. A run is one repeat at one
target. Two results are compared by their runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from statistics import median_high, median_low
from typing import Any

from echo_app.probe.net.proxyheader import ProxyHeader
from echo_app.probe.results.histogram import Histogram
from echo_app.probe.results.statistics import MEDIAN, TAIL
from echo_app.probe.results.validation import validationError

# The share of its time that a worker may be busy: it needs a part of the rest to wake up.
BUSY = 0.95

# Seconds that the probe may be late once: a busy machine rarely holds up a process for longer.
PAUSE = 0.25

# Messages that a connection may have under way in an open loop: with a thousand a second, as many as a stall
# of a second makes. Further messages that are due wait, and their time counts: the bound is on the queue on
# the path, not on the schedule.
INFLIGHT = 1000

# Differences that are kept in a result: the first ones show the defect.
DIFFERENCES = 10

# The tolerated difference of the rate that was sent to the rate that was asked for: a share of it, or with
# random arrivals, whose number is random too, three standard deviations.
EXACT, DEVIATIONS = 0.01, 3

# Parts of an interval, and of a second, in which answers are counted when they come: so a stall of a second
# is seen that is not in step with the intervals.
PARTS = 10

# The fields of a run that are sums over its seconds: counts and histograms.
COUNTS = ("due", "sent", "answered", "bytes", "carried", "outstanding", "unbegun", "unserved", "dropped")
HISTOGRAMS = ("latency", "lateness", "held", "connects")

# Runs that are read of a file: each takes a megabyte for its histograms.
RUNS = 500

# The format of a file, and its version.
FORMAT = "echo-probe load 1"


@dataclass(frozen=True, slots=True)
class LoadSettings:
    """The settings of a load. Only runs of equal settings are compared.

    :param sizes: pairs of bytes of a message and the weight of that size; the size of each message is random.
    :param connections: at one time, over all processes; for UDP, source ports.
    :param rate: messages a second over all connections, an open loop; None is a closed loop, in which each
        connection sends the next message when the last one is answered.
    :param rampTo: the rate at the end of the measured part, which changes evenly; None is ``rate``.
    :param arrivals: ``poisson`` or ``uniform``; empty in a closed loop.
    :param maxInflight: messages that a connection may have under way.
    :param perConnection: messages after which a connection is ended, and another one made; None is never.
    :param duration: seconds of the measured part.
    :param warmup: seconds before the measured part.
    :param wait: seconds after which a message without an answer has failed.
    :param processes: number of workers that share the connections.
    :param address: of a name with several addresses: connections take ``all`` in turn, or the ``first``.
    :param count: messages of the measured part, in all, with ``duration`` as its longest time; None is any
        number.
    :param proxy: PROXY header that each connection sends first; None is none.
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
    address: str = "all"
    proxy: ProxyHeader | None = None
    count: int | None = None
    rampTo: float | None = None

    @property
    def meanRate(self) -> float:
        """Messages a second that are due in the measured part, on average; 0 in a closed loop."""
        rate = self.rate or 0.0
        return rate if self.rampTo is None else (rate + self.rampTo) / 2

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> LoadSettings:
        """Reads settings from JSON."""
        sizes = tuple((size, weight) for size, weight in data["sizes"])
        proxy = ProxyHeader(**data["proxy"]) if data.get("proxy") else None
        return cls(**{**data, "sizes": sizes, "proxy": proxy})


def isOwn(late: float, latency: float | None) -> bool:
    """Says whether a latency is partly the probe's own: that was late by a millisecond and a tenth of it.

    :param latency: seconds; None where it is unknown.
    """
    return late > 0.001 and (latency is None or late > latency / 10)


@dataclass(frozen=True, slots=True)
class Interval:
    """The answers and errors of an interval of a run, by when messages were due.

    :param start: seconds from the beginning of the measured part.
    :param seconds: length.
    :param answered: messages that were due in the interval and were answered.
    :param percentiles: latency in seconds at each percentile that has ten answers above it.
    :param most: the longest latency; 0 without an answer.
    :param errors: messages that were due in the interval and failed, and connections that failed in it, by
        kind.
    :param came: answers that came in each tenth of the interval, whenever their messages were due; empty in
        older files. Where the interval is shorter than the others, its tenths are still as long as theirs.
    """

    start: float
    seconds: float
    answered: int = 0
    percentiles: Mapping[float, float] = field(default_factory=dict)
    most: float = 0.0
    errors: Mapping[str, int] = field(default_factory=dict)
    came: list[int] = field(default_factory=list)

    @property
    def end(self) -> float:
        """Seconds from the beginning of the measured part."""
        return self.start + self.seconds

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Interval:
        """Reads an interval from JSON, where percentiles are texts."""
        percentiles = {float(percent): seconds for percent, seconds in data["percentiles"].items()}
        return cls(**{**data, "percentiles": percentiles})


@dataclass(slots=True)
class Run:
    """One repeat at one target.

    Messages that were due in the warm-up do not count, unless they fail in the measured time.

    :ivar target: as the user typed it.
    :ivar started: ISO 8601, in UTC.
    :ivar seconds: measured time, shorter than asked for when the run was interrupted.
    :ivar due: messages that were due in the measured time; in a closed loop, those that were sent.
    :ivar sent: messages that were sent, late ones included.
    :ivar answered: messages of which every byte came back.
    :ivar bytes: of the answered messages, one way.
    :ivar carried: messages of the warm-up that were under way when the measured time began.
    :ivar outstanding: messages that were neither answered nor given up when the run was interrupted.
    :ivar unbegun: messages that were due and not sent when the run was interrupted.
    :ivar unserved: connections that failed, were made again, and never got an answer.
    :ivar dropped: datagrams that came and found the probe's own receive queue full, also in the warm-up.
    :ivar latency: from the moment that a message was due until its last byte was back.
    :ivar lateness: of the probe: from the moment that a message was due until it was sent, as far as the
        probe was the cause; in a closed loop, from the arrival of an answer until the probe read it, at the
        most: from the last moment at which the answer was known not to be there.
    :ivar held: the waits of messages that were due and had to wait, as ``maxInflight`` were under way; the
        latency has these waits, too.
    :ivar connects: times to connect, TLS handshakes included.
    :ivar errors: counts by kind.
    :ivar differences: the first bytes that came back and were not sent, a line for each.
    :ivar addresses: connections by address, where the target's name has several; those before the measured
        time count too.
    :ivar intervals: of equal length, in order.
    :ivar isInterrupted: the run ended before its time.
    :ivar busy: the share of the time in which the busiest worker ran, or waited for a core to run on.
    """

    target: str
    started: str
    seconds: float = 0.0
    due: int = 0
    sent: int = 0
    answered: int = 0
    bytes: int = 0
    carried: int = 0
    outstanding: int = 0
    unbegun: int = 0
    unserved: int = 0
    dropped: int = 0
    latency: Histogram = field(default_factory=Histogram)
    lateness: Histogram = field(default_factory=Histogram)
    held: Histogram = field(default_factory=Histogram)
    connects: Histogram = field(default_factory=Histogram)
    errors: dict[str, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    addresses: dict[str, int] = field(default_factory=dict)
    intervals: list[Interval] = field(default_factory=list)
    isInterrupted: bool = False
    busy: float = 0.0

    @property
    def isProbeLate(self) -> bool:
        """Says whether the probe was the bottleneck, so that the latencies are partly its own.

        The probe was late when the 99th percentile of its lateness is over a millisecond and over a tenth of
        the result's, or when one of its processes was always busy: answers then waited in that process.
        """
        if self.busy > BUSY:
            return True
        late, result = self.lateness.percentile(TAIL), self.latency.percentile(TAIL)
        return late is not None and isOwn(late, result)

    @property
    def isRight(self) -> bool:
        """Says whether there were answers, and none had other bytes than were sent."""
        return self.answered > 0 and not self.differences

    @property
    def hasPaused(self) -> bool:
        """Says whether the probe stood still once, so that its longest latency is partly its own.

        Ctrl-Z and a suspended machine do that, and the percentiles of many messages do not show it.
        """
        most = self.lateness.most
        return most > PAUSE and most > self.latency.most / 10

    @property
    def isGood(self) -> bool:
        """Says whether there were answers, and every message came back as it was sent."""
        return self.isRight and not self.errors

    @property
    def growth(self) -> float:
        """The growth of the latency: seconds a second, from the first third of the run to the last.

        Where a service can't keep up with a schedule, messages wait longer each second. The medians of many
        seconds are used, as a stall does not move them. It is 0 where there are too few intervals to tell.
        """
        latencies = [each.percentiles[MEDIAN] for each in self.intervals if MEDIAN in each.percentiles]
        third = len(latencies) // 3
        if third < 2 or not self.seconds:
            return 0.0
        before, after = median_high(latencies[:third]), median_low(latencies[-third:])
        return (after - before) / (self.seconds * 2 / 3)

    @property
    def lateAnswers(self) -> int:
        """The number of answers that came after the measured time, beyond those of the warm-up in it.

        Answers to messages of the warm-up come in the measured time, and answers to its last messages come
        after it. Where messages wait longer and longer, those after it are more. It is 0 where the intervals
        of an older file do not have when answers came.
        """
        came = [sum(each.came) for each in self.intervals if each.came]
        isKnown = came and len(came) == len(self.intervals)
        return max(0, self.answered - sum(came)) if isKnown else 0

    @property
    def rate(self) -> float:
        """Answers a second, without those that came after the measured time."""
        return (self.answered - self.lateAnswers) / self.seconds if self.seconds else 0.0

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Run:
        """Reads a run from JSON."""
        # Older files have no ``held``.
        histograms = {name: Histogram(data[name]) for name in HISTOGRAMS if name in data or name != "held"}
        return cls(**{**data, **histograms, "intervals": [Interval.of(each) for each in data["intervals"]]})

    def data(self) -> dict[str, Any]:
        """Returns the run for JSON."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        histograms = {name: getattr(self, name).encode() for name in HISTOGRAMS}
        return {**plain, **histograms, "intervals": [asdict(each) for each in self.intervals]}


@dataclass(slots=True)
class Results:
    """The results of one command.

    :ivar command: the exact command line.
    :ivar versions: of the probe and its libraries, by name.
    :ivar machine: facts of the machine that ran the probe, by name.
    :ivar runs: in the order in which they were made: with several targets, the targets take turns.
    :ivar label: a name that the user gave.
    """

    command: str
    versions: dict[str, str]
    machine: dict[str, str]
    settings: LoadSettings
    runs: list[Run] = field(default_factory=list)
    label: str = ""

    def targets(self) -> list[str]:
        """Returns the targets, in the order in which they were typed."""
        return list(dict.fromkeys(run.target for run in self.runs))

    def runsAt(self, target: str) -> list[Run]:
        """Returns the repeats at a target."""
        return [run for run in self.runs if run.target == target]

    @classmethod
    def fromJson(cls, text: str) -> Results:
        """Reads results from the text that :meth:`toJson` returned.

        :raise ValueError: when the text is none; its own text names the defect.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError("no JSON") from None
        if not isinstance(data, dict) or data.pop("format", None) != FORMAT:
            raise ValueError(f"not written by echo-probe load --json ({FORMAT!r})")
        try:
            settings = LoadSettings.of(data.pop("settings"))
            runs = data.pop("runs")
            if len(runs) > RUNS:
                raise ValueError(f"{len(runs):,} runs, more than {RUNS}")
            runs = [Run.of(each) for each in runs]
            results = cls(**data, settings=settings, runs=runs)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"damaged: {error!r}") from error
        if found := validationError(results, cls):
            raise ValueError(f"damaged: {found}")
        return results

    def toJson(self) -> str:
        """Returns the results as JSON."""
        data = {name: getattr(self, name) for name in ("label", "command", "versions", "machine")}
        runs = [run.data() for run in self.runs]
        return json.dumps(
            {"format": FORMAT, **data, "settings": asdict(self.settings), "runs": runs}, indent=1
        )
