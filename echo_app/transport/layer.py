"""Layer: a protocol to the transport below, and a transport to the protocol above.

A :class:`FirstRead` is none: it only takes a protocol's place until the first data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IHandshakeListener, IProtocol
from twisted.protocols.policies import ProtocolWrapper
from zope.interface import implementer

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from echo_app.interfaces import IStreamTransport


def downFrom(transport: object) -> Iterator[Any]:
    """Yields a transport, and then each transport below it."""
    while transport is not None:
        yield transport
        transport = getattr(transport, "transport", None)


def bottomOf(transport: object) -> Any:
    """Returns the lowest transport: the reactor's, unless a wrapper hides it."""
    *_, bottom = downFrom(transport)
    return bottom


def topOf(transport: Any) -> tuple[Any, Any]:
    """Returns the protocol on top of a transport, above all layers, and the transport of that protocol."""
    protocol = protocolOf(transport)
    while isinstance(protocol, (Layer, ProtocolWrapper)):
        transport, protocol = protocol, protocolOf(protocol)
    return protocol, transport


def protocolOf(transport: object) -> Any:
    """Returns the protocol of a transport, or the one whose place a :class:`FirstRead` has; None without."""
    name = "wrappedProtocol" if isinstance(transport, ProtocolWrapper) else "protocol"
    above = getattr(transport, name, None)
    return above.protocol if isinstance(above, FirstRead) else above


def replace(transport: object, protocol: object, other: object) -> bool:
    """Replaces the protocol of a transport; returns False if the transport does not have it."""
    for name in ("protocol", "wrappedProtocol"):
        above = getattr(transport, name, None)
        if above is protocol:
            setattr(transport, name, other)
            return True
        if isinstance(above, FirstRead) and above.protocol is protocol:
            above.protocol = other
            return True
    return False


@implementer(IProtocol, IHalfCloseableProtocol, IHandshakeListener)
class FirstRead:
    """Takes the place of a transport's protocol until the first data, which it shows to a function.

    After that nothing of it is on the path of a byte. Until then :func:`topOf` and :func:`replace` find the
    protocol as if it were in its place.

    :param protocol: the protocol, which provides ``IHalfCloseableProtocol``.
    :param look: is called with the data and the protocol, before the protocol gets the data.
    """

    __slots__ = ("_look", "protocol", "transport")

    transport: Any
    protocol: Any

    def __init__(self, protocol: IProtocol, look: Callable[[bytes, Any], object]) -> None:
        self.protocol = protocol
        self._look = look

    def makeConnection(self, transport: Any) -> None:
        """Connects the protocol to the transport."""
        self.transport = transport
        self.protocol.makeConnection(transport)

    def connectionMade(self) -> None:
        """Is not called: ``makeConnection`` does everything."""

    def dataReceived(self, data: bytes) -> None:
        """Shows the data, and leaves the path."""
        replace(self.transport, self, self.protocol)
        self._look(data, self.protocol)
        self.protocol.dataReceived(data)

    def handshakeCompleted(self) -> None:
        """Passes the end of the handshake of Twisted's TLS on."""
        if IHandshakeListener.providedBy(self.protocol):
            self.protocol.handshakeCompleted()

    def readConnectionLost(self) -> None:
        """Passes the peer's end of stream on."""
        self.protocol.readConnectionLost()

    def writeConnectionLost(self) -> None:
        """Passes our end of stream on."""
        self.protocol.writeConnectionLost()

    def connectionLost(self, reason: Failure) -> None:
        """Passes the connection's end on."""
        self.protocol.connectionLost(reason)


class Layer:
    """A protocol to the transport below, and a transport to the protocol above.

    The base class of all layers: questions about the connection go to the transport below.

    :param protocol: the protocol above.

    :ivar disconnecting: the connection is to be closed after everything is sent.
    """

    __slots__ = ("disconnecting", "protocol", "transport")

    transport: IStreamTransport

    def __init__(self, protocol: IProtocol) -> None:
        self.protocol = protocol
        self.disconnecting = False

    def connectionMade(self) -> None:
        """Is not called: ``makeConnection`` does everything."""

    def write(self, data: bytes) -> None:
        """Takes output; a subclass implements it."""
        raise NotImplementedError

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Writes the pieces as one."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Closes the connection; a subclass implements it."""
        raise NotImplementedError

    def stopProducing(self) -> None:
        """Closes the connection."""
        self.loseConnection()

    def getPeer(self) -> Any:
        """Returns the peer's address."""
        return self.transport.getPeer()

    def getHost(self) -> Any:
        """Returns our address."""
        return self.transport.getHost()

    def fileno(self) -> int:
        """Returns the descriptor; -1 when it is closed."""
        descriptor: Any = self.transport
        return int(descriptor.fileno())

    def getTcpNoDelay(self) -> bool:
        """Says whether TCP_NODELAY is set."""
        return bool(self.transport.getTcpNoDelay())

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Sets TCP_NODELAY."""
        self.transport.setTcpNoDelay(enabled)

    def getTcpKeepAlive(self) -> bool:
        """Says whether keepalive is on."""
        return bool(self.transport.getTcpKeepAlive())

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Turns keepalive on or off."""
        self.transport.setTcpKeepAlive(enabled)
