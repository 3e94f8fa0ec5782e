"""Fakes of connections and transports, which the test moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IAddress, IProtocolFactory
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from echo_app.cli import tap
from echo_app.connections.connection import Connection
from echo_app.connections.limits import Limits
from echo_app.connections.record import ConnectionRecord
from echo_app.connections.registry import ConnectionRegistry
from echo_app.interfaces import IStreamTransport
from echo_app.transport.sockets import Progress


def withoutSignals(case: SynchronousTestCase) -> list[str]:
    """Replaces the calls of ``makeService`` that change signals; returns a list that gets their names."""
    called: list[str] = []
    for name in ("holdSignals", "abortOnSecondSignal", "reloadOnHangup", "makeMonotonic"):
        case.patch(tap, name, lambda *_, name=name: called.append(name))
    return called


class TurnClock(Clock):
    """A clock with the turns of a reactor: a call that is made in a turn comes in the next one."""

    def turn(self) -> None:
        """Makes the calls that are due now."""
        due = [call for call in self.calls if call.getTime() <= self.seconds()]
        for call in due:
            if call in self.calls:
                self.calls.remove(call)
                call.called = 1
                call.func(*call.args, **call.kw)


class FakeConnection:
    """A connection's transport and protocol, as far as limits, time-outs and a drain look at them.

    :ivar progress: the kernel's counts; None is a transport without a socket.
    :ivar done: the calls on it, in order.
    :ivar record: its record for an access log.
    :ivar isDated: the kernel dates the last byte, as of a TCP connection.
    :ivar seconds: tells the time, which dates the last movement.
    """

    def __init__(
        self, counts: ConnectionRegistry, host: str = "192.0.2.1", seconds: Callable[[], float] = lambda: 0.0
    ) -> None:
        self.progress: Progress | None = Progress(0, 0, 0, 0)
        self.done: list[str] = []
        self.pending = 0
        self.record = ConnectionRecord(0.0, 0.0)
        self.protocol = self
        self.isDated = True
        self.movedAt = 0.0
        self.seconds = seconds
        self._counts = counts
        self._host = host

    def open(self) -> FakeConnection:
        """Is admitted, opened and served."""
        connection = self._counts.admit(self.getPeer())
        assert isinstance(connection, Connection)
        if connection.begin(cast(IStreamTransport, self)):
            connection.serve()
        return self

    def connectionLost(self, reason: Failure) -> None:
        """The transport's."""

    def end(self, why: type[Exception] = ConnectionDone) -> None:
        """Ends."""
        self.connectionLost(Failure(why()))

    def move(self, received: int = 0, sent: int = 0, owed: int = 0, unread: int = 0, held: int = 0) -> None:
        """Sets the kernel's totals and queues, and the bytes that layers hold."""
        after = Progress(received, sent, owed, unread, held)
        if after != self.progress:
            self.progress, self.movedAt = after, self.seconds()

    def getPeer(self) -> IPv4Address | IPv6Address:
        """Returns the peer's address."""
        return (IPv6Address if ":" in self._host else IPv4Address)("TCP", self._host, 4242)

    def finish(self) -> None:
        """Notes a call of the protocol's ``finish``."""
        self.done.append("finish")

    def abortConnection(self) -> None:
        """Notes the abort, and ends the connection at once."""
        self.done.append("abort")
        self.end(ConnectionAborted)

    def unregisterProducer(self) -> None:
        """The transport's."""
        self.done.append("unregister")

    def loseWriteConnection(self) -> None:
        """The transport's."""
        self.done.append("end of stream")


class FakePort:
    """A UDP port that keeps what is sent, or fails.

    :ivar error: is raised by each write.
    :ivar source: where answers to the current datagram go.
    :ivar noted: the faults that an access log would note.
    """

    def __init__(self, number: int = 7007) -> None:
        self.sent: list[tuple[bytes, tuple[str, int]]] = []
        self.error: Exception | None = None
        self.source = ("192.0.2.1", 40_000)
        self.noted: Counter[tuple[str, tuple[str, int]]] = Counter()
        self._number = number

    def getHost(self) -> IPv4Address:
        return IPv4Address("UDP", "127.0.0.1", self._number)

    def write(self, datagram: bytes, addr: tuple[str, int]) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append((datagram, addr))

    def noteFault(self, addr: tuple[str, int], kind: str) -> None:
        self.noted[kind, addr] += 1

    def replying(self) -> Callable[[bytes], None]:
        return partial(self.write, addr=self.source)


def opened(factory: IProtocolFactory, peer: IAddress | None = None) -> Transport:
    """Returns the transport of a connection that a factory has accepted."""
    transport = Transport(PROXY if peer is None else peer)
    protocol = factory.buildProtocol(transport.getPeer())
    assert protocol is not None
    transport.protocol = protocol
    protocol.makeConnection(transport)
    return transport


def numbered(number: int) -> Connection:
    """Returns a connection with this number."""
    return Connection(ConnectionRegistry(Limits()), number)


def progressOf(transport: FakeConnection) -> Progress | None:
    """Stands in for ``echo_app.transport.sockets.progressOf``."""
    progress = transport.progress
    if progress is None or not transport.isDated:
        return progress
    return replace(progress, quiet=transport.seconds() - transport.movedAt)


def owes(transport: FakeConnection) -> bool:
    """Stands in for ``echo_app.transport.sockets.owes``."""
    return bool(transport.progress and transport.progress.owed)


PROXY = IPv4Address("TCP", "127.0.0.1", 40_000)


class Transport(StringTransport):
    """A fake transport with a protocol. An abort ends it at once.

    :ivar ended: whether the protocol has learnt of the end.
    :ivar isHalfClosed: whether our side has ended.
    """

    protocol: Any

    def __init__(self, peer: IAddress = PROXY, number: int = 7) -> None:
        super().__init__(peerAddress=peer)
        self._number = number
        self.ended = self.isHalfClosed = False

    def fileno(self) -> int:
        return self._number

    def unregisterProducer(self) -> None:
        """Forgets the producer; a reactor's transports take it also where there is none."""
        self.producer = None

    def loseWriteConnection(self) -> None:
        """Half-closes the connection, which goes on until the peer's end."""
        self.isHalfClosed = True
        self.protocol.writeConnectionLost()

    def abortConnection(self) -> None:
        super().abortConnection()
        self.end(ConnectionDone())

    def end(self, error: Exception) -> None:
        """Ends the connection."""
        if not self.ended:
            self.ended = self.disconnected = True
            self.connectionLost(Failure(error))

    def connectionLost(self, reason: Failure) -> None:
        """Tells the protocol of the end, as a reactor does."""
        self.protocol.connectionLost(reason)
