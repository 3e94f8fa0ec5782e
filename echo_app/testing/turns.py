"""Reactor of the transports in memory: its turns are taken by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from echo_app.testing.memory import MemoryTransport

# Deliveries until quiet: more than a test of a megabyte needs that comes in small pieces.
MOST_DELIVERIES = 100_000


class NeverQuiet(AssertionError):
    """The two ends go on answering each other, or a pull producer goes on producing."""


class Turns:
    """What the transports of one connection need of a reactor.

    :param clock: what time is; calls that are due are made at the beginning of a turn.
    :ivar transports: in the order in which they have their turn.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.transports: list[MemoryTransport] = []
        self._readers: set[MemoryTransport] = set()
        self._writers: set[MemoryTransport] = set()
        self._isDelivering = False
        self.removeReader, self.removeWriter = self._readers.discard, self._writers.discard

    def addReader(self, reader: MemoryTransport) -> None:
        """Has a transport read from now on.

        :raise ValueError: as epoll does, when its connection is lost.
        """
        _checkConnected(reader)
        self._readers.add(reader)

    def addWriter(self, writer: MemoryTransport) -> None:
        """Has a transport write from now on.

        :raise ValueError: as epoll does, when its connection is lost, such as by ``loseWriteConnection``.
        """
        _checkConnected(writer)
        self._writers.add(writer)

    def callLater(self, delay: float, function: Callable[..., object], *args: object) -> IDelayedCall:
        """Calls a function later, by the clock."""
        return self.clock.callLater(delay, function, *args)

    def isReading(self, transport: MemoryTransport) -> bool:
        """Says whether a transport reads: it is connected, and not paused."""
        return transport in self._readers

    def deliver(self) -> bool:
        """Takes one turn; returns whether anything happened.

        :raise RuntimeError: when it is called from within a delivery.
        """
        if self._isDelivering:
            raise RuntimeError("a delivery can't be made from within a delivery")
        self._isDelivering = True
        try:
            return self._turn()
        finally:
            self._isDelivering = False

    def flush(self, most: int = MOST_DELIVERIES) -> None:
        """Delivers until all is quiet.

        :param most: deliveries after which it gives up.
        :raise NeverQuiet: when it gives up.
        """
        for _ in range(most):
            if not self.deliver():
                return
        raise NeverQuiet(f"not quiet after {most} deliveries")

    def _turn(self) -> bool:
        now = self.clock.seconds()
        happened = any(call.getTime() <= now for call in self.clock.getDelayedCalls())
        self.clock.advance(0)
        # Who has nothing to read writes first, so that what the test has just written is delivered in this
        # very turn; the others read first, as they do when a poll finds them ready for both.
        for transport in self.transports:
            if self._mayWrite(transport) and not self._mayRead(transport):
                happened = True
                self._attend(transport, isRead=False)
        for transport in self.transports:
            if self._mayRead(transport):
                happened = True
                wrote = self._mayWrite(transport)
                self._attend(transport, isRead=True)
                if wrote and self._mayWrite(transport):
                    self._attend(transport, isRead=False)
        return happened

    def _mayRead(self, transport: MemoryTransport) -> bool:
        return transport in self._readers and transport.socket.isReadable

    def _mayWrite(self, transport: MemoryTransport) -> bool:
        return transport in self._writers and transport.socket.isWritable

    def _attend(self, transport: MemoryTransport, isRead: bool) -> None:
        """Has a transport read or write, and ends its connection if it says so, or fails."""
        try:
            why = transport.doRead() if isRead else transport.doWrite()
        except BaseException:
            self._lose(transport, Failure())
            raise
        if isRead and isinstance(why, ConnectionDone):
            self.removeReader(transport)
            transport.readConnectionLost(Failure(why))
        elif why is not None:
            self._lose(transport, Failure(cast(Exception, why)))

    def _lose(self, transport: MemoryTransport, reason: Failure) -> None:
        self.removeReader(transport)
        self.removeWriter(transport)
        transport.connectionLost(reason)


def _checkConnected(transport: MemoryTransport) -> None:
    if not transport.connected:
        raise ValueError("the connection is lost")
