"""Connections in memory, for unit tests of Twisted protocols: no reactor, no socket, no waiting.

Two protocols, connected to each other::

    pair = connectedPair(client, EchoProtocol())
    client.transport.write(b"hello")
    pair.flush()

Or one, with its peer played by the test, which holds the other end of the connection::

    transport = connectedTransport(EchoProtocol())
    transport.farEnd.send(b"hello")
    transport.flush()
    assert transport.farEnd.recv() == b"hello"

Between a protocol and its kernel stands Twisted's own code (``twisted.internet.tcp.Connection``), so that
producers, half-closes and ends are those of the Twisted that is installed. What is played is the kernel, by
``MemorySocket``, and the reactor, by ``Turns``: nothing moves until the test delivers it, and the same test
moves the same bytes in the same order each time.

The rules of a delivery are those of a reactor's turn. A call that is due comes first. A transport reads
once, at most 64 KiB, before it writes; so that data and the end of a stream are two deliveries, and what
a protocol answers to the data is lost if it closes at the end. What is written is sent afterwards, never
from within ``write``, so that no ``dataReceived`` runs inside another one.

Different from TCP over loopback, on purpose: a direction holds `capacity` bytes that are sent and not
read, where the kernel's buffers grow to megabytes; what the kernel took before a reset arrives, where more
than a window of it is lost; and an exception in a protocol ends its connection, as a reactor has it, but
then comes out of the delivery, where a reactor logs it. There is no urgent data, and no ``startTLS``: TLS
is what ``TLSMemoryBIOFactory(contextFactory, isClient, factory, clock)`` puts around a protocol.
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
from echo_app.testing.turns import MOST_DELIVERIES, Turns

# Documentation addresses (RFC 5737), which nobody has.
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
    """Twisted's TCP transport, on a socket of memory. :func:`connectedTransport` makes one.

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
        """Whether it reads: it is connected, and its reading is not paused."""
        return self.reactor.isReading(self)

    @property
    def unsent(self) -> int:
        """How many bytes were written, and wait for room in the kernel."""
        return len(self.dataBuffer) - self.offset + self._tempDataLen

    def deliver(self) -> bool:
        """Delivers what there is to deliver now, as :meth:`Pair.deliver` does."""
        return self.reactor.deliver()

    def flush(self, most: int = MOST_DELIVERIES) -> None:
        """Delivers until all is quiet, as :meth:`Pair.flush` does."""
        self.reactor.flush(most)

    def getHost(self) -> IAddress:
        """Returns this side's address."""
        return self._host

    def getPeer(self) -> IAddress:
        """Returns the other side's address."""
        return self._peer

    def startTLS(self, ctx: object, normal: bool = True) -> None:
        """Is not there: Twisted's needs the global reactor.

        :raise NotImplementedError: always.
        """
        raise NotImplementedError("no startTLS in memory: put a TLSMemoryBIOFactory around the protocol's")


class Pair:
    """Two protocols, connected in memory. :func:`connectedPair` makes one.

    :ivar client: the client's transport.
    :ivar server: the server's.
    """

    def __init__(self, client: MemoryTransport, server: MemoryTransport) -> None:
        self.client, self.server = client, server

    @property
    def segments(self) -> Segments:
        """How much arrives at once; it may be set between two deliveries."""
        return self.client.farEnd.segments

    @segments.setter
    def segments(self, segments: Segments) -> None:
        self.client.farEnd.segments = self.server.farEnd.segments = segments

    def deliver(self) -> bool:
        """Delivers once: what was written is sent, and each side is told once of what has arrived.

        :return: whether anything happened.
        :raise RuntimeError: when it is called from within a delivery.
        """
        return self.client.deliver()

    def flush(self, most: int = MOST_DELIVERIES) -> None:
        """Delivers until all is quiet.

        :param most: deliveries after which it gives up.
        :raise NeverQuiet: when it gives up.
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
    """Connects two protocols to each other, the client first; what they write then waits for a delivery.

    :param capacity: bytes that the kernel holds in each direction.
    :param segments: how much arrives at once: an int is at most so many bytes, 1 being one at a time, a
        ``random.Random`` is a random number of them, None is everything.
    :param clock: what time is; a delivery makes the calls that are due.
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
    :param peer: the test's.
    """
    end, _ = socketPair(capacity, segments)
    transport = MemoryTransport(protocol, end, Turns(clock or Clock()), host, peer)
    protocol.makeConnection(transport)
    return transport
