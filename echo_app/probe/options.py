"""What is typed after ``echo-probe``, as values; a wrong one is one line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from getopt import GetoptError, gnu_getopt
from typing import Any

from twisted.python.usage import Options as BaseOptions
from twisted.python.usage import UsageError

from echo_app import __version__
from echo_app.probe.checks import Settings
from echo_app.probe.examination import CHECKS
from echo_app.probe.ping import LARGEST_DATAGRAM, NUMBER, Pings
from echo_app.probe.targets import BadTarget, Target, TLSOptions, isName, parseTarget
from echo_app.probe.tls import contextOf

# The largest ping over a stream.
LARGEST = 1 << 20


def positiveNumber(text: str) -> float:
    """Returns a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        raise ValueError("not a number, more than 0")
    return value


def wholeNumber(text: str) -> int:
    """Returns a whole number above 0."""
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise ValueError("not a whole number, more than 0")
    return int(text)


def serverName(text: str) -> str:
    """Returns a host's name."""
    if not isName(text):
        raise ValueError("no host's name")
    return text


def protocolNames(text: str) -> tuple[str, ...]:
    """Returns names for ALPN, in a list with commas (RFC 7301, 3.1)."""
    names = tuple(text.split(","))
    if not all(name.isascii() and 0 < len(name) < 256 for name in names):
        raise ValueError("not names with commas between them, of up to 255 letters")
    return names


def checkNames(text: str) -> tuple[str, ...]:
    """Returns the names of checks in a list with commas."""
    names, known = text.split(","), [check.name for check in CHECKS]
    for name in names:
        if name not in known:
            raise ValueError(f"no check {name!r}; there are {', '.join(known)}")
    return tuple(names)


