"""Options of ``echo-probe load``."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from math import ceil

from twisted.python.usage import UsageError

from echo_app.hints import didYouMean, nearest
from echo_app.probe.checks.check import RESERVE
from echo_app.probe.cli import arguments
from echo_app.probe.cli.arguments import PROXY, REPORT, TITLE, TargetOptions, positiveNumber, row, wholeNumber
from echo_app.probe.cli.ping import NUMBER
from echo_app.probe.net.datagrams import LARGEST_DATAGRAM
from echo_app.probe.results.conditions import Condition, conditionOf
from echo_app.probe.results.results import INFLIGHT, LoadSettings
from echo_app.quantities import BYTES, DAY, MESSAGES, SECONDS
from echo_app.text import binarySize

# The largest message over a stream: a larger one would measure bandwidth, as any download does.
LARGEST_MESSAGE = 1 << 24

# The highest rate, in messages a second: this probe reaches it on no machine, so that more is a typing error.
FASTEST = 10**7

# Messages of a count: the moments of an open loop are counted before it begins, in some ten seconds.
MOST_MESSAGES = 10**7

# Seconds of the longest run of a count, unless --duration says otherwise.
COUNTING = 600.0

# Steps of one command, at the most: a page has a picture for each.
MOST_STEPS = 100

# Characters of a label: it stands in lines and headings.
LONGEST_LABEL = 100

ARRIVALS = ("poisson", "uniform")

# The longest run, and the longest wait for an answer: a histogram counts an hour.
_PAUSE = replace(SECONDS, description=f"{SECONDS.description}, of up to 30 days", most=30 * DAY)
_WAIT = replace(SECONDS, description=f"{SECONDS.description}, of up to an hour", most=3600)
_SIZE = replace(
    BYTES,
    description=f"a size such as 64, 1KiB, 5k or 64,1KiB:3, of up to {binarySize(LARGEST_MESSAGE)}",
    most=LARGEST_MESSAGE,
)
_RATE = replace(MESSAGES, description=f"{MESSAGES.description}, of up to {FASTEST:,}", most=FASTEST)

_UNDER_WAY = f"Messages that a connection has under way. [default: 1; with --rate {INFLIGHT}]"


def sizesOf(text: str) -> tuple[tuple[int, float], ...]:
    """Parses sizes and their weights: ``1KiB``, or a mix such as ``64,1KiB:3,16KiB``."""
    mix: dict[int, float] = {}
    for part in text.split(","):
        written, colon, weight = part.partition(":")
        try:
            size = int(_SIZE.parsePositive(written))
        except ValueError as error:
            raise ValueError(f"{written!r} is {error}") from None
        if size in mix:
            raise ValueError(f"{size} bytes twice")
        try:
            mix[size] = positiveNumber(weight if colon else "1")
        except ValueError:
            raise ValueError(f"the weight {weight!r} is no number, more than 0") from None
    return tuple(mix.items())


def rampOf(text: str) -> tuple[float, float]:
    """Parses the first and the last rate of a ramp."""
    first, colon, last = text.partition(":")
    if not colon:
        raise ValueError("not two rates with a colon between them, such as 100:5k")
    return _rateOf(first), _rateOf(last)


def stepsOf(text: str) -> tuple[float, ...]:
    """Parses the rates of steps."""
    rates = tuple(map(_rateOf, text.split(",")))
    if len(rates) > MOST_STEPS:
        raise ValueError(f"more than {MOST_STEPS} rates")
    if len(set(rates)) < len(rates):
        raise ValueError("a rate twice; --repeat repeats each")
    return rates


def _rateOf(text: str) -> float:
    try:
        return _RATE.parsePositive(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is {error}") from None


def arrivalsOf(text: str) -> str:
    """Returns the name of a distribution of arrivals."""
    if text not in ARRIVALS:
        raise ValueError(f"neither {' nor '.join(ARRIVALS)}{didYouMean(nearest(text, ARRIVALS))}")
    return text


def addressOf(text: str) -> str:
    """Returns which addresses of a name are used."""
    if text not in ("all", "first"):
        raise ValueError("neither all nor first")
    return text


def countOf(text: str) -> int:
    """Returns a number of messages."""
    count = wholeNumber(text)
    if count > MOST_MESSAGES:
        raise ValueError(f"more than {MOST_MESSAGES:,}")
    return count


def labelOf(text: str) -> str:
    """Returns a label."""
    if len(text) > LONGEST_LABEL:
        raise ValueError(f"longer than {LONGEST_LABEL} characters")
    return text


def condition(option: str, text: str) -> Condition:
    """Parses the condition of an option.

    :raise UsageError: names the option and the value.
    """
    try:
        return conditionOf(text)
    except ValueError as error:
        raise UsageError(f"--{option} {text!r}: {error}") from None


def fileOf(text: str) -> str:
    """Returns the path of a file that can be written, or ``-``."""
    if text != "-":
        arguments.writablePath(text)
    return text


class LoadOptions(TargetOptions):
    """The options of ``load``.

    :ivar settings: of all processes together; with ``--steps``, of the first step.
    :ivar steps: the settings of each step; one where there are no steps.
    :ivar failures: conditions under which the load has failed.
    :ivar typed: the arguments, as the user typed them.
    """

    synopsis = "load TARGET... [options]"
    longdesc = (
        "A target is HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT, udp://HOST:PORT or unix:///PATH; "
        "an IPv6 address is in brackets."
    )
    optParameters = [
        row("connections", "c", 1, "Connections at one time; for UDP, source ports.", wholeNumber),
        row("size", "s", None, "Bytes, or a mix with weights: 64,1KiB:3,16KiB. [default: 1KiB]", sizesOf),
        row(
            "rate",
            "r",
            None,
            "Messages a second, over all connections. [default: when answered]",
            _RATE.parsePositive,
        ),
        row("ramp", None, None, "Rates at the beginning and at the end of a run, such as 100:5k.", rampOf),
        row("steps", None, None, "Rates, one after the other, such as 100,500,2k.", stepsOf),
        row("arrivals", None, None, "In an open loop: poisson or uniform. [default: poisson]", arrivalsOf),
        row("max-inflight", None, None, _UNDER_WAY, wholeNumber),
        row("per-connection", None, None, "Messages until a connection is made anew.", wholeNumber),
        row(
            "duration",
            "d",
            None,
            "Time of the measurement: 10, 30s, 5min, 2h. [default: 10; with --count up to 10min]",
            _PAUSE.parsePositive,
        ),
        row("count", "n", None, "Messages in all, in place of a time.", countOf),
        row("warmup", None, None, "Time before that. [default: 1; with --count 0]", _PAUSE.parse),
        row("wait", "W", 10.0, "Time until a message without an answer fails.", _WAIT.parsePositive),
        row("processes", None, 1, "Processes that share the connections.", wholeNumber),
        row("repeat", None, 1, "How often; several targets take turns.", wholeNumber),
        row(
            "address", None, "all", "Of a name with several addresses: all in turn, or the first.", addressOf
        ),
        *PROXY,
        row("label", None, "", "Name of the result, such as that of a version.", labelOf),
        row("json", None, None, "File for the whole result as JSON; - is standard output.", fileOf),
        REPORT,
        TITLE,
    ]
    settings: LoadSettings
    steps: list[LoadSettings]
    typed: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[Condition] = []

    def opt_fail_if(self, text: str) -> None:
        """Condition of a failure, such as 'p99>50ms' or 'errors>0.1%'. Repeatable."""
        self.failures.append(condition("fail-if", text))

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Keeps the arguments, and parses them."""
        self.typed = tuple(options or ())
        super().parseOptions(options)

    def postOptions(self) -> None:
        """Checks options that depend on each other, and makes the settings."""
        arguments.checkExtra()
        self["size"] = self["size"] or LoadSettings().sizes
        super().postOptions()
        for target in self.targets:
            if target.kind == "endpoint":
                raise UsageError(f"{target.text!r}: a load takes tcp://, tls://, udp:// and unix:// alone")
        self._checkRates()
        self._checkDatagrams()
        self._checkProcesses()
        usual = LoadSettings()
        duration, warmup = (COUNTING, 0.0) if self["count"] else (usual.duration, usual.warmup)
        same = {name: self[name] for name in ("connections", "wait", "processes", "address", "count")}
        rates = self["steps"] or (self["ramp"] or (self["rate"],))[:1]
        isOpen = rates[0] is not None
        self.settings = LoadSettings(
            sizes=self["size"],
            rate=rates[0],
            rampTo=self["ramp"][1] if self["ramp"] else None,
            arrivals=(self["arrivals"] or ARRIVALS[0]) if isOpen else "",
            maxInflight=self["max-inflight"] or (INFLIGHT if isOpen else 1),
            perConnection=self["per-connection"],
            duration=self["duration"] or duration,
            warmup=warmup if self["warmup"] is None else self["warmup"],
            proxy=self.proxyHeader(),
            **same,
        )
        self.steps = [replace(self.settings, rate=rate) for rate in rates]

    def _checkRates(self) -> None:
        given = [name for name in ("rate", "ramp", "steps") if self[name]]
        if len(given) > 1:
            raise UsageError(f"--{given[0]} and --{given[1]} exclude each other")
        if self["ramp"] and self["count"]:
            raise UsageError(f"--count '{self['count']}': --ramp needs a duration")
        if self["arrivals"] and not given:
            raise UsageError(f"--arrivals '{self['arrivals']}': there is no --rate that it applies to")

    def _checkDatagrams(self) -> None:
        if all(target.isStream for target in self.targets):
            return
        for size, _ in self["size"]:
            if not NUMBER <= size <= LARGEST_DATAGRAM:
                raise UsageError(f"--size '{size}': not from {NUMBER} to {LARGEST_DATAGRAM}, as over UDP")

    def _checkProcesses(self) -> None:
        connections, processes = self["connections"], self["processes"]
        if processes > connections:
            raise UsageError(f"--processes '{processes}': more than there are connections ({connections})")
        if self["count"] and self["count"] < processes:
            raise UsageError(f"--processes '{processes}': more than there are messages ({self['count']})")
        _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit != resource.RLIM_INFINITY and ceil(connections / processes) + RESERVE > limit:
            raise UsageError(
                f"--connections '{connections}': {limit} descriptors a process (ulimit -Hn) are not enough; "
                "use more --processes"
            )


def raiseDescriptorLimit() -> None:
    """Raises the soft limit on descriptors to the hard one, if the kernel permits it; workers inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
