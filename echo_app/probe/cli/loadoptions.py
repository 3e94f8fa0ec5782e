"""Options of ``echo-probe load``."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from math import ceil

from twisted.python.usage import UsageError

from echo_app.hints import didYouMean
from echo_app.probe.checks.check import RESERVE
from echo_app.probe.cli import arguments
from echo_app.probe.cli.arguments import JUNIT, PROXY, REPORT, TITLE, TargetOptions, row, wholeNumber
from echo_app.probe.cli.loadvalues import (
    ARRIVALS,
    PAUSE,
    RATE,
    WAIT,
    addressOf,
    arrivalsOf,
    countOf,
    fileOf,
    labelOf,
    rampOf,
    sizesOf,
    stepsOf,
)
from echo_app.probe.cli.ping import NUMBER
from echo_app.probe.net.datagrams import LARGEST_DATAGRAM
from echo_app.probe.results.conditions import Condition, conditionOf
from echo_app.probe.results.findmax import firstRate
from echo_app.probe.results.results import INFLIGHT, LoadSettings

# Seconds of the longest run of a count, unless --duration says otherwise.
COUNTING = 600.0

_UNDER_WAY = f"Messages that a connection has under way. [default: 1; in an open loop {INFLIGHT}]"


def condition(option: str, text: str) -> Condition:
    """Parses the condition of an option.

    :raise UsageError: names the option and the value.
    """
    try:
        return conditionOf(text)
    except ValueError as error:
        raise UsageError(f"--{option} {text!r}: {error}") from None


class LoadOptions(TargetOptions):
    """The options of ``load``.

    :ivar settings: of all processes together; with ``--steps``, of the first step.
    :ivar steps: the settings of each step; one where there are no steps.
    :ivar held: conditions of ``--find-max``; empty without it.
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
            RATE.parsePositive,
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
            PAUSE.parsePositive,
        ),
        row("count", "n", None, "Messages in all, in place of a time.", countOf),
        row("warmup", None, None, "Time before that. [default: 1; with --count 0]", PAUSE.parse),
        row("wait", "W", 10.0, "Time until a message without an answer fails.", WAIT.parsePositive),
        row("processes", None, 1, "Processes that share the connections.", wholeNumber),
        row("repeat", None, 1, "How often; several targets take turns.", wholeNumber),
        row(
            "address", None, "all", "Of a name with several addresses: all in turn, or the first.", addressOf
        ),
        *PROXY,
        row("label", None, None, "Name of the result, such as that of a version.", labelOf),
        row("json", None, None, "File for the whole result as JSON; - is standard output.", fileOf),
        JUNIT,
        REPORT,
        TITLE,
    ]
    settings: LoadSettings
    steps: list[LoadSettings]
    typed: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[Condition] = []
        self.held: list[Condition] = []

    def opt_fail_if(self, text: str) -> None:
        """Condition of a failure, such as 'p99>50ms' or 'errors>0.1%'. Repeatable."""
        self.failures.append(condition("fail-if", text))

    def opt_find_max(self, text: str) -> None:
        """Search the highest rate at which this holds, such as 'p99<20ms'. Repeatable."""
        found = condition("find-max", text)
        if ">" in found.sign:
            opposite = didYouMean([found.text.replace(">", "<")])
            raise UsageError(f"--find-max {text!r}: not FIGURE<VALUE, which a high rate breaks{opposite}")
        self.held.append(found)

    @property
    def hasSteps(self) -> bool:
        """Says whether there are several rates."""
        return len(self.steps) > 1 or bool(self.held)

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
        if self.held and not self["rate"]:
            rates = (firstRate(self.held, self["duration"] or duration),)
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
        if self.held:
            self._checkSearch()
        if len(given) > 1:
            raise UsageError(f"--{given[0]} and --{given[1]} exclude each other")
        if self["ramp"] and self["count"]:
            raise UsageError(f"--count '{self['count']}': --ramp needs a duration")
        if self["arrivals"] and not (given or self.held):
            raise UsageError(f"--arrivals '{self['arrivals']}': there is no --rate that it applies to")

    def _checkSearch(self) -> None:
        """Checks the options beside ``--find-max``; ``--rate`` is its first rate."""
        for name in ("ramp", "steps", "count"):
            if self[name]:
                raise UsageError(f"--find-max and --{name} exclude each other")
        if self.failures:
            raise UsageError("--find-max and --fail-if exclude each other")
        if len(self.targets) > 1:
            raise UsageError(f"{self.targets[1].text!r}: --find-max takes one target")

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
