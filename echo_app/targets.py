"""Targets of the probe: parses a target, and makes the endpoint that connects to it."""

from __future__ import annotations

import ipaddress
import re
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

from echo_app.hints import didYouMean, nearest

# The schemes of targets that are URLs.
SCHEMES = ("tcp", "tls", "udp", "unix")


class BadTarget(ValueError):
    """A text that is no target; the error's text has the reason, in one line."""


@dataclass(frozen=True, slots=True)
class ClientTLS:
    """The client's TLS settings.

    :param authority: path of a PEM file with the authorities that may sign the server's certificate; None is
        those of the system.
    :param certificate: path of the client's certificate chain, in PEM form.
    :param key: path of the certificate's key; None is the certificate's file.
    :param isInsecure: accept every certificate.
    :param serverName: the name that the probe asks for (SNI) and that the certificate must have; None is the
        host.
    :param protocols: application protocols to offer by ALPN.
    """

    authority: str | None = None
    certificate: str | None = None
    key: str | None = None
    isInsecure: bool = False
    serverName: str | None = None
    protocols: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """The address that the probe talks to.

    :param text: the target as the user typed it.
    :param kind: ``tcp``, ``tls``, ``udp``, ``unix``, or ``endpoint``.
    :param host: a name or an IP literal; empty for the last two kinds.
    :param port: 0 for the last two kinds.
    :param path: the path of a UNIX socket, or the description of an endpoint.
    :param tls: settings for the kind ``tls``.
    """

    text: str
    kind: str
    host: str = ""
    port: int = 0
    path: str = ""
    tls: ClientTLS = field(default_factory=ClientTLS)

    @property
    def isStream(self) -> bool:
        """Says whether the target takes a stream rather than datagrams."""
        return self.kind != "udp"

    @property
    def isLiteral(self) -> bool:
        """Says whether the host is an address rather than a name."""
        return isLiteral(self.host)

    @property
    def serverName(self) -> str:
        """Returns the name that the server's certificate must have."""
        return self.tls.serverName or self.host

    def at(self, address: str) -> Target:
        """Returns the same target at one address of its host; a server name for TLS stays.

        :param address: an IP literal.
        """
        return replace(self, host=address, tls=replace(self.tls, serverName=self.serverName))

    def endpoint(self, reactor: Any, timeout: float) -> IStreamClientEndpoint:
        """Returns the endpoint that connects to the target; for ``tls``, the endpoint of its TCP connection.

        :param timeout: seconds for the connection attempt.
        :raise BadTarget: when Twisted does not understand the description of an endpoint.
        """
        if self.kind == "unix":
            return UNIXClientEndpoint(reactor, self.path, timeout=timeout)
        if self.kind == "endpoint":
            return _described(reactor, self.path)
        if not self.isLiteral:
            return HostnameEndpoint(reactor, self.host, self.port, timeout)
        literal = TCP6ClientEndpoint if ":" in self.host else TCP4ClientEndpoint
        return literal(reactor, self.host, self.port, timeout)

    def __str__(self) -> str:
        if self.kind in ("unix", "endpoint"):
            return f"{self.kind} {self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind} {host}:{self.port}"


def parseTarget(text: str, tls: ClientTLS = ClientTLS()) -> Target:
    """Parses ``HOST:PORT``, a URL, or one of Twisted's client endpoint descriptions.

    :param tls: settings for a ``tls`` target.
    :raise BadTarget: when the text is none of them.
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
    """Says whether a resolver can look up a host's name or IPv4 address: labels have 1 to 63 characters."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return bool(host) and all(c.isalnum() or c in "-._" for c in host)


def _parseURL(text: str, scheme: str, rest: str, tls: ClientTLS) -> Target:
    if scheme not in SCHEMES:
        known = ", ".join(f"{each}://" for each in SCHEMES)
        raise BadTarget(f"unknown scheme; there are {known}{didYouMean(_likelyURLs(scheme, rest))}")
    if scheme == "unix":
        if not rest.startswith("/"):
            raise BadTarget("a UNIX socket needs an absolute path, such as unix:///run/echo.sock")
        return Target(text, "unix", path=rest)
    address = rest.rstrip("/")
    if any(c in address for c in "/?#@"):
        raise BadTarget(f"only HOST:PORT may follow {scheme}://")
    host, port = _hostPort(address)
    return Target(text, scheme, host, port, tls=tls)


def _parseDescription(text: str, name: str) -> Target:
    if name not in _descriptions():
        known = ", ".join(sorted(_descriptions()))
        likely = didYouMean(_likelyTargets(text))
        raise BadTarget(
            f"neither HOST:PORT, with an IPv6 host in brackets, nor an endpoint ({known}){likely}"
        )
    return Target(text, "endpoint", path=text)


def _likelyURLs(scheme: str, rest: str) -> list[str]:
    """Returns the URLs that one with an unknown scheme may mean: HTTP goes over a stream, too."""
    near = {"http": ["tcp"], "https": ["tls"]}.get(scheme) or nearest(scheme, SCHEMES)
    place = rest.partition("/")[0]
    if scheme in ("http", "https") and place and not re.search(r":\d+$", place):
        place += ":80" if scheme == "http" else ":443"
    return [f"{each}://{place or 'HOST:PORT'}" for each in near]


def _likelyTargets(text: str) -> list[str]:
    """Returns the targets that a host without a port, or without brackets, may mean."""
    host, _, port = text.rpartition(":")
    if isLiteral(host) and ":" in host and port.isdecimal():
        return [f"[{host}]:{port}"]
    if isLiteral(text) or isName(text):
        return [f"[{text}]:8080" if ":" in text else f"{text}:8080"]
    return []


def _described(reactor: Any, description: str) -> IStreamClientEndpoint:
    try:
        endpoint: IStreamClientEndpoint = clientFromString(reactor, description)
    except Exception as error:
        # The parsers of endpoints are plugins, and may raise any exception.
        raise BadTarget(f"Twisted does not understand this endpoint: {error!r}") from error
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
            raise BadTarget("the text in brackets is not an IPv6 address")
    elif not isName(host):
        raise BadTarget("neither a host name nor an address; an IPv6 address needs brackets")
    return host, int(port)
