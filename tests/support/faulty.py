"""A connection in memory with faults, on the test's clock."""

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

from echo_app.faults.faulty import Faulty, choose
from echo_app.faults.flowlayer import CAP
from echo_app.faults.spec import parseFault
from echo_app.transport.closing import Lingering
from tests.support.fakes import numbered

# Seconds by which rounding may change a sum of times.
_ROUNDING = 1e-9


class Wire:
    """A fake transport below the faults: notes the writes, with their times, and other calls, in order."""

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
        """Returns an address."""
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
        """Notes the call by ``chop``."""
        self.done.append("no delay")


@implementer(IHalfCloseableProtocol)
class Above(Protocol):
    """A fake protocol above the faults: notes its calls, with their times, in order."""

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
        """Notes the end of input."""
        self.told.append("end of input")

    def writeConnectionLost(self) -> None:
        """Notes the end of our side."""
        self.told.append("end of output")

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:
        """Notes the end of the connection."""
        self.told.append("lost")


class FaultyConnection:
    """A connection with faults, between a :class:`Wire` and a protocol.

    :param specs: the faults.
    :param protocol: the one above; None is an :class:`Above`.
    :param isLive: the faults may change.
    :param hasMessages: the protocol sends messages.
    """

    def __init__(
        self,
        *specs: str,
        protocol: Any = None,
        number: int = 1,
        seed: int = 0,
        cap: int = CAP,
        clock: Clock | None = None,
        isLive: bool = False,
        hasMessages: bool = True,
    ) -> None:
        self.clock = Clock() if clock is None else clock
        self.wire = Wire(self.clock)
        transport: Any = self.wire
        self.above = Above(self.clock) if protocol is None else protocol
        self._place = number, seed, hasMessages
        faults = [parseFault(spec) for spec in specs]
        build = Faulty(
            lambda _address, _connection: self.above,
            self.clock,
            lambda: faults,
            seed,
            cap,
            hasMessages=hasMessages,
            isLive=isLive,
        )
        self.wire.protocol = build(None, numbered(number))
        self.layer: Any = self.wire.protocol
        self.below.makeConnection(transport)

    @property
    def below(self) -> Any:
        """The protocol of the transport: a layer, the protocol itself, or a lingering close."""
        return self.wire.protocol

    @property
    def transport(self) -> Any:
        """The transport of the protocol above."""
        return self.above.transport

    def write(self, data: bytes, seconds: float) -> FaultyConnection:
        """Has the protocol write, and lets time pass; returns itself."""
        self.transport.write(data)
        self.run(seconds)
        return self

    def send(self, *messages: bytes) -> FaultyConnection:
        """Has the protocol send messages; returns itself."""
        for each in messages:
            self.transport.writeMessage(each)
        return self

    def receive(self, *data: bytes) -> FaultyConnection:
        """Has these bytes come from the peer; returns itself."""
        for each in data:
            self.below.dataReceived(each)
        return self

    def change(self, *specs: str) -> FaultyConnection:
        """Gives the open connection these faults, in place of its own; returns itself."""
        self.layer.setFaults(list(choose(map(parseFault, specs), *self._place)))
        return self

    def run(self, seconds: float, late: float = 0) -> None:
        """Lets time pass, and calls each timer when it is due.

        :param late: seconds between two looks for due timers; 0 looks as often as needed.
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
