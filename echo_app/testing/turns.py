"""Reactor of the transports in memory, whose turns the test takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock
from twisted.python.failure import Failure

if TYPE_CHECKING:
    from echo_app.testing.memory import MemoryTransport

# Deliveries of one flush: more than a test with a megabyte in small pieces needs.
MAX_DELIVERIES = 100_000


class NeverQuiet(AssertionError):
    """A flush without an end: the two ends answer each other, or a pull producer goes on producing."""


class Turns:
    """The part of a reactor that the transports of one connection use.

    :param clock: a turn begins with the calls that are due.
    :ivar transports: the transports, in the order in which a turn serves them.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.transports: list[MemoryTransport] = []
        self._readers: set[MemoryTransport] = set()
        self._writers: set[MemoryTransport] = set()
        self._isDelivering = False
        self.removeReader, self.removeWriter = self._readers.discard, self._writers.discard

    def addReader(self, reader: MemoryTransport) -> None:
        """Starts reading for a transport.

        :raise ValueError: when the connection is lost, as epoll does.
        """
        _checkConnected(reader)
        self._readers.add(reader)

    def addWriter(self, writer: MemoryTransport) -> None:
        """Starts writing for a transport.

        :raise ValueError: when the connection is lost, as epoll does; for example in ``loseWriteConnection``.
        """
        _checkConnected(writer)
        self._writers.add(writer)

    def callLater(self, delay: float, function: Callable[..., object], *args: object) -> IDelayedCall:
        """Calls a function after a delay in seconds of the clock."""
        return self.clock.callLater(delay, function, *args)

    def isReading(self, transport: MemoryTransport) -> bool:
        """Returns whether a transport reads: it is connected, and not paused."""
        return transport in self._readers

    def deliver(self) -> bool:
        """Takes one turn; returns whether anything happened.

        :raise RuntimeError: when called from within a delivery.
        """
        if self._isDelivering:
            raise RuntimeError("a delivery can't be made from within a delivery")
        self._isDelivering = True
        try:
            return self._turn()
        finally:
            self._isDelivering = False

    def flush(self, most: int = MAX_DELIVERIES) -> None:
        """Delivers until nothing more happens.

        :param most: the largest number of deliveries.
        :raise NeverQuiet: when something still happens after so many.
        """
        for _ in range(most):
            if not self.deliver():
                return
        raise NeverQuiet(f"not quiet after {most} deliveries")

    def _turn(self) -> bool:
        now = self.clock.seconds()
        happened = any(call.getTime() <= now for call in self.clock.getDelayedCalls())
        self.clock.advance(0)
        # A transport without input writes first, so that this turn delivers the data that the test has just
        # written. The others read first, as after a poll that finds them ready for both.
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
        """Calls a transport's ``doRead`` or ``doWrite``, and ends the connection if that reports an end."""
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
