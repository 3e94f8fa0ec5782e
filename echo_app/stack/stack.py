"""The stack of a connection: all layers from its socket to its protocol, in their order.

One mechanism adds a layer: a function takes the ``Build`` of the layers above, and returns a ``Build`` that
includes its own. A gate is a layer that leaves when it has read its prefix. A layer that no option asks for
does not exist, and costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IProtocol,
    IProtocolFactory,
)
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from echo_app.addresses import describe
from echo_app.connections.limits import Limits
from echo_app.connections.record import Ending
from echo_app.connections.refusal import Refusal
from echo_app.connections.registry import ConnectionRegistry
from echo_app.proxy.header import UNEXPECTED, isHeader
from echo_app.transport.layer import FirstRead, replace

if TYPE_CHECKING:
    from echo_app.access.login import Logins
    from echo_app.connections.connection import Connection
    from echo_app.faults.faultset import FaultSet
    from echo_app.interfaces import Build
    from echo_app.proxy.gate import ProxyHeaders
    from echo_app.tls.server import ServerTLS

log = Logger()

# Connections of a listener without TLS whose first data are checked for a header of the PROXY protocol. A
# proxy sends one on each connection or on none, so these are enough, and the others cost nothing.
WATCHED = 256


@implementer(IProtocolFactory)
class Stack:
    """Makes the protocols of a listener's connections, with all layers below them; any endpoint takes it.

    :param factory: makes the protocol on top, which may be anything that provides ``IProtocol``.
    :param connections: the registry, which several stacks may share; None is one without caps.
    :param proxy: each connection begins with a header of the PROXY protocol; None is no header.
    :param tls: the connections use TLS; None is no TLS.
    :param logins: each connection begins with a login; None is no login.
    :param faults: the faults of connections, and the preamble that chooses them; None is no faults.
    :param layers: layers of your own, below the protocol and above the others; the last one is the lowest.
        Each takes the ``Build`` of the layers above it, and returns one that includes its own.

    :ivar workQueue: the queue of the connections' handshakes, at which the acceptor looks; None without TLS.
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
        self.workQueue = None if tls is None else tls.handshakes
        self._proxy = proxy
        self._tls = tls
        # Of the connections to come, how many are watched for a header of the PROXY protocol.
        self._watched = WATCHED if proxy is None else 0
        # From the protocol down: a received byte meets the layer first that is added last.
        build: Build = self._buildProtocol
        for layer in layers:
            build = layer(build)
        for own in (faults, logins, tls, proxy):
            if own is not None:
                build = own.layer(build)
        self._build = build

    def doStart(self) -> None:
        """Starts the factory: a port begins to listen."""
        self._factory.doStart()

    def doStop(self) -> None:
        """Stops the factory: a port stops listening."""
        self._factory.doStop()

    def buildProtocol(self, addr: IAddress | None) -> IProtocol:
        """Admits or refuses a connection; returns the protocol that builds its layers, or the refusal."""
        if self._proxy is None:
            admitted = self.connections.admit(addr)
        else:
            admitted = self._proxy.expect(addr, self.connections)
        return admitted if isinstance(admitted, Refusal) else Arrival(admitted, addr, self._buildLayers)

    def _buildProtocol(self, address: IAddress | None, connection: Connection) -> IProtocol | None:
        protocol = self._factory.buildProtocol(address)  # type: ignore[arg-type]
        if protocol is not None:
            connection.serve()
        return protocol

    def _buildLayers(self, address: IAddress | None, connection: Connection) -> IProtocol | None:
        """Builds all layers, below which the first data are watched for a header of the PROXY protocol."""
        lowest = self._build(address, connection)
        if not self._watched or not IHalfCloseableProtocol.providedBy(lowest):
            return lowest
        if self._tls is None:
            self._watched -= 1
        return FirstRead(lowest, self._watch)

    def _watch(self, data: bytes, lowest: Any) -> None:
        """Logs the first header that no option expects; TLS counts each one as the reason of its failure."""
        if not self._watched or not isHeader(data):
            return
        if self._tls is not None:
            lowest.fail("proxy-header", UNEXPECTED)
        else:
            self._watched = 0
            peer = describe(lowest.transport.getPeer())
            log.warn("{peer} sent {header}", peer=peer, header=UNEXPECTED)


@implementer(IProtocol, IHalfCloseableProtocol)
class Arrival:
    """Opens an admitted connection when its transport is connected, and gives its place to the lowest layer.

    A transport without a protocol to replace, such as one of a unit test, goes on to call the arrival, which
    passes each call on.

    :param connection: the connection.
    :param address: the peer's address.
    :param build: makes the layers.
    """

    __slots__ = ("_address", "_build", "_connection", "transport")

    transport: Any

    def __init__(self, connection: Connection, address: IAddress | None, build: Build) -> None:
        self._connection = connection
        self._address = address
        self._build = build

    def makeConnection(self, transport: Any) -> None:
        """Opens the connection, and connects the lowest layer."""
        self.transport = below = transport
        connection = self._connection
        lowest: IProtocol | None = None
        if connection.begin(below):
            try:
                lowest = self._build(self._address, connection)
            except Exception:
                log.failure("no protocol for a connection, which is reset")
                connection.end(Ending.ERROR)
        lowest = lowest or Refusal()
        if not replace(below, self, lowest):
            below.protocol = lowest
        lowest.makeConnection(transport)

    def connectionMade(self) -> None:
        """Is not called: ``makeConnection`` does everything."""

    def dataReceived(self, data: bytes) -> None:
        """Passes input on."""
        self.transport.protocol.dataReceived(data)

    def readConnectionLost(self) -> None:
        """Passes the peer's end of stream on."""
        self.transport.protocol.readConnectionLost()

    def writeConnectionLost(self) -> None:
        """Passes our end of stream on."""
        self.transport.protocol.writeConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Passes the connection's end on, and ends the connection."""
        self.transport.protocol.connectionLost(reason)
        self._connection.ended(reason)
