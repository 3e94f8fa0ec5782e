"""Fault layer: applies faults to one connection, by two flows and the faults that end something.

Faults that delay, change or cut bytes are in the flows (:mod:`echo_app.faults.flow`). Behind the flows, an
ending fault (:class:`~echo_app.faults.fault.EndingFault`) begins when its ``after`` is reached; several at
once begin in the order of their stages. ``after`` in bytes counts the bytes that have passed in the fault's
direction. Bytes beyond it do not pass; with ``direction=in``, output that was written by then still does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IProtocol, ITransport

from echo_app.connections.record import recordOf
from echo_app.faults.draws import Draws
from echo_app.faults.fault import EndingFault, ShapingFault, Stage, StreamFault
from echo_app.faults.flowlayer import CAP, FlowLayer, Input, Phase
from echo_app.faults.window import Window
from echo_app.transport.closing import linger

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from echo_app.faults.shaper import Shaper

# A fault of a connection, and a function that returns its draws for a direction.
Chosen = tuple[StreamFault, Callable[[str], Draws]]


class FaultLayer(FlowLayer):
    """Applies faults to one connection.

    :param protocol: the protocol above.
    :param clock: tells the time.
    :param chosen: the faults, with their draws.
    :param cap: bytes that are held back until reading from the peer stops.

    :ivar faults: the faults.
    """

    def __init__(
        self, protocol: IProtocol, clock: IReactorTime, chosen: Sequence[Chosen], cap: int = CAP
    ) -> None:
        self.faults = [fault for fault, _ in chosen]
        endings = [fault for fault in self.faults if isinstance(fault, EndingFault)]
        self._endings = sorted(endings, key=lambda fault: fault.stage)
        # The fault that decides how our side ends, after all output has passed.
        self._ending: EndingFault | None = None
        super().__init__(protocol, clock, partial(_shapers, chosen, clock.seconds()), self._edges, cap)

    def makeConnection(self, transport: ITransport) -> None:
        """Connects the protocol above, and begins the faults."""
        record = recordOf(transport)
        if record is not None:
            record.faults = list(map(str, self.faults))
        atOnce = [fault for fault in self._endings if not (fault.afterSeconds or fault.afterBytes)]
        if atOnce:
            # Bytes that the protocol writes when it is connected come after the fault, and do not pass.
            self._out.seal()
        super().makeConnection(transport)
        if any(fault.stage is Stage.SEGMENT for fault in self.faults):
            with suppress(AttributeError):
                # A UNIX socket does not have this option.
                self.transport.setTcpNoDelay(True)
        for fault in self._endings:
            if fault.afterSeconds:
                self.later(fault.afterSeconds, partial(self._begin, fault))
        for fault in atOnce:
            self._begin(fault)

    def edgeReached(self, direction: str, offset: int) -> None:
        """Begins the faults whose ``after`` is reached."""
        for fault in self._endings:
            if fault.afterBytes == offset and fault.appliesIn(direction):
                self._begin(fault)

    def outputEnded(self) -> None:
        """Ends our side, or has a fault end it."""
        if self._ending is None:
            self.closeOutput()
        else:
            self._ending.outputPassed(self)

    def closeOutput(self) -> None:
        """Ends our side, or the connection."""
        super().outputEnded()

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
        linger(self.transport, self, self._clock, self._input is Input.ENDED)

    def discard(self) -> None:
        """Discards input, and later output."""
        self._discardInput()
        self._in.close()
        self._out.seal()
        self._adjust()

    def _discardInput(self) -> None:
        if self._input is Input.PASSED:
            self._input = Input.DISCARDED

    def _edges(self, direction: str) -> Iterator[int]:
        for fault in self._endings:
            if fault.afterBytes and fault.appliesIn(direction):
                yield fault.afterBytes

    def _begin(self, fault: EndingFault) -> None:
        if self._phase is not Phase.OVER:
            fault.begin(self)


def _shapers(chosen: Sequence[Chosen], began: float, direction: str) -> Iterator[Shaper]:
    for fault, draws in chosen:
        if isinstance(fault, ShapingFault) and fault.appliesIn(direction):
            yield fault.shaper(fault, Window(fault, began), draws(direction))
