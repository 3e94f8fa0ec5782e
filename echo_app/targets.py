"""Targets of the probe: parses a target, and makes the endpoint that connects to it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, replace
from typing import Any

from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    UNIXClientEndpoint,
    clientFromString,
)
from twisted.internet.interfaces import IStreamClientEndpoint, IStreamClientEndpointStringParserWithReactor
from twisted.plugin import getPlugins

# Every way to write a target that begins with a scheme.
SCHEMES = ("tcp", "tls", "udp", "unix")


class BadTarget(ValueError):
    """What can't be looked at; the text says why, in one line."""


@dataclass(frozen=True, slots=True)
class ClientTLS:
    """The settings of TLS of a client.

    :param authority: path of a PEM file with whom the server's certificate must lead to; None is whom the
        system believes.
    :param certificate: path of our own certificate, in PEM form, with those that lead to its root.
    :param key: path of its key; None is the certificate's file.
    :param isInsecure: believe every certificate.
    :param serverName: whom the certificate must name, and what is asked for (SNI); None is the host.
    :param protocols: what is offered by ALPN.
    """

    authority: str | None = None
    certificate: str | None = None
    key: str | None = None
    isInsecure: bool = False
    serverName: str | None = None
    protocols: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """What is looked at.

    :param text: as it was typed.
    :param kind: ``tcp``, ``tls``, ``udp``, ``unix``, or ``endpoint``.
    :param host: a name or an IP literal; empty for the last two.
    :param port: 0 for the last two.
    :param path: a UNIX socket's, or an endpoint's description.
    :param tls: how TLS is spoken, if it is.
    """

    text: str
    kind: str
    host: str = ""
    port: int = 0
    path: str = ""
    tls: ClientTLS = field(default_factory=ClientTLS)

    @property
    def isStream(self) -> bool:
        """Says whether it is connected to."""
        return self.kind != "udp"

    @property
    def isLiteral(self) -> bool:
        """Says whether its host is an address rather than a name."""
        return isLiteral(self.host)

    @property
    def serverName(self) -> str:
        """Whom a TLS certificate must name."""
        return self.tls.serverName or self.host

    def at(self, address: str) -> Target:
        """Returns the same target at one of its addresses; over TLS it keeps its name.

        :param address: an IP literal.
        """
        return replace(self, host=address, tls=replace(self.tls, serverName=self.serverName))

    def endpoint(self, reactor: Any, timeout: float, bindAddress: str | None = None) -> IStreamClientEndpoint:
        """Returns what connects to it. Under ``tls`` this is the TCP connection below.

        :param timeout: seconds.
        :param bindAddress: our address, an IP literal; None is the kernel's choice.
        :raise BadTarget: when Twisted makes nothing of a description.
        """
        if self.kind == "unix":
            return UNIXClientEndpoint(reactor, self.path, timeout=timeout)
        if self.kind == "endpoint":
            return _described(reactor, self.path)
        bind = None if bindAddress is None else (bindAddress, 0)
        if not self.isLiteral:
            return HostnameEndpoint(reactor, self.host, self.port, timeout, bindAddress)
        literal = TCP6ClientEndpoint if ":" in self.host else TCP4ClientEndpoint
        return literal(reactor, self.host, self.port, timeout, bind)

    def __str__(self) -> str:
        if self.kind in ("unix", "endpoint"):
            return f"{self.kind} {self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind} {host}:{self.port}"


def parseTarget(text: str, tls: ClientTLS = ClientTLS()) -> Target:
    """Reads ``HOST:PORT``, a URL, or one of Twisted's client endpoint descriptions.

    :param tls: how TLS is spoken where it is.
    :raise BadTarget: with what is wrong.
    """
    scheme, isURL, rest = text.partition("://")
    if isURL:
        return _parseURL(text, scheme.lower(), rest, tls)
    name = text.partition(":")[0]
    if text.count(":") != 1 and not text.startswith("["):
        return _parseDescription(text, name)
    if name in _descriptions() and not text.rpartition(":")[2].isdecimal():
        return _parseDescription(text, name)
    host, port = _hostPort(text)
    return Target(text, "tcp", host, port, tls=tls)


def isLiteral(host: str) -> bool:
    """Says whether a host is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def isName(host: str) -> bool:
    """Says whether a host's name, or an IPv4 address, can be looked up: its labels have 1 to 63 letters."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return bool(host) and all(c.isalnum() or c in "-._" for c in host)


def _parseURL(text: str, scheme: str, rest: str, tls: ClientTLS) -> Target:
    if scheme not in SCHEMES:
        raise BadTarget(f"no scheme of ours; there are {', '.join(f'{each}://' for each in SCHEMES)}")
    if scheme == "unix":
        if not rest.startswith("/"):
            raise BadTarget("a UNIX socket is written with its whole path, as unix:///run/echo.sock")
        return Target(text, "unix", path=rest)
    address = rest.rstrip("/")
    if any(c in address for c in "/?#@"):
        raise BadTarget(f"nothing but HOST:PORT comes after {scheme}://")
    host, port = _hostPort(address)
    return Target(text, scheme, host, port, tls=tls)


def _parseDescription(text: str, name: str) -> Target:
    if name not in _descriptions():
        known = ", ".join(sorted(_descriptions()))
        raise BadTarget(f"neither HOST:PORT, with an IPv6 host in brackets, nor an endpoint of {known}")
    return Target(text, "endpoint", path=text)


def _described(reactor: Any, description: str) -> IStreamClientEndpoint:
    try:
        endpoint: IStreamClientEndpoint = clientFromString(reactor, description)
    except Exception as error:
        # Their parsers raise whatever comes to them.
        raise BadTarget(f"no endpoint that Twisted understands: {error!r}") from error
    return endpoint


def _descriptions() -> set[str]:
    """Returns the names that Twisted's client endpoint descriptions begin with."""
    found = {plugin.prefix for plugin in getPlugins(IStreamClientEndpointStringParserWithReactor)}
    return {"tcp", "ssl", "unix"} | {str(each) for each in found}


def _hostPort(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not (colon and port.isascii() and port.isdecimal() and 0 < int(port) <= 65535):
        raise BadTarget("HOST:PORT needs a port from 1 to 65535")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        if not (isLiteral(host) and ":" in host):
            raise BadTarget("what is in brackets is no IPv6 address")
    elif not isName(host):
        raise BadTarget("no host's name, nor an address; one of IPv6 is in brackets")
    return host, int(port)
