"""Connections in memory, for unit tests of Twisted protocols: no reactor, no socket, no waiting.

Two protocols, connected to each other::

    pair = connectedPair(client, EchoProtocol())
    client.transport.write(b"hello")
    pair.flush()

Or one protocol, with the test as its peer at the other end of the connection::

    transport = connectedTransport(EchoProtocol())
    transport.farEnd.send(b"hello")
    transport.flush()
    assert transport.farEnd.recv() == b"hello"

Between a protocol and its kernel is Twisted's own code (``twisted.internet.tcp.Connection``). So producers,
half-closes and ends are those of the installed Twisted. ``MemorySocket`` simulates the kernel, and ``Turns``
the reactor. Nothing moves until the test delivers it, and the same test moves the same bytes in the same
order each time.

A delivery has the rules of a reactor's turn. Due calls come first. A transport reads once, at most 64 KiB,
before it writes. So data and the end of a stream are two deliveries, and a protocol's answer to the data is
lost if the protocol closes at the end. Written data are sent later, never within ``write``, so that no
``dataReceived`` runs inside another one.

Three things differ from TCP over loopback, on purpose. A direction holds `capacity` bytes that are sent and
not read, where the kernel's buffers grow to megabytes. Data that the kernel took before a reset arrive, where
TCP loses all beyond a window. An exception in a protocol ends its connection, and is then raised by the
delivery, where a reactor logs it.

There is no urgent data, and no ``startTLS``. For TLS, put
``TLSMemoryBIOFactory(contextFactory, isClient, factory, clock)`` around a protocol.
"""

from __future__ import annotations

import socket
from typing import cast

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IHalfCloseableDescriptor,
    ILoggingContext,
    IProtocol,
    IPushProducer,
    IReadWriteDescriptor,
    ISystemHandle,
    ITCPTransport,
)
from twisted.internet.task import Clock
from twisted.internet.tcp import Connection
from zope.interface import implementer_only

from echo_app.testing.memorysocket import CAPACITY, MemorySocket, Segments, socketPair
from echo_app.testing.turns import MAX_DELIVERIES, Turns

# Addresses for documentation (RFC 5737), which no host has.
CLIENT = IPv4Address("TCP", "192.0.2.1", 40_000)
SERVER = IPv4Address("TCP", "192.0.2.2", 8080)


@implementer_only(
    ITCPTransport,
    IConsumer,
    IPushProducer,
    IHalfCloseableDescriptor,
    IReadWriteDescriptor,
    ISystemHandle,
    ILoggingContext,
)
class MemoryTransport(Connection):
    """Twisted's TCP transport, on a socket in memory. :func:`connectedTransport` makes one.

    :ivar farEnd: the connection's other end.
    """

    reactor: Turns  # type: ignore[assignment]
    socket: MemorySocket  # type: ignore[assignment]

    def __init__(
        self, protocol: IProtocol, end: MemorySocket, turns: Turns, host: IAddress, peer: IAddress
    ) -> None:
        super().__init__(cast(socket.socket, end), protocol, turns)  # type: ignore[arg-type]
        self.farEnd = end.peer
        self._host, self._peer = host, peer
        self.logstr = type(protocol).__name__
        self.connected = 1
        turns.transports.append(self)
        self.startReading()

    @property
    def isReading(self) -> bool:
        """Returns whether the transport reads: it is connected, and not paused."""
        return self.reactor.isReading(self)

    @property
    def unsent(self) -> int:
        """Returns the number of written bytes that wait for room in the kernel."""
        return len(self.dataBuffer) - self.offset + self._tempDataLen

    def deliver(self) -> bool:
        """Delivers once, as :meth:`Pair.deliver` does."""
        return self.reactor.deliver()

    def flush(self, most: int = MAX_DELIVERIES) -> None:
        """Delivers until all is quiet, as :meth:`Pair.flush` does."""
        self.reactor.flush(most)

    def getHost(self) -> IAddress:
        """Returns this side's address."""
        return self._host

    def getPeer(self) -> IAddress:
        """Returns the other side's address."""
        return self._peer

    def startTLS(self, ctx: object, normal: bool = True) -> None:
        """Does not work in memory: Twisted's ``startTLS`` needs the global reactor.

        :raise NotImplementedError: always.
        """
        raise NotImplementedError("no startTLS in memory: put a TLSMemoryBIOFactory around the protocol's")


class Pair:
    """Two protocols, connected in memory. :func:`connectedPair` makes one.

    :ivar client: the client's transport.
    :ivar server: the server's transport.
    """

    def __init__(self, client: MemoryTransport, server: MemoryTransport) -> None:
        self.client, self.server = client, server

    @property
    def segments(self) -> Segments:
        """Returns the limit of one read; a test may set it between two deliveries."""
        return self.client.farEnd.segments

    @segments.setter
    def segments(self, segments: Segments) -> None:
        self.client.farEnd.segments = self.server.farEnd.segments = segments

    def deliver(self) -> bool:
        """Delivers once: sends the written data, and tells each side once of the arrived data.

        :return: whether anything happened.
        :raise RuntimeError: when called from within a delivery.
        """
        return self.client.deliver()

    def flush(self, most: int = MAX_DELIVERIES) -> None:
        """Delivers until nothing more happens.

        :param most: the largest number of deliveries.
        :raise NeverQuiet: when something still happens after so many.
        """
        self.client.flush(most)


def connectedPair(
    client: IProtocol,
    server: IProtocol,
    *,
    capacity: int = CAPACITY,
    segments: Segments = None,
    clock: Clock | None = None,
    clientAddress: IAddress = CLIENT,
    serverAddress: IAddress = SERVER,
) -> Pair:
    """Connects two protocols to each other, the client first; written data wait for a delivery.

    :param capacity: bytes that the kernel holds in each direction.
    :param segments: the limit of one read: an int is a number of bytes, a ``random.Random`` draws a number
        each time, None is no limit.
    :param clock: the clock of both sides; a delivery makes the calls that are due.
    """
    clientEnd, serverEnd = socketPair(capacity, segments)
    turns = Turns(clock or Clock())
    pair = Pair(
        MemoryTransport(client, clientEnd, turns, clientAddress, serverAddress),
        MemoryTransport(server, serverEnd, turns, serverAddress, clientAddress),
    )
    client.makeConnection(pair.client)
    server.makeConnection(pair.server)
    return pair


def connectedTransport(
    protocol: IProtocol,
    *,
    capacity: int = CAPACITY,
    segments: Segments = None,
    clock: Clock | None = None,
    host: IAddress = SERVER,
    peer: IAddress = CLIENT,
) -> MemoryTransport:
    """Connects a protocol to the test, which holds the other end: the transport's ``farEnd``.

    The parameters are those of :func:`connectedPair`.

    :param host: the protocol's own address.
    :param peer: the test's address.
    """
    end, _ = socketPair(capacity, segments)
    transport = MemoryTransport(protocol, end, Turns(clock or Clock()), host, peer)
    protocol.makeConnection(transport)
    return transport
