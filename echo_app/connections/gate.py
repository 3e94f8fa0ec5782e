"""Gate: a protocol that reads a bounded prefix of a stream, decides, and leaves the path.

A gate reads a connection's first bytes, decides, and hands the transport and the bytes left over to the
next protocol. Twisted's wrapping protocols stay between the two for good: they cost something for each
byte, and hide half-closes and producers.

The states of a :class:`Gate`, and where each leads::

    READING    the prefix is not complete       CHECKING, REFUSED, OVER
    CHECKING   what it says is being checked    REFUSED, OVER
    REFUSED    the answer waits for its time    OVER
    OVER       the next protocol, or a lingering close, has the connection; or it has ended

Its input is OPEN, or PAUSED and OPEN in turns, and at last ENDED by the peer. Its timer ends when it is OVER.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IHandshakeListener, IProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from echo_app.connections.record import Ending, recordOf
from echo_app.connections.refusal import Refusal
from echo_app.interfaces import Build, IStreamTransport
from echo_app.transport.closing import linger
from echo_app.transport.cutting import CutTimer
from echo_app.transport.layer import replace
from echo_app.transport.sockets import reset

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from echo_app.connections.connection import Connection


class State(Enum):
    """The states of a gate."""

    READING = auto()
    CHECKING = auto()
    REFUSED = auto()
    OVER = auto()


class Input(Enum):
    """The states of a gate's input."""

    OPEN = auto()
    PAUSED = auto()
    ENDED = auto()


@implementer(IHalfCloseableProtocol, IHandshakeListener)
class Gate(Protocol):
    """Reads a connection's first bytes; a subclass says which, and what they decide.

    It overrides ``prefixReceived`` and ``prefixEnded``, and calls ``handOver``, once, or closes.

    :param build: makes the next protocol; None resets the connection.
    :param connection: the connection whose prefix it reads.
    :param clock: what time is.
    :cvar ending: the ending of a connection that the gate ends.
    :cvar firstByteTimeout: seconds until the first byte; None is no limit.
    :cvar prefixTimeout: seconds from the first byte until it is over.
    :ivar received: what came so far; a subclass bounds it.
    :ivar build: makes the next protocol; a subclass may replace it until it hands over.
    """

    transport: IStreamTransport
    pending = 0
    ending: Ending
    firstByteTimeout: float | None = None
    prefixTimeout: float

    def __init__(self, build: Build, connection: Connection, clock: IReactorTime) -> None:
        self.received = bytearray()
        self.connection = connection
        self.build = build
        self.state = State.READING
        self.input = Input.OPEN
        self.clock = clock
        self._timeout: CutTimer | IDelayedCall | None = None
        self._isShaken = False

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
        self._end()
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
        """Sends a last line, and closes."""
        self._end()
        self.transport.write(line)
        self.resume()
        linger(self.transport, self, self.clock, self.input is Input.ENDED)

    def connectionMade(self) -> None:
        """Begins to wait."""
        if self.firstByteTimeout is not None:
            self.wait(self.firstByteTimeout)

    def dataReceived(self, data: bytes) -> None:
        """Reads on."""
        if self.state is State.REFUSED:
            return
        if not self.received:
            self.wait(self.prefixTimeout)
        self.received += data
        self.prefixReceived()

    def handshakeCompleted(self) -> None:
        """TLS below it is complete, which the next protocol will be told."""
        self._isShaken = True

    def readConnectionLost(self) -> None:
        """The stream ends within the prefix. A peer that sent nothing only looked for an open port."""
        self.input = Input.ENDED
        if self.state is not State.READING:
            return
        if self.received:
            self.prefixEnded()
        else:
            self.finish()

    def writeConnectionLost(self) -> None:
        """A drain has closed our side."""

    def finish(self) -> None:
        """Closes the connection, to which nothing is owed."""
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Stops waiting."""
        self._end()

    def wait(self, seconds: float, expired: Callable[[], None] | None = None) -> None:
        """Waits for so long at the most, in place of what it waits for now.

        :param expired: is called then; None is the method of this name.
        """
        self._stopWaiting()
        if expired is None:
            self._timeout = CutTimer(self.clock, seconds, self.transport, self.expired)
        else:
            self._timeout = self.clock.callLater(seconds, expired)

    def pause(self) -> None:
        """Reads nothing for now; after the peer's end there is nothing to read."""
        if self.input is Input.OPEN:
            self.input = Input.PAUSED
            self.transport.pauseProducing()

    def resume(self) -> None:
        """Reads on, if it is paused."""
        if self.input is Input.PAUSED:
            self.input = Input.OPEN
            self.transport.resumeProducing()

    def _end(self) -> None:
        self.state = State.OVER
        self._stopWaiting()

    def _stopWaiting(self) -> None:
        timeout, self._timeout = self._timeout, None
        if isinstance(timeout, CutTimer) or (timeout is not None and timeout.active()):
            timeout.cancel()


def endReading(transport: Any) -> None:
    """Tells the protocol that a connection now has what its gate was told: the peer's end of stream."""
    protocol = getattr(transport, "protocol", None)
    if IHalfCloseableProtocol.providedBy(protocol):
        protocol.readConnectionLost()
    else:
        transport.loseConnection()
