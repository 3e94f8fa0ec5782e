"""What the tests of faults share: a connection in memory, whose time is the test's."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from echo_app.faults.faulty import Faulty
from echo_app.faults.flowlayer import CAP
from echo_app.faults.spec import parseFault
from echo_app.transport.closing import Lingering
from tests.support.fakes import numbered

# Seconds by which a sum of times may be off.
_ROUNDING = 1e-9


class Wire:
    """The transport below: what is written, with the time, and what is asked of it, in order."""

    def __init__(self, clock: Clock) -> None:
        self.pieces: list[tuple[float, bytes]] = []
        self.done: list[str] = []
        self.producer: Any = None
        self.protocol: Any = None
        self._clock = clock

    @property
    def written(self) -> bytes:
        """All of it."""
        return b"".join(piece for _, piece in self.pieces)

    def write(self, data: bytes) -> None:
        """Keeps it."""
        self.pieces.append((round(self._clock.seconds(), 6), data))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Keeps it."""
        self.producer = producer

    def unregisterProducer(self) -> None:
        """Forgets it."""
        self.producer = None

    def getPeer(self) -> IPv4Address:
        """Some address."""
        return IPv4Address("TCP", "192.0.2.1", 4242)

    def pauseProducing(self) -> None:
        """Stops reading."""
        self.done.append("pause")

    def resumeProducing(self) -> None:
        """Reads on."""
        self.done.append("resume")

    def loseWriteConnection(self) -> None:
        """Ends our side: everything is sent at once."""
        self.done.append("end")
        if isinstance(self.protocol, Lingering):
            self.protocol.writeConnectionLost()

    def loseConnection(self) -> None:
        """Closes."""
        assert self.producer is None, "with a producer it would never close"
        self.done.append("close")

    def abortConnection(self) -> None:
        """Resets."""
        self.done.append("abort")

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Is told by ``chop``."""
        self.done.append("no delay")


@implementer(IHalfCloseableProtocol)
class Above(Protocol):
    """The protocol above: what it is told, with the time, in order."""

    def __init__(self, clock: Clock) -> None:
        self.pieces: list[tuple[float, bytes]] = []
        self.told: list[str] = []
        self._clock = clock

    @property
    def received(self) -> bytes:
        """All of it."""
        return b"".join(piece for _, piece in self.pieces)

    def dataReceived(self, data: bytes) -> None:
        """Keeps it."""
        self.pieces.append((round(self._clock.seconds(), 6), data))

    def readConnectionLost(self) -> None:
        """The end of input."""
        self.told.append("end of input")

    def writeConnectionLost(self) -> None:
        """Our end."""
        self.told.append("end of output")

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:
        """The end."""
        self.told.append("lost")


class FaultyConnection:
    """A connection with faults, between a :class:`Wire` and a protocol.

    :param specs: the faults.
    :param protocol: the one above; None is an :class:`Above`.
    """

    def __init__(
        self,
        *specs: str,
        protocol: Any = None,
        number: int = 1,
        seed: int = 0,
        cap: int = CAP,
        clock: Clock | None = None,
    ) -> None:
        self.clock = Clock() if clock is None else clock
        self.wire = Wire(self.clock)
        transport: Any = self.wire
        self.above = Above(self.clock) if protocol is None else protocol
        faults = [parseFault(spec) for spec in specs]
        build = Faulty(lambda _address, _connection: self.above, self.clock, lambda: faults, seed, cap)
        self.wire.protocol = build(None, numbered(number))
        self.below.makeConnection(transport)

    @property
    def below(self) -> Any:
        """The protocol of the transport: a layer, the protocol itself, or a lingering close."""
        return self.wire.protocol

    @property
    def transport(self) -> Any:
        """The transport of the protocol above."""
        return self.above.transport

    def run(self, seconds: float, late: float = 0) -> None:
        """Lets time pass, with each timer called when it is due.

        :param late: seconds between two looks whether one is due; 0 is as often as it takes.
        """
        end = self.clock.seconds() + seconds
        while (times := [call.getTime() for call in self.clock.getDelayedCalls()]) and min(times) <= end:
            self.clock.advance(max(min(times) - self.clock.seconds(), late, _ROUNDING))
        self.clock.advance(max(0, end - self.clock.seconds()))

    def lose(self) -> None:
        """Ends the connection below."""
        self.below.connectionLost(Failure(ConnectionDone()))


def sizes(pieces: Sequence[tuple[float, bytes]]) -> list[int]:
    """Returns the sizes of pieces."""
    return [len(piece) for _, piece in pieces]


def gaps(pieces: Sequence[tuple[float, bytes]]) -> list[float]:
    """Returns the seconds between pieces."""
    times = [time for time, _ in pieces]
    return [round(b - a, 6) for a, b in pairwise(times)]
