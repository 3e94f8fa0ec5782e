"""The echo over a stream: ``EchoProtocol`` and its factory.

:class:`EchoProtocol` is complete by itself: under a plain ``Factory.forProtocol(EchoProtocol)`` it is
exact, half-closes and has bounded memory. :class:`~echo_app.stack.stack.Stack` adds the limits.

The rules of a connection: the transport is its own producer, so that it stops reading while its peer
does not read. At the peer's end of stream the unsent bytes are flushed, before our end of stream.
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
    """Sends back every byte that it receives, in order, and nothing else (RFC 862, over a stream).

    A subclass overrides ``dataReceived`` for other answers, and ``registerProducer`` for another producer.
    An override of ``connectionMade`` or ``readConnectionLost`` calls the method of this class.

    :cvar pending: number of answers under way without a byte written; a drain waits for them.
    :cvar isEcho: ``dataReceived`` writes exactly what it gets, and is never rebound, so that a layer may bind
        it. A layer asks the class itself: this says nothing of a subclass.
    """

    transport: IStreamTransport
    pending = 0
    isEcho = True

    def connectionMade(self) -> None:
        """Keeps urgent data in the stream, and registers the producer."""
        keepUrgentDataInline(self.transport)
        self.registerProducer()

    def registerProducer(self) -> None:
        """Registers the transport, which then stops reading while its peer does not read."""
        self.transport.registerProducer(self.transport, True)

    def dataReceived(self, data: bytes) -> None:
        """Sends the bytes back."""
        self.transport.write(data)

    def readConnectionLost(self) -> None:
        """Sends the rest of the echo, and then our end of stream, after a half-close of the peer."""
        self.finish()

    def writeConnectionLost(self) -> None:
        """Does nothing: the peer's end of stream ends the connection."""

    def finish(self) -> None:
        """Closes the connection after all written bytes are sent."""
        # With a streaming producer registered, loseConnection never closes.
        self.transport.unregisterProducer()
        self.transport.loseConnection()


class EchoFactory(ServerFactory):
    """Makes an :class:`EchoProtocol` for each connection."""

    protocol = EchoProtocol
    noisy = False
