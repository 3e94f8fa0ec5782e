"""The command line of ``echo-probe``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from twisted.python.usage import Options as BaseOptions
from twisted.python.usage import UsageError

from echo_app import __version__
from echo_app.probe.targets import BadTarget, Target, TLSOptions, parseTarget

GOOD, FINDING, NOT_STARTED = 0, 1, 2


def number(text: str) -> float:
    """Returns a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        raise ValueError("not a number, more than 0")
    return value


def wholeNumber(text: str) -> int:
    """Returns a whole number, 0 or more."""
    if not (text.isascii() and text.isdecimal()):
        raise ValueError("not a whole number, 0 or more")
    return int(text)


def row(option: str, short: str | None, default: object, doc: str, parse: Callable[[str], Any]) -> list[Any]:
    """Returns a row of ``optParameters``, whose errors name the option and the value."""

    def coerce(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise UsageError(f"--{option} {text!r}: {error}") from None

    return [option, short, default, doc, coerce]


class TargetOptions(BaseOptions):
    """The options of every command that talks to targets."""

    optFlags = [["insecure", None, "tls://: believe every certificate."]]
    optParameters = [
        row("ca", None, None, "tls://: PEM file with whom the certificate must lead to.", str),
        row("cert", None, None, "tls://: PEM file of our own certificate.", str),
        row("key", None, None, "tls://: PEM file of its key. [default: the certificate's file]", str),
        row("sni", None, None, "tls://: whom the certificate must name. [default: the host]", str),
        row("alpn", None, None, "tls://: what to offer, such as h2,http/1.1.", str),
    ]

    def target(self, text: str) -> Target:
        """Returns the target that is written like this.

        :raise UsageError: when it is none.
        """
        try:
            return parseTarget(text, self._tls())
        except BadTarget as error:
            raise UsageError(f"{text!r}: {error}") from None

    def _tls(self) -> TLSOptions:
        protocols = tuple(self["alpn"].split(",")) if self["alpn"] else ()
        return TLSOptions(
            self["ca"], self["cert"], self["key"], bool(self["insecure"]), self["sni"], protocols
        )


class PingOptions(TargetOptions):
    """The options of ``ping``."""

    synopsis = "TARGET... [options]"

    def parseArgs(self, *targets: str) -> None:
        """Takes the targets."""
        if not targets:
            raise UsageError("no target, such as 127.0.0.1:8080")
        self["targets"] = targets


class CheckOptions(TargetOptions):
    """The options of ``check``."""

    synopsis = "TARGET [options]"

    def parseArgs(self, target: str = "") -> None:
        """Takes the target."""
        if not target:
            raise UsageError("no target, such as 127.0.0.1:8080")
        self["target"] = target


class Options(BaseOptions):
    """The command line."""

    synopsis = "COMMAND TARGET [options]"
    subCommands = [
        ["ping", None, PingOptions, "Round trips, a line each."],
        ["check", None, CheckOptions, "What does this path do to bytes, connections and time?"],
    ]

    def opt_version(self) -> None:
        """Display the version of echo_app and exit."""
        print(f"echo-probe {__version__}")
        raise SystemExit(GOOD)

    def postOptions(self) -> None:
        """Needs a command."""
        if self.subCommand is None:
            raise UsageError("no command; there are ping and check")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command.

    :raise SystemExit: 0 good, 1 a finding, 2 could not start.
    """
    options = Options()
    try:
        options.parseOptions(arguments)
    except UsageError as error:
        print(f"echo-probe: {error}", file=sys.stderr)
        raise SystemExit(NOT_STARTED) from None
    raise SystemExit(GOOD)
