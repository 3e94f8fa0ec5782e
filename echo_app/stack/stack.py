"""The stack of a connection: all layers from its socket to its protocol, in their order.

One mechanism puts a layer in: a function takes the one that builds the layers above, and returns one that
builds the layer with them. A gate is a layer that leaves when it has read its prefix. A layer that no option
asks for does not exist, and costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IAddress, IProtocol, IProtocolFactory
from zope.interface import implementer

from echo_app.connections.limits import Limits
from echo_app.connections.refusal import Refusal
from echo_app.connections.registry import ConnectionRegistry
from echo_app.stream.protocol import EchoProtocol

if TYPE_CHECKING:
    from echo_app.access.login import Logins
    from echo_app.faults.faultset import FaultSet
    from echo_app.interfaces import Accept, Build
    from echo_app.proxy.gate import ProxyHeaders
    from echo_app.tls.server import ServerTLS


@implementer(IProtocolFactory)
class Stack:
    """Makes the protocols of a listener's connections, with all layers below them; any endpoint takes it.

    :param factory: makes the protocol on top. Connections with an ``EchoProtocol`` are counted.
    :param connections: the registry, which several stacks may share; None is one without caps.
    :param proxy: each connection begins with a header of the PROXY protocol; None is no header.
    :param tls: the connections use TLS; None is no TLS.
    :param logins: each connection begins with a login; None is no login.
    :param faults: the faults of connections, and the preamble that chooses them; None is no faults.
    :param layers: layers of your own, below the protocol and above the others; the last one is the lowest.
        Each takes the function that builds the layers above it, and returns one that builds it with them.
    """

    noisy = False

    def __init__(
        self,
        factory: IProtocolFactory,
        connections: ConnectionRegistry | None = None,
        *,
        proxy: ProxyHeaders | None = None,
        tls: ServerTLS | None = None,
        logins: Logins | None = None,
        faults: FaultSet | None = None,
        layers: Iterable[Callable[[Build], Build]] = (),
    ) -> None:
        self._factory = factory
        self.connections = connections or ConnectionRegistry(Limits())
        # From the protocol down: the last layer that is put in is the first that a byte meets.
        build: Build = self._buildProtocol
        for layer in layers:
            build = layer(build)
        if faults is not None:
            build = faults.layer(build, self.connections)
        if logins is not None:
            build = logins.layer(build)
        accept: Accept = self._admitting(build)
        if tls is not None:
            accept = tls.layer(accept)
        if proxy is not None:
            accept = proxy.layer(accept, self.connections)
        self._accept = accept

    def doStart(self) -> None:
        """Starts the factory: a port listens with it."""
        self._factory.doStart()

    def doStop(self) -> None:
        """Stops the factory: a port does not listen with it any more."""
        self._factory.doStop()

    def buildProtocol(self, addr: IAddress | None) -> IProtocol | None:
        """Returns the lowest layer of a connection, with all others above it."""
        return self._accept(addr)

    def _admitting(self, build: Build) -> Accept:
        """Admits a connection before its upper layers are built, or refuses it."""

        def accept(address: IAddress | None) -> IProtocol | None:
            admitted = self.connections.admit(address)
            return admitted if isinstance(admitted, Refusal) else build(address, admitted)

        return accept

    def _buildProtocol(self, address: IAddress | None, number: int) -> IProtocol | None:
        protocol = self._factory.buildProtocol(address)  # type: ignore[arg-type]
        if isinstance(protocol, EchoProtocol):
            protocol.connections = self.connections
            self.connections.number(protocol, number)
        return protocol
