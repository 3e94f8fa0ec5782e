"""A connection with faults: two flows, and what ends something.

What holds back or changes bytes is in the flows (:mod:`echo_app.faults.flow`). Behind them are
``half-close``, ``close``, ``reset`` and ``blackhole``, each when its ``after`` is there; of those that come
together, in this order. ``after`` in bytes counts those that have passed in the fault's direction: in
``out``, unless it says otherwise, and for ``blackhole`` in ``in``. What is beyond does not pass; with
``direction=in`` what has been written by then still does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, ITransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from echo_app.connections.limits import LINGER
from echo_app.connections.record import Ending, noteEnd, recordOf
from echo_app.faults.draws import Draws
from echo_app.faults.flowlayer import CAP, FlowLayer
from echo_app.faults.valves import Bandwidth, Chop, Corrupt, Latency, Stall, Valve, Window
from echo_app.transport.sockets import Progress, descriptorOf, progressOf

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

    from echo_app.faults.spec import Fault

# Seconds between two looks whether everything is acknowledged, at first and at the most: on loopback it is
# at once, and with a peer that does not read it takes hours.
FIRST_LOOK, LAST_LOOK = 0.01, 0.2

# What a fault is in a flow, and its directions when it does not say. What a client measures of an echo is
# then what the fault says: an answer comes that much later, and of its bytes so many are wrong.
_VALVES: dict[str, tuple[type[Valve], tuple[str, ...]]] = {
    "corrupt": (Corrupt, ("out",)),
    "latency": (Latency, ("out",)),
    "stall": (Stall, ("in", "out")),
    "bandwidth": (Bandwidth, ("in", "out")),
    "chop": (Chop, ("out",)),
}

# What ends something, in its order, and the direction whose bytes count when it does not say.
_ENDINGS = {"half-close": "out", "close": "out", "reset": "out", "blackhole": "in"}

# The faults that a connection may have.
NAMES = frozenset((*_VALVES, *_ENDINGS))

# A fault of a connection, and what returns its draws for a direction.
Chosen = tuple["Fault", Callable[[str], Draws]]


class FaultLayer(FlowLayer):
    """One connection with faults.

    :param protocol: the one above.
    :param clock: what time is.
    :param chosen: its faults.
    :param cap: bytes that are held back until reading from the peer stops.

    :ivar faults: its faults.
    """

    def __init__(
        self, protocol: IProtocol, clock: IReactorTime, chosen: Sequence[Chosen], cap: int = CAP
    ) -> None:
        self.faults = [fault for fault, _ in chosen]
        self._endings = sorted(
            (each for each in self.faults if each.name in _ENDINGS),
            key=lambda each: list(_ENDINGS).index(each.name),
        )
        # What happens when everything has passed, if a fault says so.
        self._whenPassed: Callable[[], object] | None = None
        valves = partial(_valves, chosen, clock.seconds())
        super().__init__(protocol, clock, valves, self._edges, cap)

    def makeConnection(self, transport: ITransport) -> None:
        """Connects the protocol above, and begins with the faults."""
        record = recordOf(transport)
        if record is not None:
            record.faults = list(map(str, self.faults))
        atOnce = [fault for fault in self._endings if not (fault.afterSeconds or fault.afterBytes)]
        if atOnce:
            # What a protocol writes as soon as it is connected is too late.
            self._out.seal()
        super().makeConnection(transport)
        if any(fault.name == "chop" for fault in self.faults):
            with suppress(AttributeError):
                # A UNIX socket has no such thing.
                self.transport.setTcpNoDelay(True)
        for fault in self._endings:
            if fault.afterSeconds:
                self._later(fault.afterSeconds, partial(self._strike, fault))
        for fault in atOnce:
            self._strike(fault)

    def readConnectionLost(self) -> None:
        """Takes the end of input in; after a ``close`` it is what was waited for."""
        super().readConnectionLost()
        if self._isOutputClosed and self._whenPassed == self._close:
            self.transport.loseConnection()

    def edgeReached(self, direction: str, offset: int) -> None:
        """Ends what is to be ended there."""
        for fault in self._endings:
            if fault.afterBytes == offset and _directionOf(fault) == direction:
                self._strike(fault)

    def outputEnded(self) -> None:
        """Everything has passed."""
        if self._whenPassed is None:
            super().outputEnded()
        else:
            self._whenPassed()

    def _edges(self, direction: str) -> Iterator[int]:
        for fault in self._endings:
            if fault.afterBytes and _directionOf(fault) == direction:
                yield fault.afterBytes

    def _strike(self, fault: Fault) -> None:
        if self._isOver:
            return
        if fault.name == "blackhole":
            self._vanish()
            return
        if fault.name != "half-close":
            noteEnd(self.transport, Ending.FAULT, str(fault))
        if fault.name == "reset" and not fault.afterBytes:
            self.abortConnection()
            return
        if fault.name != "half-close":
            self._in.close()
        what = {"half-close": super().outputEnded, "close": self._close, "reset": self._reset}
        self._whenPassed = what[fault.name]
        if fault.direction == "in":
            self._out.end()
        else:
            self._out.close()
            self._whenPassed()
        self._adjust()

    def _close(self) -> None:
        """Ends our side; what the peer sends is forgotten, a second at most: a close is no reset."""
        self.isDeaf = True
        super().outputEnded()
        if self._isPeerEnded:
            self.transport.loseConnection()
        else:
            self._later(LINGER, self.transport.loseConnection)
            self._adjust()

    def _reset(self, before: Progress | None = None, wait: float = FIRST_LOOK) -> None:
        """Resets the connection when what was sent is acknowledged.

        What waits in the transport's buffer nobody says. But while the kernel has room, it does not wait
        for longer than one turn of the reactor: nothing is in the kernel's queue, and nothing has moved.
        """
        progress = progressOf(self.transport)
        isSame = before is not None and progress is not None and progress.sent == before.sent
        if progress is None or (isSame and not progress.owed):
            self.abortConnection()
        else:
            self._later(wait, partial(self._reset, progress, min(2 * wait, LAST_LOOK)))

    def _vanish(self) -> None:
        """Answers to nothing any more, be it TLS that asks; limits and a drain end the connection."""
        self.isDeaf = True
        self._in.close()
        self._out.seal()
        descriptor = descriptorOf(self.transport)
        if descriptor is not None and descriptor is not self.transport:
            descriptor.protocol = Hole(descriptor.protocol)
        self._adjust()


@implementer(IHalfCloseableProtocol)
class Hole(Protocol):
    """Stands in a transport in a protocol's place, which is told of the connection's end alone."""

    def __init__(self, protocol: IProtocol) -> None:
        self._protocol = protocol

    def readConnectionLost(self) -> None:
        """Is no news to anybody."""

    def writeConnectionLost(self) -> None:
        """Tells the protocol, who has asked for it."""
        if IHalfCloseableProtocol.providedBy(self._protocol):
            self._protocol.writeConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tells the protocol."""
        self._protocol.connectionLost(reason)


def _directionOf(fault: Fault) -> str:
    return fault.direction or _ENDINGS[fault.name]


def _valves(chosen: Sequence[Chosen], began: float, direction: str) -> Iterator[Valve]:
    for fault, draws in chosen:
        if fault.name in _VALVES:
            kind, directions = _VALVES[fault.name]
            if direction in ((fault.direction,) if fault.direction else directions):
                yield kind(fault, Window(fault, began), draws(direction))
