"""Options of ``echo-probe load``."""

from __future__ import annotations

import re
import resource
from collections.abc import Sequence
from math import ceil

from twisted.python.usage import UsageError

from echo_app.probe.checks.check import RESERVE
from echo_app.probe.cli import arguments
from echo_app.probe.cli.arguments import REPORT, TITLE, TargetOptions, positiveNumber, row, wholeNumber
from echo_app.probe.cli.ping import NUMBER
from echo_app.probe.net.datagrams import LARGEST_DATAGRAM
from echo_app.probe.results.results import INFLIGHT, LoadSettings
from echo_app.text import binarySize

# The largest message over a stream: a larger one would measure bandwidth, as any download does.
LARGEST_MESSAGE = 1 << 24

# The highest rate, in messages a second: this probe reaches it on no machine, so that more is a typing error.
FASTEST = 1e7

# Seconds of the longest run, 30 days, and of the longest wait for an answer: a histogram counts an hour.
LONGEST_RUN, LONGEST_WAIT = 30 * 86400.0, 3600.0

ARRIVALS = ("poisson", "uniform")

_UNITS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZES = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20}

_UNDER_WAY = f"Messages that a connection has under way. [default: 1; with --rate {INFLIGHT}]"


def pauseOf(text: str) -> float:
    """Parses a time such as ``10``, ``500ms``, ``10s``, ``5m`` or ``2h``; returns its seconds."""
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+)(ms|s|m|h|)", text, re.ASCII)
    seconds = float(match[1]) * _UNITS[match[2]] if match else -1.0
    if not 0 <= seconds <= LONGEST_RUN:
        raise ValueError("not a time such as 10, 500ms, 30s, 5m or 2h, of up to 30 days")
    return seconds


def durationOf(text: str) -> float:
    """Parses a time of more than 0; returns its seconds."""
    seconds = pauseOf(text)
    if not seconds:
        raise ValueError("no time at all")
    return seconds


def waitOf(text: str) -> float:
    """Parses a time of more than 0, up to an hour; returns its seconds."""
    seconds = durationOf(text)
    if seconds > LONGEST_WAIT:
        raise ValueError("more than an hour")
    return seconds


def sizesOf(text: str) -> tuple[tuple[int, float], ...]:
    """Parses sizes and their weights: ``1KiB``, or a mix such as ``64,1KiB:3,16KiB``."""
    mix: dict[int, float] = {}
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,9})(B|KiB|MiB|)(?::(.+))?", part, re.ASCII)
        size = int(match[1]) * _SIZES[match[2]] if match else 0
        if match is None or not 0 < size <= LARGEST_MESSAGE:
            raise ValueError(
                f"{part!r} is no size such as 64, 1KiB or 64,1KiB:3, of up to {binarySize(LARGEST_MESSAGE)}"
            )
        if size in mix:
            raise ValueError(f"{size} bytes twice")
        try:
            mix[size] = positiveNumber(match[3] or "1")
        except ValueError:
            raise ValueError(f"the weight {match[3]!r} is no number, more than 0") from None
    return tuple(mix.items())


def rateOf(text: str) -> float:
    """Parses a rate in messages a second."""
    rate = positiveNumber(text)
    if rate > FASTEST:
        raise ValueError(f"more than {FASTEST:,.0f} a second")
    return rate


def arrivalsOf(text: str) -> str:
    """Returns the name of a distribution of arrivals."""
    if text not in ARRIVALS:
        raise ValueError(f"neither {' nor '.join(ARRIVALS)}")
    return text


def addressOf(text: str) -> str:
    """Returns which addresses of a name are used."""
    if text not in ("all", "first"):
        raise ValueError("neither all nor first")
    return text


def fileOf(text: str) -> str:
    """Returns the path of a file that can be written, or ``-``."""
    if text != "-":
        arguments.writablePath(text)
    return text


class LoadOptions(TargetOptions):
    """The options of ``load``.

    :ivar settings: of all processes together.
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
        row("rate", "r", None, "Messages a second, over all connections. [default: when answered]", rateOf),
        row("arrivals", None, None, "With --rate: poisson or uniform. [default: poisson]", arrivalsOf),
        row("max-inflight", None, None, _UNDER_WAY, wholeNumber),
        row("per-connection", None, None, "Messages until a connection is made anew.", wholeNumber),
        row("duration", "d", 10.0, "Time of the measurement: 10, 30s, 5m, 2h.", durationOf),
        row("warmup", None, 1.0, "Time before that.", pauseOf),
        row("wait", "W", 10.0, "Time until a message without an answer fails.", waitOf),
        row("processes", None, 1, "Processes that share the connections.", wholeNumber),
        row("repeat", None, 1, "How often; several targets take turns.", wholeNumber),
        row(
            "address", None, "all", "Of a name with several addresses: all in turn, or the first.", addressOf
        ),
        row("json", None, None, "File for the whole result as JSON; - is standard output.", fileOf),
        REPORT,
        TITLE,
    ]
    settings: LoadSettings
    typed: tuple[str, ...] = ()

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
        rate = self["rate"]
        if self["arrivals"] and not rate:
            raise UsageError(f"--arrivals '{self['arrivals']}': there is no --rate that it applies to")
        self._checkDatagrams()
        self._checkProcesses()
        same = {
            name: self[name] for name in ("connections", "duration", "warmup", "wait", "processes", "address")
        }
        self.settings = LoadSettings(
            sizes=self["size"],
            rate=rate,
            arrivals=(self["arrivals"] or ARRIVALS[0]) if rate else "",
            maxInflight=self["max-inflight"] or (INFLIGHT if rate else 1),
            perConnection=self["per-connection"],
            **same,
        )

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
        _, limit = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit != resource.RLIM_INFINITY and ceil(connections / processes) + RESERVE > limit:
            raise UsageError(
                f"--connections '{connections}': {limit} descriptors a process (ulimit -Hn) are not enough; "
                "use more --processes"
            )


def raiseDescriptorLimit() -> None:
    """Raises the soft limit on descriptors to the hard one; workers inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