def row(option: str, short: str | None, default: object, doc: str, parse: Callable[[str], Any]) -> list[Any]:
    """Returns a row of ``optParameters``, whose errors name the option and the value."""

    def coerce(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise UsageError(f"--{option} {text!r}: {error}") from None

    return [option, short, default, doc, coerce]


class ProbeOptions(BaseOptions):
    """The options of every command."""

    synopsis: str

    def getSynopsis(self) -> str:
        """Returns the first line of the help."""
        return f"Usage: echo-probe {self.synopsis}"

    def opt_version(self) -> None:
        """Display the version of echo_app and exit."""
        print(f"echo-probe {__version__}")
        raise SystemExit(0)


class TargetOptions(ProbeOptions):
    """The options of every command that talks to targets.

    :ivar targets: what is looked at.
    """

    longdesc = (
        "A target is HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT, udp://HOST:PORT, unix:///PATH, "
        "or a Twisted client endpoint description; an IPv6 address is in brackets."
    )
    optFlags = [
        ["insecure", None, "TLS: believe every certificate."],
        ["strict", None, "Warnings are findings."],
    ]
    optParameters = [
        row("ca", None, None, "TLS: PEM file with whom the certificate must lead to.", str),
        row("cert", None, None, "TLS: PEM file of our own certificate.", str),
        row("key", None, None, "TLS: PEM file of its key. [default: the certificate's file]", str),
        row("sni", None, None, "TLS: whom the certificate must name. [default: the host]", serverName),
        row("alpn", None, None, "TLS: protocols to offer, such as h2,http/1.1.", protocolNames),
        row("seed", None, None, "Number that all chance follows from, to repeat a run.", wholeNumber),
    ]
    targets: list[Target]

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parses options that stand before, between and after the targets."""
        try:
            found, targets = gnu_getopt(list(options or ()), self.shortOpt, self.longOpt)
        except GetoptError as error:
            raise UsageError(str(error)) from None
        hasValue = {f"--{each[:-1]}" for each in self.longOpt if each.endswith("=")}
        first = [f"{name}={value}" if name in hasValue else f"{name}{value}" for name, value in found]
        super().parseOptions([*first, "--", *targets])

    def parseArgs(self, *targets: str) -> None:
        """Takes the targets."""
        self.texts = list(targets)

    def postOptions(self) -> None:
        """Reads the targets, when it is known how they speak TLS."""
        if not self.texts:
            raise UsageError("no target, such as 127.0.0.1:8080")
        self.targets = [self.target(text) for text in self.texts]
        if all(target.kind != "tls" for target in self.targets):
            for option in ("ca", "cert", "key", "sni", "alpn", "insecure"):
                if self[option]:
                    raise UsageError(f"--{option}: there is no tls:// that it applies to")

    def target(self, text: str) -> Target:
        """Returns the target that is written like this.

        :raise UsageError: when it is none.
        """
        isInsecure = bool(self["insecure"])
        tls = TLSOptions(self["ca"], self["cert"], self["key"], isInsecure, self["sni"], self["alpn"] or ())
        try:
            target = parseTarget(text, tls)
        except BadTarget as error:
            raise UsageError(f"{text!r}: {error}") from None
        if target.kind == "tls":
            self._checkFiles(tls)
        return target

    def _checkFiles(self, tls: TLSOptions) -> None:
        for option in ("ca", "cert", "key"):
            if self[option] is not None:
                try:
                    open(self[option], "rb").close()
                except OSError as error:
                    raise UsageError(f"--{option} {self[option]!r}: {error.strerror}") from None
        if self["key"] is not None and self["cert"] is None:
            raise UsageError(f"--key {self['key']!r}: there is no --cert that it belongs to")
        try:
            contextOf(TLSOptions(tls.authority))
        except OSError:
            raise UsageError(f"--ca {self['ca']!r}: no usable certificate in PEM form") from None
        try:
            contextOf(tls)
        except OSError:
            files = f"--cert {self['cert']!r}" + (f" --key {self['key']!r}" if self["key"] else "")
            raise UsageError(f"{files}: no usable certificate with its key, in PEM form") from None


class PingOptions(TargetOptions):
    """The options of ``ping``."""

    synopsis = "ping TARGET... [options]"
    optParameters = [
        row("count", "c", None, "How many. [default: until Ctrl-C]", wholeNumber),
        row("interval", "i", 1.0, "Seconds between two.", positiveNumber),
        row("size", "s", 56, f"Bytes of each, at least {NUMBER}.", wholeNumber),
        row("wait", "W", 10.0, "Seconds until one is not answered any more.", positiveNumber),
    ]

    def postOptions(self) -> None:
        """Checks what depends on each other."""
        super().postOptions()
        size, isStream = self["size"], all(target.isStream for target in self.targets)
        largest = LARGEST if isStream else LARGEST_DATAGRAM
        if not NUMBER <= size <= largest:
            raise UsageError(f"--size '{size}': not from {NUMBER} to {largest}")
        self.pings = Pings(self["count"], self["interval"], size, self["wait"])


class CheckOptions(TargetOptions):
    """The options of ``check``; of its targets the second one is the direct route, if there is one."""

    synopsis = "check TARGET [options]"
    optFlags = [
        ["quick", None, "A few seconds at the most."],
        ["thorough", None, "Some minutes: longer waits and more tries."],
        ["json", None, "Print the whole as JSON, at the end."],
    ]
    optParameters = [
        row("only", None, None, "The checks to run, such as identity,half-close.", checkNames),
        row("idle", None, 0, "Seconds up to which idle connections are watched.", positiveNumber),
        row(
            "baseline", None, None, "Target of the direct route: what fails there too is not the path's.", str
        ),
    ]

    def postOptions(self) -> None:
        """Checks what depends on each other."""
        if len(self.texts) > 1:
            raise UsageError(f"{self.texts[1]!r}: check takes one target")
        if self.texts and self["baseline"]:
            self.texts.append(self["baseline"])
        super().postOptions()
        if self["quick"] and self["thorough"]:
            raise UsageError("--quick and --thorough exclude each other")
        self.settings = Settings(bool(self["quick"]), bool(self["thorough"]), self["idle"])
        self.checks = [check for check in CHECKS if not self["only"] or check.name in self["only"]]


class Options(ProbeOptions):
    """The command line."""

    synopsis = "COMMAND TARGET [options]"
    subCommands = [
        ["ping", None, PingOptions, "Round trips, a line each."],
        ["check", None, CheckOptions, "What does this path do to bytes, connections and time?"],
    ]

    def postOptions(self) -> None:
        """Needs a command."""
        if self.subCommand is None:
            raise UsageError("no command; there are ping and check")
