"""A stream, echoed.

:class:`EchoProtocol` is complete by itself: under a plain ``Factory.forProtocol(EchoProtocol)`` it is
exact, half-closes and has bounded memory. :class:`EchoFactory` adds the limits.

The rules of a connection: the transport is its own producer, so that it stops reading while its peer
does not read; at the peer's end of stream what is still unsent is flushed, and only then comes our
end of stream.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, cast

from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IProtocol,
)
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from echo_app.connections.counts import ConnectionCounts
from echo_app.connections.refusal import Refusal
from echo_app.interfaces import IStreamTransport
from echo_app.transport.sockets import keepUrgentDataInline, reset


@implementer(IHalfCloseableProtocol)
class EchoProtocol(Protocol):
    """Sends back what it receives (RFC 862, over a stream): every byte, in order, nothing else.

    A subclass answers otherwise by overriding ``dataReceived``, and produces otherwise by overriding
    ``registerProducer``. One that overrides ``connectionMade``, ``connectionLost`` or
    ``readConnectionLost`` calls up.
    """

    transport: IStreamTransport
    connections: ConnectionCounts | None = None
    pending = 0

    def connectionMade(self) -> None:
        """Ties reading to writing, and counts the connection where a factory asked for it."""
        keepUrgentDataInline(self.transport)
        self.registerProducer()
        if self.connections is not None and not self.connections.opened(self):
            self.connections = None
            reset(self.transport)

    def registerProducer(self) -> None:
        """Has the transport stop reading while its peer does not read."""
        self.transport.registerProducer(self.transport, True)

    def dataReceived(self, data: bytes) -> None:
        """Sends the bytes back."""
        self.transport.write(data)

    def readConnectionLost(self) -> None:
        """The peer half-closed: it gets the rest of its echo, and then our end of stream."""
        self.finish()

    def writeConnectionLost(self) -> None:
        """Our side is closed; the peer's end of stream ends the connection."""

    def finish(self) -> None:
        """Closes the connection when everything that was written is sent."""
        # With a streaming producer registered, loseConnection never closes.
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Counts the end."""
        if self.connections is not None:
            self.connections.closed(self, reason)


# Makes what serves an admitted connection, from its peer's address and its number: 1, 2, 3 and so on, over
# all listeners of the factory, in the order of admission.
Build: TypeAlias = "Callable[[IAddress | None, int], IProtocol]"


class EchoFactory(ServerFactory):
    """Makes an :class:`EchoProtocol` for each connection that the limits admit.

    :param connections: the counts, shared by all listeners that are held to the same limits; None is
        no limits.
    :ivar admitted: the number of the connection that was admitted last.
    """

    protocol: Callable[[], EchoProtocol] = EchoProtocol
    noisy = False

    def __init__(self, connections: ConnectionCounts | None = None) -> None:
        self.connections = connections
        self.admitted = 0
        self._build: Build = self._buildPlain

    def wrap(self, wrapper: Callable[[Build], Build]) -> None:
        """Puts a gate, or a layer, before the protocols to come; the last one is the first that a byte meets.

        :param wrapper: is given what made protocols so far, and returns what makes them from now on.
        """
        self._build = wrapper(self._build)

    def buildProtocol(self, addr: IAddress | None) -> IProtocol | None:  # type: ignore[override]
        """Returns the connection's protocol, or one that resets it."""
        if self.connections is not None and not self.connections.admits(addr):
            return Refusal(self.connections.refused.last)
        self.admitted += 1
        if self.connections is not None:
            self.connections.admitted = self.admitted
        return self._build(addr, self.admitted)

    def _buildPlain(self, addr: IAddress | None, _number: int) -> IProtocol:
        protocol = cast(IProtocol, super().buildProtocol(addr))
        if isinstance(protocol, EchoProtocol):
            protocol.connections = self.connections
        return protocol
