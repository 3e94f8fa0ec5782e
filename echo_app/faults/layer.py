"""The layer of a connection with faults: what its flows hold and change, and the faults that end something.

Faults that delay, change or cut bytes are in the flows (:mod:`echo_app.faults.flow`). Behind the flows, an
ending fault (:class:`~echo_app.faults.fault.EndingFault`) begins when its ``after`` is reached
(:mod:`echo_app.faults.schedule`). ``after`` in bytes counts the bytes that have passed in the fault's
direction. Bytes beyond it do not pass; with ``direction=in``, output that was written by then still does.

The faults may change while the connection is open. Both flows then have the new ones before a byte passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from echo_app.connections.record import recordOf
from echo_app.faults.draws import Draws
from echo_app.faults.fault import EndingFault, ShapingFault, Stage, StreamFault
from echo_app.faults.flowlayer import CAP, FlowLayer, Input, Phase
from echo_app.faults.schedule import Schedule
from echo_app.faults.shaping import Shaper
from echo_app.faults.window import Window
from echo_app.transport.closing import linger
from echo_app.transport.layer import downFrom

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProtocol, IReactorTime, ITransport

# A fault of a connection, and a function that returns its draws for a direction.
Chosen = tuple[StreamFault, Callable[[str], Draws]]


def faultsOf(transport: object) -> list[StreamFault]:
    """Returns the faults of a connection, from the transport of the protocol on top."""
    return [fault for each in downFrom(transport) if isinstance(each, FaultLayer) for fault in each.faults]


def faultLayerOf(transport: object) -> FaultLayer | None:
    """Returns the upper fault layer of a connection, from the transport of the protocol on top."""
    return next((each for each in downFrom(transport) if isinstance(each, FaultLayer)), None)


class FaultLayer(FlowLayer):
    """Applies faults to one connection.

    :param protocol: the protocol above.
    :param clock: tells the time; a service's connections share a :class:`~echo_app.faults.budget.Budget`.
    :param chosen: the faults, with their draws.
    :param cap: bytes that are held back until reading from the peer stops.

    :ivar faults: the faults.
    """

    def __init__(
        self, protocol: IProtocol, clock: IReactorTime, chosen: Sequence[Chosen] = (), cap: int = CAP
    ) -> None:
        super().__init__(protocol, clock, cap)
        self.faults: list[StreamFault] = []
        # The fault that decides how our side ends, after all output has passed.
        self._ending: EndingFault | None = None
        self._schedule = Schedule(self)
        self._take(chosen)

    def _take(self, chosen: Sequence[Chosen]) -> None:
        """Takes these faults, in place of the present ones, from the bytes on that pass next."""
        self.faults = [fault for fault, _ in chosen]
        self.lastByte = None
        origins = self._skip()
        self._schedule.plan(self.faults, origins)
        now = self.clock.seconds()
        # No byte comes or passes before both flows have their faults.
        self._isChanging = True
        for direction, flow in (("out", self._out), ("in", self._in)):
            shapers = _shapers(chosen, now, direction, origins[direction])
            flow.setFaults(shapers, self._schedule.edges(direction))
        self._isChanging = False
        self._out.goOn()
        self._in.goOn()

    def makeConnection(self, transport: ITransport) -> None:
        """Connects the protocol above, and begins the faults."""
        if self._schedule.atOnce:
            # Bytes that the protocol writes when it is connected come after the fault, and do not pass.
            self._out.seal()
            self._choosePaths()
        self._connect(transport)
        self._note()
        self.protocol.makeConnection(self)
        self._begin()

    def setFaults(self, chosen: Sequence[Chosen]) -> None:
        """Replaces the faults of the open connection, from the bytes on that pass next.

        Held bytes pass by the new faults, whose times, and bytes in ``after``, count from now. What has ended
        stays ended.
        """
        if self._phase is not Phase.OVER:
            self._take(chosen)
            self._note()
            self._begin()

    def _note(self) -> None:
        """Notes the faults in the connection's record, beside those that it had."""
        record = recordOf(self.transport)
        if record is not None:
            had = record.faults
            record.faults = [*had, *(each for each in map(str, self.faults) if each not in had)]

    def _begin(self) -> None:
        """Begins the times of the faults, and those that begin at once."""
        if any(fault.stage is Stage.SEGMENT for fault in self.faults):
            with suppress(AttributeError):
                # A UNIX socket does not have this option.
                self.transport.setTcpNoDelay(True)
        self._schedule.start()
        self._choosePaths()

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

    def _discardInput(self) -> None:
        if self._input is Input.PASSED:
            self._input = Input.DISCARDED

    def _edgeReached(self, direction: str, offset: int) -> None:
        self._schedule.reached(direction, offset)

    def _outputEnded(self) -> None:
        """Everything has passed: ends our side, or has a fault end it."""
        if self._ending is None:
            self.closeOutput()
        else:
            self._ending.outputPassed(self)

    def _stop(self) -> None:
        self._schedule.end()
        super()._stop()


def _shapers(chosen: Sequence[Chosen], began: float, direction: str, origin: int) -> Iterator[Shaper]:
    for fault, draws in chosen:
        if isinstance(fault, ShapingFault) and not fault.messageKey and fault.appliesIn(direction):
            yield fault.shaper(fault, Window(fault, began, origin), draws(direction), origin)
