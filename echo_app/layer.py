"""Transports on top of each other: TLS, faults, and whatever else wraps the one that has the socket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from echo_app.interfaces import IStreamTransport


def downFrom(transport: object) -> Iterator[Any]:
    """Yields a transport, and one after another those below it."""
    while transport is not None:
        yield transport
        transport = getattr(transport, "transport", None)


def bottomOf(transport: object) -> Any:
    """Returns the lowest transport: the reactor's, unless somebody hides it."""
    *_, bottom = downFrom(transport)
    return bottom


class Layer:
    """Answers, for a transport, what it is asked about the connection below it."""

    __slots__ = ("transport",)

    transport: IStreamTransport

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
