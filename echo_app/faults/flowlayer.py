"""The flows of a connection's layer, and its transport: the part that knows of no fault.

To the protocol above, :class:`FlowLayer` is a whole transport; to the transport below, Twisted's own, the
direct path's, or our TLS, it is a protocol.

The rules: reading from the peer stops while the protocol wants no more, while input is stalled, and while
both flows together hold as much as is allowed. The protocol's producer is paused while the transport below
is full, and while the output alone holds that much. The end of each side passes behind the held bytes.
No call outlives the connection.

Bytes of a direction pass beside its flow as long as that would only pass them on: so a layer that waits for
faults to come costs 3 % of a small echo.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IHandshakeListener,
    IProtocol,
    ISSLTransport,
    ITransport,
)
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import alsoProvides, implementer

from echo_app.faults.beside import Beside, writer
from echo_app.faults.budget import Budget
from echo_app.faults.calls import Calls
from echo_app.faults.flow import Flow, Intake
from echo_app.faults.producing import Producing
from echo_app.interfaces import IStreamTransport, ITLSTransport
from echo_app.transport.layer import Layer
from echo_app.transport.sockets import canHalfClose

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

log = Logger()

# The default cap on the bytes that are held for one connection.
CAP = 4 << 20


class Phase(Enum):
    """The phases of our side, in their order; a phase never comes again."""

    OPEN = auto()
    OUTPUT_CLOSED = auto()
    OVER = auto()


class Input(Enum):
    """The states of the input from the peer: PASSED and DISCARDED may alternate, ENDED is final."""

    PASSED = auto()
    DISCARDED = auto()
    ENDED = auto()


@implementer(IHalfCloseableProtocol, IHandshakeListener, IProtocol, IStreamTransport)
class FlowLayer(Layer):
    """Passes both directions of a connection through flows.

    :param protocol: the protocol above.
    :param clock: tells the time; a service's connections share a :class:`~echo_app.faults.budget.Budget`.
    :param cap: bytes that are held back until reading from the peer stops.

    :ivar clock: tells the time, within the budget.
    :ivar lastByte: the time of the last byte in either direction; None if no fault asks for it.
    """

    def __init__(self, protocol: IProtocol, clock: IReactorTime, cap: int) -> None:
        super().__init__(protocol)
        self.lastByte: float | None = None
        self.clock = clock if isinstance(clock, Budget) else Budget(clock)
        self._cap = cap
        self._calls = Calls(self.clock)
        self._producing = Producing(self._calls.later, self._adjust)
        self._isReading = True
        self._isChanging = False
        self._input = Input.PASSED
        self._phase = Phase.OPEN
        self._isEcho = vars(type(protocol)).get("isEcho") is True
        # Bytes that have passed beside the flows, and whether the next ones do.
        self._skippedIn = 0
        self._isInClear = False
        self._beside = Beside()
        self._in = self._makeFlow("in", self._received, self._inputEnded)
        self._out = self._makeFlow("out", self._send, self._outputEnded)

    def _makeFlow(
        self, direction: str, deliver: Callable[[bytes], object], finished: Callable[[], object]
    ) -> Flow:
        """Makes the flow of a direction; a subclass may make another one."""
        return Flow(self.clock, deliver, finished, partial(self._edgeReached, direction), self._adjust)

    def __getattr__(self, name: str) -> Any:
        """Returns other attributes of the transport below, such as a certificate."""
        # Special names are not looked up below: zope.interface would find the interfaces of the transport.
        if name == "transport" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.transport, name)

    @property
    def held(self) -> int:
        """Bytes that both flows hold."""
        return self._in.held + self._out.held

    def _connect(self, transport: ITransport) -> None:
        """Takes the transport below, and produces for it."""
        self.transport = cast(IStreamTransport, transport)
        self.write = writer(self.transport, self._beside, self._out.feed)  # type: ignore[method-assign, assignment]
        if ISSLTransport.providedBy(transport):
            alsoProvides(self, ITLSTransport if canHalfClose(transport) else ISSLTransport)
        self.transport.registerProducer(self._out, True)

    def _edgeReached(self, direction: str, offset: int) -> None:
        """Called when all bytes of a direction before an edge have passed."""
        raise NotImplementedError

    def _outputEnded(self) -> None:
        """Called when all output has passed, and its end."""
        raise NotImplementedError

    def _choosePaths(self) -> None:
        """Has bytes of a direction pass beside its flow as long as the flow would only pass them on."""
        isOpen = self._phase is not Phase.OVER and self.lastByte is None
        self._isInClear = isOpen and self._in.isClear and not self._in.isPaused
        self._beside.isClear = isOpen and self._out.isClear
        if self._isInClear and self._isEcho:
            # Without a call of the layer, which would be 2 % of the cost of a small echo.
            self.dataReceived = self.protocol.dataReceived  # type: ignore[method-assign]
        else:
            self.__dict__.pop("dataReceived", None)

    def _skip(self) -> dict[str, int]:
        """Counts the bytes that have passed beside the flows; returns the next offset of each direction."""
        if self._isEcho:
            # Each byte that has come has been written, so that they need not be counted twice.
            self._skippedIn = max(0, self._out.came + self._beside.skipped - self._in.offset)
        self._in.skip(self._skippedIn)
        self._out.skip(self._beside.skipped)
        self._skippedIn = self._beside.skipped = 0
        return {"in": self._in.offset, "out": self._out.offset}

    def dataReceived(self, data: bytes) -> None:
        """Feeds input to its flow, or passes it on."""
        if self._isInClear:
            self._skippedIn += len(data)
            try:
                self.protocol.dataReceived(data)
            except Exception:
                self._failed()
            return
        if self.lastByte is not None:
            self.lastByte = self.clock.seconds()
        self._in.feed(data)

    def handshakeCompleted(self) -> None:
        """Tells the protocol above that TLS below has its keys."""
        if IHandshakeListener.providedBy(self.protocol):
            self.protocol.handshakeCompleted()

    def readConnectionLost(self) -> None:
        """Ends the input's flow: the peer has ended its side."""
        self._input = Input.ENDED
        self._in.end()

    def writeConnectionLost(self) -> None:
        """Tells the protocol above that our side is closed."""
        if IHalfCloseableProtocol.providedBy(self.protocol):
            self.protocol.writeConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Ends the flows and all calls, and tells the protocol above."""
        self._stop()
        producer = self._producing.forget()
        if producer is not None:
            producer.stopProducing()
        self.protocol.connectionLost(reason)

    def write(self, data: bytes) -> None:
        """Feeds output to its flow; replaced when there is a transport below."""
        self._out.feed(data)

    def loseConnection(self) -> None:
        """Closes the connection after all output has passed and is sent; waits for a producer first."""
        self.disconnecting = True
        if self._producing.producer is None:
            self._in.close()
            if self._input is Input.DISCARDED:
                self._input = Input.PASSED
            self._adjust()
            self._end()

    def loseWriteConnection(self) -> None:
        """Ends the output after all of it has passed; input goes on."""
        self._end()

    def abortConnection(self) -> None:
        """Resets the connection."""
        self.disconnecting = True
        self._stop()
        self.transport.abortConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Registers the producer, which is paused and resumed as the output requires."""
        if self._phase is Phase.OVER:
            producer.stopProducing()
            return
        self._producing.register(producer, streaming)
        self._adjust()

    def unregisterProducer(self) -> None:
        """Forgets the producer; a close that waited for it goes on."""
        self._producing.forget()
        if self.disconnecting:
            self.loseConnection()

    def pauseProducing(self) -> None:
        """Pauses the input of the protocol above."""
        self._in.pauseProducing()

    def resumeProducing(self) -> None:
        """Resumes the input of the protocol above."""
        self._in.resumeProducing()

    def closeOutput(self) -> None:
        """Ends our side, or the connection."""
        wasOpen = self._phase is Phase.OPEN
        if wasOpen:
            self._phase = Phase.OUTPUT_CLOSED
        self.transport.unregisterProducer()
        if self.disconnecting or not canHalfClose(self.transport):
            self.transport.loseConnection()
        elif wasOpen:
            self.transport.loseWriteConnection()

    def later(self, seconds: float, function: Callable[[], object]) -> None:
        """Calls a function after these seconds, unless the connection ends before."""
        self._calls.later(seconds, function)

    def _received(self, data: bytes) -> None:
        try:
            self.protocol.dataReceived(data)
        except Exception:
            self._failed()

    def _failed(self) -> None:
        """Logs an exception of the protocol above, and aborts the connection, as a reactor does."""
        log.failure("{protocol} is disconnected", protocol=self.protocol)
        self.abortConnection()

    def _inputEnded(self) -> None:
        if IHalfCloseableProtocol.providedBy(self.protocol):
            try:
                self.protocol.readConnectionLost()
            except Exception:
                self._failed()
        else:
            self.loseConnection()

    def _send(self, data: bytes) -> None:
        if self.lastByte is not None:
            self.lastByte = self.clock.seconds()
        self.transport.write(data)

    def _end(self) -> None:
        if self.disconnecting and self._phase is Phase.OUTPUT_CLOSED:
            self.transport.loseConnection()
        else:
            self._out.end()

    def _stop(self) -> None:
        self._phase = Phase.OVER
        self._in.close()
        self._out.close()
        self._calls.end()
        self._choosePaths()

    def _adjust(self) -> None:
        """Pauses or resumes reading and the producer, as the flows require."""
        if self._phase is Phase.OVER or self._isChanging:
            return
        isReading = self._input is Input.DISCARDED or not (
            self._in.isPaused
            or self._in.isStalled
            or self._in.intake is Intake.ENDED
            or self._in.load + self._out.load >= self._cap
            or self._in.isBusy
        )
        # After the peer's end, a transport that resumed reading would report that end again.
        if isReading != self._isReading and self._input is not Input.ENDED:
            self._isReading = isReading
            if isReading:
                self.transport.resumeProducing()
            else:
                self.transport.pauseProducing()
        if self._producing.producer is not None:
            self._adjustProducer(self._producing.producer)
        self._choosePaths()

    def _adjustProducer(self, producer: Any) -> None:
        isProducing = not (self._out.isPaused or self._out.isBusy or self._out.load >= self._cap)
        # After the output's end, a producer that writes until it is paused would write for ever. A producer
        # that only answers input, and a layer that is its own producer, go on reading.
        isProducing = isProducing and (
            self._out.intake is Intake.OPEN
            or producer is self
            or getattr(producer, "onlyAnswers", False) is True
        )
        self._producing.adjust(isProducing)
