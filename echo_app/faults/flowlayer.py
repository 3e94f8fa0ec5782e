"""Flow layer: two flows between a transport and a protocol, one for each direction of a connection.

To the protocol above, :class:`FlowLayer` is a whole transport. To the transport below, Twisted's own, the
direct path's, or our TLS, it is a protocol.

The rules: reading from the peer stops while the protocol above is paused, while input is stalled, and while
both flows together hold the cap. The protocol's producer is paused while the transport below is full, and
while the output alone holds the cap. The end of each side passes behind the held bytes. No delayed call
outlives the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum, auto
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, ISSLTransport, ITransport
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import alsoProvides, implementer

from echo_app.faults.flow import Flow, Intake
from echo_app.faults.shaper import TURN
from echo_app.interfaces import IStreamTransport, ITLSTransport
from echo_app.transport.layer import Layer
from echo_app.transport.sockets import canHalfClose

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from echo_app.faults.shaper import Shaper

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


@implementer(IHalfCloseableProtocol, IProtocol, IStreamTransport)
class FlowLayer(Layer):
    """Passes the bytes of one connection through two flows.

    :param protocol: the protocol above.
    :param clock: tells the time.
    :param shapers: returns the shapers of a direction, ``in`` or ``out``.
    :param edges: returns the offsets in bytes, of a direction, at which :meth:`edgeReached` is called.
    :param cap: bytes that are held until reading from the peer stops.
    """

    def __init__(
        self,
        protocol: IProtocol,
        clock: IReactorTime,
        shapers: Callable[[str], Iterable[Shaper]],
        edges: Callable[[str], Iterable[int]],
        cap: int = CAP,
    ) -> None:
        super().__init__(protocol)
        self._clock = clock
        self._cap = cap
        self._in, self._out = (
            Flow(clock, shapers(direction), edges(direction), deliver, ended, reached, self._adjust)
            for direction, deliver, ended, reached in (
                ("in", self._received, self._inputEnded, partial(self.edgeReached, "in")),
                ("out", self._send, self.outputEnded, partial(self.edgeReached, "out")),
            )
        )
        self._calls: list[IDelayedCall] = []
        self._producer: Any = None
        self._isStreaming = self._isPulled = False
        self._isProducing = self._isReading = True
        self._input = Input.PASSED
        self._phase = Phase.OPEN

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
        """Connects the protocol above."""
        self.transport = cast(IStreamTransport, transport)
        if ISSLTransport.providedBy(transport):
            alsoProvides(self, ITLSTransport if canHalfClose(transport) else ISSLTransport)
        self.transport.registerProducer(self._out, True)
        self.protocol.makeConnection(self)

    def dataReceived(self, data: bytes) -> None:
        """Feeds input to its flow."""
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

    def edgeReached(self, direction: str, offset: int) -> None:
        """Is called when `offset` bytes have passed in a direction; a subclass overrides it."""

    def outputEnded(self) -> None:
        """Ends our side, or the connection, after all output has passed."""
        wasOpen = self._phase is Phase.OPEN
        if wasOpen:
            self._phase = Phase.OUTPUT_CLOSED
        self.transport.unregisterProducer()
        if self.disconnecting or not canHalfClose(self.transport):
            self.transport.loseConnection()
        elif wasOpen:
            self.transport.loseWriteConnection()

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

    def later(self, seconds: float, function: Callable[[], object]) -> None:
        """Calls a function after these seconds, unless the connection ends before."""
        if self._phase is Phase.OVER:
            return

        def run() -> None:
            self._calls.remove(call)
            function()

        call = self._clock.callLater(seconds, run)
        self._calls.append(call)

    def _adjust(self) -> None:
        """Pauses or resumes reading and the producer, as the flows require."""
        if self._phase is Phase.OVER:
            return
        isReading = self._input is Input.DISCARDED or not (
            self._in.isPaused
            or self._in.isStalled
            or self._in.intake is Intake.ENDED
            or self._in.load + self._out.load >= self._cap
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
        isProducing = not self._out.isPaused and self._out.load < self._cap
        # After the output's end, a producer that writes until it is paused would write for ever. A layer that
        # is its own producer goes on reading.
        isProducing = isProducing and (producer is self or self._out.intake is Intake.OPEN)
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
