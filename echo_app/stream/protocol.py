"""The echo over a stream: ``EchoProtocol`` and its factory.

:class:`EchoProtocol` is complete by itself: under a plain ``Factory.forProtocol(EchoProtocol)`` it is
exact, half-closes and has bounded memory. :class:`~echo_app.stack.stack.Stack` adds the limits.

The rules of a connection: the transport is its own producer, so that it stops reading while its peer
does not read; at the peer's end of stream what is still unsent is flushed, and only then comes our
end of stream.
"""

from __future__ import annotations

from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
)
from twisted.internet.protocol import Protocol, ServerFactory
from zope.interface import implementer

from echo_app.interfaces import IStreamTransport
from echo_app.transport.sockets import keepUrgentDataInline


@implementer(IHalfCloseableProtocol)
class EchoProtocol(Protocol):
    """Sends back what it receives (RFC 862, over a stream): every byte, in order, nothing else.

    A subclass answers otherwise by overriding ``dataReceived``, and produces otherwise by overriding
    ``registerProducer``. One that overrides ``connectionMade`` or ``readConnectionLost`` calls up.

    :cvar pending: answers that are under way, and of which nothing is written yet; a drain waits for them.
    """

    transport: IStreamTransport
    pending = 0

    def connectionMade(self) -> None:
        """Ties reading to writing."""
        keepUrgentDataInline(self.transport)
        self.registerProducer()

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


class EchoFactory(ServerFactory):
    """Makes an :class:`EchoProtocol` for each connection."""

    protocol = EchoProtocol
    noisy = False
