"""Options of all commands of ``echo-probe``, and parsers of values."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from getopt import GetoptError, gnu_getopt
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

from twisted.python.usage import Options as BaseOptions
from twisted.python.usage import UsageError

from echo_app import __version__
from echo_app.hints import didYouMean, nearest, optionHint
from echo_app.probe.net.proxyheader import VERSIONS, ProxyHeader
from echo_app.probe.net.tls import contextOf
from echo_app.targets import BadTarget, ClientTLS, Target, isLiteral, isName, parseTarget

# Libraries of the extra ``probe``: names of the modules, and of the distributions that have them.
_EXTRA = {"hdrh": "hdrhistogram", "rich": "rich"}

# An address in brackets or an IPv4 address, and a port.
_HOST_PORT = re.compile(r"(?:\[([^\]]*)\]|([0-9.]+))(?::([0-9]{1,5}))?", re.ASCII)


def checkExtra() -> None:
    """Checks that the extra ``probe`` is installed, which only loads need.

    :raise UsageError: names the missing libraries, and the command that installs them.
    """
    missing = [name for module, name in _EXTRA.items() if find_spec(module) is None]
    if missing:
        raise UsageError(f"not installed: {', '.join(missing)}; pip install 'echo_app[probe]' installs it")


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


def proxyVersion(text: str) -> str:
    """Returns a version of the PROXY protocol."""
    if text not in VERSIONS:
        raise ValueError(f"neither {' nor '.join(VERSIONS)}{didYouMean(nearest(text, VERSIONS))}")
    return text


def proxySource(text: str) -> tuple[str, int]:
    """Returns the address and the port of ``192.0.2.1``, ``192.0.2.1:5000`` or ``[2001:db8::1]:5000``.

    A port that is not given is 0.
    """
    found = None if isLiteral(text) else _HOST_PORT.fullmatch(text)
    host, port = (found[1] or found[2], int(found[3] or 0)) if found else (text, 0)
    if not isLiteral(host) or "%" in host or port > 65535 or (found and found[3] and not port):
        raise ValueError("neither an address nor ADDRESS:PORT, such as 192.0.2.1:5000 or [2001:db8::1]:5000")
    return host, port


def writablePath(text: str) -> Path:
    """Returns the path of a file, after a check of its folder and of the permission to write."""
    path = Path(text)
    if not path.parent.is_dir():
        raise ValueError("there is no such folder")
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ValueError("can't be written")
    return path


def row(option: str, short: str | None, default: object, doc: str, parse: Callable[[str], Any]) -> list[Any]:
    """Returns a row of ``optParameters``, whose errors name the option and the value."""

    def coerce(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise UsageError(f"--{option} {text!r}: {error}") from None

    return [option, short, default, doc, coerce]


REPORT = row("report", None, None, "File for a page with tables and pictures, in HTML.", writablePath)

JUNIT = row("junit", None, None, "File for the findings as JUnit XML, a test case each.", writablePath)

TITLE = row("title", None, "", "Title of that page.", str)


PROXY = (
    row("send-proxy", None, None, "PROXY header to send first: v1 or v2.", proxyVersion),
    row(
        "proxy-source",
        None,
        None,
        "With --send-proxy: client that the header names, ADDRESS or ADDRESS:PORT. [default: none]",
        proxySource,
    ),
)


class ProbeOptions(BaseOptions):
    """The options of every command."""

    synopsis: str

    def getSynopsis(self) -> str:
        """Returns the first line of the help."""
        return f"Usage: echo-probe {self.synopsis}"

    opt_h = BaseOptions.opt_help

    def opt_version(self) -> None:
        """Display the version of echo_app and exit."""
        print(f"echo-probe {__version__}")
        raise SystemExit(0)


class CommandOptions(ProbeOptions):
    """The options of every command with arguments, which may stand before, between and after the options.

    :ivar texts: the arguments that are no options.
    """

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """Parses options wherever they stand."""
        typed = list(options or ())
        try:
            found, texts = gnu_getopt(typed, self.shortOpt, self.longOpt)
            hasValue = {f"--{each[:-1]}" for each in self.longOpt if each.endswith("=")}
            first = [f"{name}={value}" if name in hasValue else f"{name}{value}" for name, value in found]
            super().parseOptions([*first, "--", *texts])
        except (GetoptError, UsageError) as error:
            raise UsageError(f"{error}{optionHint(str(error), typed, self)}") from None

    def parseArgs(self, *texts: str) -> None:
        """Keeps the arguments."""
        self.texts = list(texts)


class TargetOptions(CommandOptions):
    """The options of every command that connects to targets.

    :ivar targets: the parsed targets.
    """

    longdesc = (
        "A target is HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT, udp://HOST:PORT, unix:///PATH, "
        "or a Twisted client endpoint description; an IPv6 address is in brackets."
    )
    optFlags = [
        ["insecure", None, "TLS: accept every certificate."],
        ["strict", None, "Warnings are findings."],
    ]
    optParameters = [
        row("ca", None, None, "TLS: PEM file of the trusted certificate authorities.", str),
        row("cert", None, None, "TLS: PEM file of our own certificate.", str),
        row("key", None, None, "TLS: PEM file of its key. [default: the certificate's file]", str),
        row("sni", None, None, "TLS: name that the certificate must have. [default: the host]", serverName),
        row("alpn", None, None, "TLS: protocols to offer, such as h2,http/1.1.", protocolNames),
        row("seed", None, None, "Seed of all random numbers, to repeat a run.", wholeNumber),
    ]
    targets: list[Target]

    def postOptions(self) -> None:
        """Parses the targets, with the TLS options."""
        if not self.texts:
            raise UsageError("no target, such as 127.0.0.1:8080; --help has an overview")
        for host, port in pairwise(self.texts):
            if port.isdecimal() and ":" not in host.removeprefix("tcp://"):
                raise UsageError(f"{port!r}: no target{didYouMean([f'{host}:{port}'])}")
        self.targets = [self.target(text) for text in self.texts]
        if all(target.kind != "tls" for target in self.targets):
            for option in ("ca", "cert", "key", "sni", "alpn", "insecure"):
                if self[option]:
                    raise UsageError(f"--{option}: there is no tls:// that it applies to")

    def proxyHeader(self) -> ProxyHeader | None:
        """Returns the PROXY header of :data:`PROXY`; None where none is asked for.

        :raise UsageError: where it does not apply.
        """
        version, source = self["send-proxy"], self["proxy-source"]
        if version is None:
            if source is not None:
                raise UsageError(f"--proxy-source '{source[0]}': there is no --send-proxy that it applies to")
            return None
        for target in self.targets:
            if not target.isStream:
                raise UsageError(f"--send-proxy '{version}': {target.text!r} is no stream")
        return ProxyHeader(version, *(source or ()))

    def target(self, text: str) -> Target:
        """Parses a target.

        :raise UsageError: when the text is no target.
        """
        isInsecure = bool(self["insecure"])
        tls = ClientTLS(self["ca"], self["cert"], self["key"], isInsecure, self["sni"], self["alpn"] or ())
        try:
            target = parseTarget(text, tls)
        except BadTarget as error:
            raise UsageError(f"{text!r}: {error}") from None
        if target.kind == "tls":
            self._checkFiles(tls)
        return target

    def _checkFiles(self, tls: ClientTLS) -> None:
        for option in ("ca", "cert", "key"):
            if self[option] is not None:
                try:
                    open(self[option], "rb").close()
                except OSError as error:
                    raise UsageError(f"--{option} {self[option]!r}: {error.strerror}") from None
        if self["key"] is not None and self["cert"] is None:
            raise UsageError(f"--key {self['key']!r}: there is no --cert that it belongs to")
        try:
            contextOf(ClientTLS(tls.authority))
        except OSError:
            raise UsageError(f"--ca {self['ca']!r}: no usable certificate in PEM form") from None
        try:
            contextOf(tls)
        except OSError:
            files = f"--cert {self['cert']!r}" + (f" --key {self['key']!r}" if self["key"] else "")
            raise UsageError(f"{files}: no usable certificate with its key, in PEM form") from None
