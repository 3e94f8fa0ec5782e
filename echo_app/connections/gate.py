"""Gate: a protocol that reads a bounded prefix of a stream, decides, and leaves the path.

A gate reads a connection's first bytes, decides, and hands the transport and the bytes left over to the
next protocol. Twisted's wrapping protocols stay between the two for good: they cost something for each
byte, and hide half-closes and producers.

The rules of a :class:`Gate`: its timer runs until it hands over, and no longer. Nothing refers to it then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IHandshakeListener, IProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from echo_app.connections.limits import LINGER
from echo_app.connections.record import Ending, recordOf
from echo_app.connections.refusal import Refusal
from echo_app.interfaces import Build, IStreamTransport
from echo_app.transport.layer import replace
from echo_app.transport.sockets import canHalfClose, reset

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from echo_app.connections.connection import Connection


@implementer(IHalfCloseableProtocol, IHandshakeListener)
class Gate(Protocol):
    """Reads a connection's first bytes; a subclass says which, and what they decide.

    It overrides ``prefixReceived`` and ``prefixEnded``, and calls ``handOver``, once, or closes.

    :param build: makes the next protocol; None resets the connection.
    :param connection: the connection whose prefix it reads.
    :param clock: what time is.
    :cvar ending: the ending of a connection that the gate ends.
    :cvar silence: seconds until the first byte; None is no limit.
    :cvar patience: seconds from the first byte until it has handed over.
    :ivar received: what came so far; bounding it is the subclass's business.
    :ivar build: makes the next protocol; a subclass may decide on another one until it hands over.
    """

    transport: IStreamTransport
    pending = 0
    ending: Ending
    silence: float | None = None
    patience: float

    def __init__(
        self,
        build: Build,
        connection: Connection,
        clock: IReactorTime,
    ) -> None:
        self.received = bytearray()
        self.connection = connection
        self.build = build
        self._clock = clock
        self._timeout: IDelayedCall | None = None
        self._isShaken = self._isPaused = self._isEnded = self._isDismissed = False

    def prefixReceived(self) -> None:
        """Looks at what was received so far: waits for more, hands over, or closes."""
        raise NotImplementedError

    def prefixEnded(self) -> None:
        """The peer ended its stream before the gate handed over."""
        raise NotImplementedError

    def expired(self) -> None:
        """The time is over."""
        self.connection.timeOut(self.ending, "timeout")
        reset(self.transport)

    def handOver(self, size: int) -> IProtocol:
        """Puts the next protocol in the gate's place, and gives it what was received after `size` bytes.

        :return: the next protocol.
        """
        self._stopWaiting()
        transport = self.transport
        record = recordOf(transport)
        if record is not None:
            record.prefix += size
        protocol = self.build(transport.getPeer(), self.connection) or Refusal()
        replace(transport, self, protocol)
        protocol.makeConnection(transport)
        if self._isShaken and IHandshakeListener.providedBy(protocol):
            protocol.handshakeCompleted()
        rest = bytes(self.received[size:])
        isEnded = getattr(transport, "disconnecting", False) or getattr(transport, "disconnected", False)
        if rest and not isEnded:
            protocol.dataReceived(rest)
        return protocol

    def dismiss(self, line: bytes) -> None:
        """Sends a last line, and closes.

        A close with unread input would be a reset, which destroys the line: what the peer still sends is
        discarded, until its end of stream or for a second at most.
        """
        self._isDismissed = True
        transport = self.transport
        transport.write(line)
        self._resume()
        if self._isEnded or not canHalfClose(transport):
            # Twisted's TLS would wait for the peer's answer to the end.
            self._wait(LINGER, transport.abortConnection)
            transport.loseConnection()
        else:
            self._wait(LINGER, self.finish)
            transport.loseWriteConnection()

    def connectionMade(self) -> None:
        """Begins to wait."""
        if self.silence is not None:
            self._wait(self.silence)

    def dataReceived(self, data: bytes) -> None:
        """Reads on."""
        if self._isDismissed:
            return
        if not self.received:
            self._wait(self.patience)
        self.received += data
        self.prefixReceived()

    def handshakeCompleted(self) -> None:
        """TLS below it is complete, which the next protocol will be told."""
        self._isShaken = True

    def readConnectionLost(self) -> None:
        """The stream ends within the prefix; who sent no byte only looked whether we are there."""
        self._isEnded = True
        if self.received and not self._isDismissed:
            self.prefixEnded()
        else:
            self.finish()

    def writeConnectionLost(self) -> None:
        """A stop has closed our side."""

    def finish(self) -> None:
        """Closes the connection, to which nothing is owed."""
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Stops waiting."""
        self._stopWaiting()

    def _wait(self, seconds: float, expired: Callable[[], None] | None = None) -> None:
        self._stopWaiting()
        self._timeout = self._clock.callLater(seconds, expired or self.expired)

    def _stopWaiting(self) -> None:
        if self._timeout is not None and self._timeout.active():
            self._timeout.cancel()

    def _pause(self) -> None:
        """Reads nothing for now; after the peer's end there is nothing to read."""
        if not (self._isPaused or self._isEnded):
            self._isPaused = True
            self.transport.pauseProducing()

    def _resume(self) -> None:
        if self._isPaused:
            self._isPaused = False
            self.transport.resumeProducing()


def endReading(transport: Any) -> None:
    """Tells the protocol that a connection now has what its gate was told: the peer's end of stream."""
    protocol = getattr(transport, "protocol", None)
    if IHalfCloseableProtocol.providedBy(protocol):
        protocol.readConnectionLost()
    else:
        transport.loseConnection()
