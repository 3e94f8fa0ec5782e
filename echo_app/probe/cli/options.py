"""Commands of ``echo-probe`` and their options; a wrong value is an error in one line."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence

from twisted.python.usage import UsageError

from echo_app.hints import didYouMean, nearest, optionHint
from echo_app.probe.checks.evidence import CheckSettings
from echo_app.probe.checks.examination import CHECKS
from echo_app.probe.cli.arguments import JUNIT, PROXY, ProbeOptions, TargetOptions, row, wholeNumber
from echo_app.probe.cli.compare import CompareOptions
from echo_app.probe.cli.loadoptions import LoadOptions
from echo_app.probe.cli.loadvalues import addressOf
from echo_app.probe.cli.ping import NUMBER, Pings
from echo_app.probe.net.connecting import ConnectionSettings, familyOf
from echo_app.probe.net.datagrams import LARGEST_DATAGRAM
from echo_app.quantities import BYTES, SECONDS
from echo_app.targets import isLiteral

_COMMANDS = ("ping", "check", "load", "compare")

# Seconds of a quick examination, without --idle: at a path without faults it takes some.
QUICK_TIME = 60.0

# Bytes of the largest ping over a stream.
LARGEST_PING = 1 << 20


def checkNames(text: str) -> tuple[str, ...]:
    """Parses a list of names of checks, with commas between them."""
    names, known = text.split(","), [check.name for check in CHECKS]
    for name in names:
        if name not in known:
            near = didYouMean(nearest(name, known))
            raise ValueError(f"no check {name!r}; there are {', '.join(known)}{near}")
    return tuple(names)


def ownAddress(text: str) -> str:
    """Returns an IP address of this machine."""
    if not isLiteral(text):
        raise ValueError("not an IPv4 or IPv6 address")
    with socket.socket(familyOf(text), socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((text, 0))
        except OSError:
            raise ValueError("not an address of this machine") from None
    return text


def typeOfService(text: str) -> int:
    """Returns a byte, written as ``184`` or ``0xb8``."""
    try:
        value = int(text, 16 if text.startswith("0x") else 10)
    except ValueError:
        value = -1
    if not (text.isascii() and text.isalnum() and 0 <= value <= 255):
        raise ValueError("not a byte from 0 to 255, such as 184 or 0xb8")
    return value


class PingOptions(TargetOptions):
    """The options of ``ping``."""

    synopsis = "ping TARGET... [options]"
    optFlags = [
        ["ipv4", "4", "Of a name, use the IPv4 addresses alone."],
        ["ipv6", "6", "Of a name, use the IPv6 addresses alone."],
        ["timestamps", "D", "Print the time before each ping."],
        ["json", None, "Print an object of JSON for each ping, and one for the summary."],
    ]
    optParameters = [
        row("count", "c", None, "Number of pings. [default: until Ctrl-C]", wholeNumber),
        row("interval", "i", 1.0, "Time between two pings.", SECONDS.parsePositive),
        row("size", "s", 56, f"Bytes of each, at least {NUMBER}.", BYTES.parsePositive),
        row("wait", "W", 10.0, "Time until a ping without an answer fails.", SECONDS.parsePositive),
        row("source", None, None, "Our own address, from which pings are sent.", ownAddress),
        row("tos", None, None, "Type of service or traffic class, such as 184 or 0xb8.", typeOfService),
        *PROXY,
    ]

    def postOptions(self) -> None:
        """Checks options that depend on each other."""
        super().postOptions()
        size, isStream = self["size"], all(target.isStream for target in self.targets)
        largest = LARGEST_PING if isStream else LARGEST_DATAGRAM
        if not NUMBER <= size <= largest:
            raise UsageError(f"--size '{size}': not from {NUMBER} to {largest}")
        if self["timestamps"] and self["json"]:
            raise UsageError("--timestamps: each object of --json has a time")
        connecting = ConnectionSettings(self._family(), self["source"] or "", self["tos"], self.proxyHeader())
        self.pings = Pings(self["count"], self["interval"], size, self["wait"], connecting)

    def _family(self) -> int:
        """Returns the family of the addresses that may be used; 0 is both."""
        if self["ipv4"] and self["ipv6"]:
            raise UsageError("--ipv4 and --ipv6 exclude each other")
        source = self["source"]
        families = {
            "--ipv4": socket.AF_INET if self["ipv4"] else 0,
            "--ipv6": socket.AF_INET6 if self["ipv6"] else 0,
            f"--source {source!r}": familyOf(source) if source else 0,
        }
        given = {option: family for option, family in families.items() if family}
        given |= {} if self["tos"] is None else {f"--tos '{self['tos']}'": 0}
        for option, family in given.items():
            for target in self.targets:
                if not target.host:
                    raise UsageError(f"{option}: {target.text!r} has no IP address")
                if family and target.isLiteral and familyOf(target.host) != family:
                    raise UsageError(f"{option}: {target.text!r} has an address of the other family")
        found = set(given.values()) - {0}
        if len(found) > 1:
            raise UsageError(f"{' and '.join(given)} are of different families")
        return found.pop() if found else 0


class CheckOptions(TargetOptions):
    """The options of ``check``. A second target is the direct route."""

    synopsis = "check TARGET [options]"
    optFlags = [
        ["quick", None, "A few seconds at the most."],
        ["thorough", None, "Some minutes: longer waits and more tries."],
        ["json", None, "Print the whole as JSON, at the end."],
    ]
    optParameters = [
        row(
            "max-time",
            None,
            None,
            "Time after which nothing more is examined. [default: 60 s with --quick, plus --idle]",
            SECONDS.parsePositive,
        ),
        row(
            "address", None, "all", "Of a name with several addresses: all in turn, or the first.", addressOf
        ),
        row("only", None, None, "The checks to run, such as identity,half-close.", checkNames),
        row("idle", None, 0, "Time up to which idle connections are watched.", SECONDS.parsePositive),
        row("baseline", None, None, "Target of the direct route: its failures are not the path's.", str),
        *PROXY,
        JUNIT,
    ]

    def postOptions(self) -> None:
        """Checks options that depend on each other."""
        if len(self.texts) > 1:
            raise UsageError(f"{self.texts[1]!r}: check takes one target")
        if self.texts and self["baseline"]:
            self.texts.append(self["baseline"])
        super().postOptions()
        for name, needed, isGiven in (
            ("idle", "--idle, such as --idle 2min", self["idle"]),
            ("tls", "a target tls://HOST:PORT", self.targets[0].kind == "tls"),
            ("udp", "a target udp://HOST:PORT", self.targets[0].kind == "udp"),
        ):
            if name in (self["only"] or ()) and not isGiven:
                raise UsageError(f"--only '{','.join(self['only'])}': {name} needs {needed}")
        if self["quick"] and self["thorough"]:
            raise UsageError("--quick and --thorough exclude each other")
        most = self["max-time"] or (QUICK_TIME + self["idle"] if self["quick"] else 0)
        self.settings = CheckSettings(
            bool(self["quick"]), bool(self["thorough"]), self["idle"], most, self.proxyHeader()
        )
        self.checks = [check for check in CHECKS if not self["only"] or check.name in self["only"]]


class Options(ProbeOptions):
    """The command line."""

    synopsis = "COMMAND TARGET [options]"
    subCommands = [
        ["ping", None, PingOptions, "Round trips, a line each."],
        ["check", None, CheckOptions, "Examine a path: its effects on bytes, connections and time."],
        ["load", None, LoadOptions, "Many round trips: rates, latencies and errors."],
        ["compare", None, CompareOptions, "Results of loads, side by side: do they differ?"],
    ]

    def postOptions(self) -> None:
        """Checks that there is a command."""
        if self.subCommand is None:
            raise UsageError(f"no command; there are {', '.join(_COMMANDS)}; --help has an overview")

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parses the command line.

        :raise UsageError: on an error, with a hint.
        """
        try:
            super().parseOptions(options)
        except UsageError as error:
            found = re.fullmatch("Unknown command: (.*)", str(error))
            near = nearest(found[1], _COMMANDS) if found else []
            hint = didYouMean(near) or f"; there are {', '.join(_COMMANDS)}" if found else ""
            if self.subCommand is None:
                hint = hint or optionHint(str(error), (), self)
            raise UsageError(f"{error}{hint}") from None
