"""A transport on top of another transport."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from echo_app.interfaces import IStreamTransport


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
