"""Settings of the probe's end of a connection: address, family, type of service, and PROXY header."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import (
    IConnector,
    IHostnameResolver,
    IReactorPluggableNameResolver,
    IReactorTime,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import ClientFactory
from zope.interface import implementer

from echo_app.probe.net.errors import ErrorKind, Reason
from echo_app.probe.net.proxyheader import ProxyHeader
from echo_app.targets import Target

# The address types of a family, as a resolver takes them.
_TYPES: dict[int, tuple[type[IPv4Address] | type[IPv6Address]]] = {
    socket.AF_INET: (IPv4Address,),
    socket.AF_INET6: (IPv6Address,),
}

_NONE: dict[int, str] = {socket.AF_INET: "no IPv4 address", socket.AF_INET6: "no IPv6 address"}


def familyOf(address: str) -> int:
    """Returns the family of an IP literal."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """The settings of the probe's end.

    :param family: ``AF_INET`` or ``AF_INET6``, of the addresses of a name that are used; 0 is both.
    :param source: our own address, an IP literal; empty is the kernel's choice.
    :param tos: type of service (IPv4) or traffic class (IPv6), a byte (RFC 2474); None is the kernel's.
    :param proxy: what is sent first on each stream; None is nothing.
    """

    family: int = 0
    source: str = ""
    tos: int | None = None
    proxy: ProxyHeader | None = None

    def endpoint(self, reactor: Any, target: Target, timeout: float) -> IStreamClientEndpoint:
        """Returns the endpoint that connects to a target.

        :param timeout: seconds for the connection attempt.
        """
        if not target.host or not (self.family or self.source or self.tos is not None):
            return target.endpoint(reactor, timeout)
        kind: Any = HostnameEndpoint
        if target.isLiteral:
            kind = TCP6ClientEndpoint if ":" in target.host else TCP4ClientEndpoint
        bound = (self.source, 0) if self.source else None
        return kind(  # type: ignore[no-any-return]
            ConnectingReactor(reactor, self), target.host, target.port, timeout, bindAddress=bound
        )

    def mark(self, sock: socket.socket) -> None:
        """Sets the type of service of a socket that is not connected yet."""
        if self.tos is None:
            return
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, self.tos)
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, self.tos)

    @property
    def unresolved(self) -> Reason:
        """The reason for which a name has no address that can be used."""
        return Reason(ErrorKind.UNRESOLVED, _NONE.get(self.family, ""))

    def chosen(self, addresses: Sequence[str]) -> list[str]:
        """Returns those addresses that have the family."""
        return [each for each in addresses if self.family in (0, familyOf(each))]


@implementer(IReactorPluggableNameResolver, IReactorTime, IHostnameResolver)
class ConnectingReactor:
    """A reactor for endpoints whose sockets have the settings, the SYN included.

    It resolves names to addresses of the family alone, and is otherwise the reactor that it gets.
    """

    def __init__(self, reactor: Any, settings: ConnectionSettings) -> None:
        self._reactor = reactor
        self._settings = settings

    @property
    def nameResolver(self) -> IHostnameResolver:
        """The resolver of names: this object itself."""
        return self

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Any = None,
        transportSemantics: str = "TCP",
    ) -> Any:
        """Resolves a name to addresses of the family."""
        types = _TYPES.get(self._settings.family, addressTypes)
        return self._reactor.nameResolver.resolveHostName(
            resolutionReceiver, hostName, portNumber, types, transportSemantics
        )

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: ClientFactory,
        timeout: float = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> IConnector:
        """Connects; the reactor sends the SYN in its next turn, when the socket has the settings."""
        connector = self._reactor.connectTCP(host, port, factory, timeout, bindAddress)
        sock = getattr(connector.transport, "socket", None)
        # Without one the attempt has failed, and the factory is told so.
        if sock is not None:
            self._settings.mark(sock)
        return connector  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)
