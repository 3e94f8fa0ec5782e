"""Layer: a protocol to the transport below, and a transport to the protocol above."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from twisted.protocols.policies import ProtocolWrapper

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocol

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
    protocol = _above(transport)
    while isinstance(protocol, (Layer, ProtocolWrapper)):
        transport, protocol = protocol, _above(protocol)
    return protocol, transport


def _above(transport: object) -> Any:
    name = "wrappedProtocol" if isinstance(transport, ProtocolWrapper) else "protocol"
    return getattr(transport, name, None)


def replace(transport: object, protocol: object, other: object) -> bool:
    """Replaces the protocol of a transport; returns False if the transport does not have it."""
    for name in ("protocol", "wrappedProtocol"):
        if getattr(transport, name, None) is protocol:
            setattr(transport, name, other)
            return True
    return False


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
