"""Gate: a protocol that reads a bounded prefix of a stream, decides, and leaves the path.

A gate hands the transport and the bytes after the prefix to the next protocol. Twisted's wrapping protocols
stay in the path instead: they cost time for each byte, and hide half-closes and producers.

The states of a :class:`Gate`, and where each leads::

    READING    the prefix is not complete       CHECKING, REFUSED, OVER
    CHECKING   the prefix is being checked      REFUSED, OVER
    REFUSED    the answer is delayed            OVER
    OVER       the next protocol or a lingering close has the connection, or the connection has ended

The input of a gate is OPEN or PAUSED, in turns, and finally ENDED by the peer. The timer ends with OVER.
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


class GateState(Enum):
    """The states of a gate."""

    READING = auto()
    CHECKING = auto()
    REFUSED = auto()
    OVER = auto()


class GateInput(Enum):
    """The states of a gate's input."""

    OPEN = auto()
    PAUSED = auto()
    ENDED = auto()


@implementer(IHalfCloseableProtocol, IHandshakeListener)
class Gate(Protocol):
    """Reads a connection's prefix, and decides by it about the connection.

    A subclass overrides ``prefixReceived`` and ``prefixEnded``. It calls ``handOver`` once, or closes.

    :param build: makes the next protocol; None resets the connection.
    :param connection: the connection whose prefix it reads.
    :param clock: tells the time.
    :cvar ending: the ending of a connection that the gate ends.
    :cvar firstByteTimeout: seconds until the first byte; None is no limit.
    :cvar prefixTimeout: seconds from the first byte to the last.
    :ivar received: the bytes so far; a subclass bounds their number.
    :ivar build: as above; a subclass may replace it before it hands over.
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
        self.state = GateState.READING
        self.input = GateInput.OPEN
        self.clock = clock
        self._timeout: CutTimer | IDelayedCall | None = None
        self._isHandshakeComplete = False

    def prefixReceived(self) -> None:
        """Examines the received bytes: waits for more, hands over, or closes."""
        raise NotImplementedError

    def prefixEnded(self) -> None:
        """Decides when the peer's end of stream cuts the prefix off."""
        raise NotImplementedError

    def expired(self) -> None:
        """Times the connection out, and resets it."""
        self.connection.timeOut(self.ending, "timeout")
        reset(self.transport)

    def handOver(self, size: int) -> IProtocol:
        """Puts the next protocol in the gate's place, and gives it the bytes after the prefix.

        :param size: bytes of the prefix.
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
        if self._isHandshakeComplete and IHandshakeListener.providedBy(protocol):
            protocol.handshakeCompleted()
        rest = bytes(self.received[size:])
        isEnded = getattr(transport, "disconnecting", False) or getattr(transport, "disconnected", False)
        if rest and not isEnded:
            protocol.dataReceived(rest)
        return protocol

    def dismiss(self, line: bytes) -> None:
        """Sends a last line, and closes with a linger."""
        self._end()
        self.transport.write(line)
        self.resume()
        linger(self.transport, self, self.clock, self.input is GateInput.ENDED)

    def connectionMade(self) -> None:
        """Starts the timer of the first byte."""
        if self.firstByteTimeout is not None:
            self.wait(self.firstByteTimeout)

    def dataReceived(self, data: bytes) -> None:
        """Adds to the prefix; discards input after a refusal."""
        if self.state is GateState.REFUSED:
            return
        if not self.received:
            self.wait(self.prefixTimeout)
        self.received += data
        self.prefixReceived()

    def handshakeCompleted(self) -> None:
        """Notes, for the next protocol, that the TLS handshake below is complete."""
        self._isHandshakeComplete = True

    def readConnectionLost(self) -> None:
        """Handles the peer's end of stream. A peer that sent nothing only looked for an open port."""
        self.input = GateInput.ENDED
        if self.state is not GateState.READING:
            return
        if self.received:
            self.prefixEnded()
        else:
            self.finish()

    def writeConnectionLost(self) -> None:
        """Does nothing: a drain has closed our side."""

    def finish(self) -> None:
        """Closes the connection, whose peer is owed nothing."""
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Ends the timer."""
        self._end()

    def wait(self, seconds: float, expired: Callable[[], None] | None = None) -> None:
        """Starts the timer, in place of one that runs.

        :param expired: is called when the time is over; None is the method of this name.
        """
        self._stopWaiting()
        if expired is None:
            self._timeout = CutTimer(self.clock, seconds, self.transport, self.expired)
        else:
            self._timeout = self.clock.callLater(seconds, expired)

    def pause(self) -> None:
        """Pauses reading; after the peer's end there is nothing to read."""
        if self.input is GateInput.OPEN:
            self.input = GateInput.PAUSED
            self.transport.pauseProducing()

    def resume(self) -> None:
        """Resumes reading, if it is paused."""
        if self.input is GateInput.PAUSED:
            self.input = GateInput.OPEN
            self.transport.resumeProducing()

    def _end(self) -> None:
        self.state = GateState.OVER
        self._stopWaiting()

    def _stopWaiting(self) -> None:
        timeout, self._timeout = self._timeout, None
        if timeout is not None and timeout.active():
            timeout.cancel()


def endReading(transport: Any) -> None:
    """Passes the peer's end of stream, which a gate received, to the transport's present protocol."""
    protocol = getattr(transport, "protocol", None)
    if IHalfCloseableProtocol.providedBy(protocol):
        protocol.readConnectionLost()
    else:
        transport.loseConnection()
