"""The layer of a connection with faults: a flow for each direction, and the faults that end something.

To the protocol above, :class:`FaultLayer` is a whole transport; to the transport below, Twisted's own, the
direct path's, or our TLS, it is a protocol.

The rules: reading from the peer stops while the protocol wants no more, while input is stalled, and while
both flows together hold as much as is allowed. The protocol's producer is paused while the transport below
is full, and while the output alone holds that much. The end of each side passes behind the held bytes.
No call outlives the connection.

Faults that delay, change or cut bytes are in the flows (:mod:`echo_app.faults.flow`). Behind the flows, an
ending fault (:class:`~echo_app.faults.fault.EndingFault`) begins when its ``after`` is reached; several at
once begin in the order of their stages. ``after`` in bytes counts the bytes that have passed in the fault's
direction. Bytes beyond it do not pass; with ``direction=in``, output that was written by then still does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, ISSLTransport, ITransport
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import alsoProvides, implementer

from echo_app.connections.record import recordOf
from echo_app.faults.budget import Budget
from echo_app.faults.draws import Draws
from echo_app.faults.fault import EndingFault, ShapingFault, Stage, StreamFault
from echo_app.faults.flow import Flow, Intake
from echo_app.faults.shaping import TURN, Shaper
from echo_app.faults.silence import watchSilence
from echo_app.faults.window import Window
from echo_app.interfaces import IStreamTransport, ITLSTransport
from echo_app.transport.closing import linger
from echo_app.transport.layer import Layer, downFrom
from echo_app.transport.sockets import canHalfClose

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

log = Logger()

# A fault of a connection, and a function that returns its draws for a direction.
Chosen = tuple[StreamFault, Callable[[str], Draws]]

# The default cap on the bytes that are held for one connection.
CAP = 4 << 20


def faultsOf(transport: object) -> list[StreamFault]:
    """Returns the faults of a connection, from the transport of the protocol on top."""
    return [fault for each in downFrom(transport) if isinstance(each, FaultLayer) for fault in each.faults]


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


@implementer(IHalfCloseableProtocol, IProtocol, IStreamTransport)
class FaultLayer(Layer):
    """Applies faults to one connection.

    :param protocol: the protocol above.
    :param clock: tells the time; a service's connections share a :class:`~echo_app.faults.budget.Budget`.
    :param chosen: the faults, with their draws.
    :param cap: bytes that are held back until reading from the peer stops.

    :ivar faults: the faults.
    :ivar clock: tells the time, within the budget.
    :ivar lastByte: the time of the last byte in either direction; None if no fault asks for it.
    """

    def __init__(
        self, protocol: IProtocol, clock: IReactorTime, chosen: Sequence[Chosen], cap: int = CAP
    ) -> None:
        super().__init__(protocol)
        self.faults = [fault for fault, _ in chosen]
        # Those of messages begin in the flow of messages.
        endings = [each for each in self.faults if isinstance(each, EndingFault) and not each.messageKey]
        self._endings = sorted(endings, key=lambda fault: fault.stage)
        # The time of the last byte in either direction, if a fault asks for it.
        self.lastByte: float | None = None
        # The fault that decides how our side ends, after all output has passed.
        self._ending: EndingFault | None = None
        self.clock = clock if isinstance(clock, Budget) else Budget(clock)
        self._cap = cap
        self._in = self._flow("in", chosen, self._received, self._inputEnded)
        self._out = self._flow("out", chosen, self._send, self._outputEnded)
        self._calls: list[IDelayedCall] = []
        self._producer: Any = None
        self._isStreaming = self._isPulled = False
        self._isProducing = self._isReading = True
        self._input = Input.PASSED
        self._phase = Phase.OPEN

    def _flow(
        self,
        direction: str,
        chosen: Sequence[Chosen],
        deliver: Callable[[bytes], object],
        finished: Callable[[], object],
    ) -> Flow:
        shapers = _shapers(chosen, self.clock.seconds(), direction)
        edges = [each.afterBytes for each in self._endings if each.afterBytes and each.appliesIn(direction)]
        reached = partial(self._edgeReached, direction)
        return self._makeFlow(direction, shapers, edges, deliver, finished, reached, self._adjust)

    def _makeFlow(self, _direction: str, *arguments: Any) -> Flow:
        """Makes the flow of a direction; a subclass may make another one."""
        return Flow(self.clock, *arguments)

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

    def makeConnection(self, transport: ITransport) -> None:
        """Connects the protocol above, and begins the faults."""
        record = recordOf(transport)
        if record is not None:
            record.faults = list(map(str, self.faults))
        atOnce = [
            each for each in self._endings if not (each.afterSeconds or each.afterBytes or each.afterIdle)
        ]
        if atOnce:
            # Bytes that the protocol writes when it is connected come after the fault, and do not pass.
            self._out.seal()
        self.transport = cast(IStreamTransport, transport)
        if ISSLTransport.providedBy(transport):
            alsoProvides(self, ITLSTransport if canHalfClose(transport) else ISSLTransport)
        self.transport.registerProducer(self._out, True)
        self.protocol.makeConnection(self)
        if any(fault.stage is Stage.SEGMENT for fault in self.faults):
            with suppress(AttributeError):
                # A UNIX socket does not have this option.
                self.transport.setTcpNoDelay(True)
        for fault in self._endings:
            if fault.afterSeconds:
                self.later(fault.afterSeconds, partial(self.begin, fault))
            elif fault.afterIdle:
                watchSilence(self, fault.afterIdle, partial(self.begin, fault))
        for fault in atOnce:
            self.begin(fault)

    def dataReceived(self, data: bytes) -> None:
        """Feeds input to its flow."""
        if self.lastByte is not None:
            self.lastByte = self.clock.seconds()
        self._in.feed(data)

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
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
        self.protocol.connectionLost(reason)

    def write(self, data: bytes) -> None:
        """Feeds output to its flow."""
        self._out.feed(data)

    def loseConnection(self) -> None:
        """Closes the connection after all output has passed and is sent; waits for a producer first."""
        self.disconnecting = True
        if self._producer is None:
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
        if self._producer is not None:
            raise RuntimeError(f"{self._producer!r} is registered already")
        if self._phase is Phase.OVER:
            producer.stopProducing()
            return
        self._producer, self._isStreaming, self._isProducing = producer, streaming, True
        self._adjust()

    def unregisterProducer(self) -> None:
        """Forgets the producer; a close that waited for it goes on."""
        self._producer = None
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

    def closeInput(self) -> None:
        """Discards the input that is held, and passes no more input."""
        self._in.close()

    def endOutput(self, ending: EndingFault) -> None:
        """Ends the output, and calls the fault's ``outputPassed`` when no output is held."""
        self._ending = ending
        if ending.direction == "in":
            self._out.end()
        else:
            self._out.close()
            ending.outputPassed(self)
        self._adjust()

    def linger(self) -> None:
        """Ends our side, and discards input until the peer's end, a second at most."""
        self._discardInput()
        self._phase = Phase.OUTPUT_CLOSED
        self.transport.unregisterProducer()
        linger(self.transport, self, self.clock, self._input is Input.ENDED)

    def discard(self) -> None:
        """Discards input, and later output."""
        self._discardInput()
        self._in.close()
        self._out.seal()
        self._adjust()

    def begin(self, fault: EndingFault) -> None:
        """Begins an ending, unless the connection is over."""
        if self._phase is not Phase.OVER:
            fault.begin(self)

    def later(self, seconds: float, function: Callable[[], object]) -> None:
        """Calls a function after these seconds, unless the connection ends before."""
        if self._phase is Phase.OVER:
            return

        def run() -> None:
            self._calls.remove(call)
            function()

        call = self.clock.callLater(seconds, run)
        self._calls.append(call)

    def _discardInput(self) -> None:
        if self._input is Input.PASSED:
            self._input = Input.DISCARDED

    def _edgeReached(self, direction: str, offset: int) -> None:
        """Begins the faults whose ``after`` is there."""
        for fault in self._endings:
            if fault.afterBytes == offset and fault.appliesIn(direction):
                self.begin(fault)

    def _outputEnded(self) -> None:
        """Everything has passed: ends our side, or has a fault end it."""
        if self._ending is None:
            self.closeOutput()
        else:
            self._ending.outputPassed(self)

    def _received(self, data: bytes) -> None:
        self._tell(self.protocol.dataReceived, data)

    def _inputEnded(self) -> None:
        if IHalfCloseableProtocol.providedBy(self.protocol):
            self._tell(self.protocol.readConnectionLost)
        else:
            self.loseConnection()

    def _tell(self, event: Callable[..., object], *arguments: bytes) -> None:
        """Calls the protocol above; an exception aborts the connection, as in a reactor."""
        try:
            event(*arguments)
        except Exception:
            log.failure("{protocol} is disconnected", protocol=self.protocol)
            self.abortConnection()

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
        for call in self._calls:
            call.cancel()
        self._calls.clear()

    def _adjust(self) -> None:
        """Pauses or resumes reading and the producer, as the flows require."""
        if self._phase is Phase.OVER:
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
        if self._producer is not None:
            self._adjustProducer(self._producer)

    def _adjustProducer(self, producer: Any) -> None:
        isProducing = not (self._out.isPaused or self._out.isBusy or self._out.load >= self._cap)
        # After the output's end, a producer that writes until it is paused would write for ever. A producer
        # that only answers input, and a layer that is its own producer, go on reading.
        isProducing = isProducing and (
            self._out.intake is Intake.OPEN
            or producer is self
            or getattr(producer, "onlyAnswers", False) is True
        )
        if not self._isStreaming:
            if isProducing and not self._isPulled:
                self._isPulled = True
                self.later(TURN, self._pull)
        elif isProducing != self._isProducing:
            self._isProducing = isProducing
            if isProducing:
                producer.resumeProducing()
            else:
                producer.pauseProducing()

    def _pull(self) -> None:
        self._isPulled = False
        if self._producer is not None:
            self._producer.resumeProducing()
            self._adjust()


def _shapers(chosen: Sequence[Chosen], began: float, direction: str) -> Iterator[Shaper]:
    for fault, draws in chosen:
        if isinstance(fault, ShapingFault) and not fault.messageKey and fault.appliesIn(direction):
            yield fault.shaper(fault, Window(fault, began), draws(direction))
