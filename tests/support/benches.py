"""Benches for tests of transports: they connect a protocol, on the layers that are tested, to a far end.

A :class:`Bench` does so over the tests' reactor or in memory. A mixin such as :class:`OverTLS` puts a layer
below the protocol.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any, TypeVar, cast

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock, deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from echo_app.faults.faulty import Faulty
from echo_app.faults.spec import parseFault
from echo_app.targets import ClientTLS
from echo_app.testing.memory import CLIENT, SERVER, MemoryTransport, connectedTransport
from echo_app.tls.client import OutgoingTLS
from echo_app.tls.connection import TLSConnection
from echo_app.tls.server import ServerTLS
from echo_app.transport.direct import setTransport
from tests.support.ends import FarEnd, Mistake, Scripted, TLSFarEnd
from tests.support.fakes import numbered

T = TypeVar("T")

# Turns of a reactor that it takes to poll: what was ready before them has been read after them.
TURNS = 4

# Seconds for which a test in memory waits: the time of a fault's timer, and none of a time-out's.
SOON = 0.05


class MemorySocketAdapter:
    """The far end of a connection in memory as a socket that blocks: it delivers while it waits.

    :param end: the end that ``connectedTransport`` made.
    :param deliver: delivers once; returns whether anything happened.
    """

    def __init__(self, end: Any, deliver: Callable[[], bool]) -> None:
        self._end, self._deliver = end, deliver
        self.shutdown, self.setsockopt, self.close = end.shutdown, end.setsockopt, end.close

    def sendall(self, data: bytes) -> None:
        """Sends the data."""
        while data:
            data = data[self._wait(partial(self._end.send, data)) :]

    def recv(self, size: int) -> bytes:
        """Returns what has arrived."""
        received: bytes = self._wait(partial(self._end.recv, size))
        return received

    def _wait(self, call: Callable[[], T]) -> T:
        while True:
            try:
                return call()
            except BlockingIOError:
                if not self._deliver():
                    raise TimeoutError("it would wait for ever") from None


class Bench(TestCase):
    """Makes connections between a protocol and a far end.

    :cvar much: more than what is between the two holds.
    :cvar hasResets: the peer sees an abort as a reset.
    :cvar mistakeEnds: why a connection ends whose protocol raises a :class:`Mistake`.
    """

    much: bytes
    hasResets = True
    mistakeEnds: type[Exception] = Mistake
    clock: Any

    def over(self, protocol: IProtocol) -> IProtocol:
        """Returns the protocol with the layer below it that is tested."""
        return protocol

    def farEnd(self, sock: socket.socket) -> FarEnd:
        """Returns the far end on a socket."""
        return FarEnd(sock)

    async def connect(self, protocol: Scripted | None = None) -> tuple[Scripted, FarEnd]:
        """Returns a connected protocol and its peer."""
        raise NotImplementedError

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Calls a function that blocks, and returns its result."""
        raise NotImplementedError

    async def until(self, deferred: Deferred[T]) -> T:
        """Waits for a Deferred."""
        raise NotImplementedError

    async def settle(self) -> None:
        """Waits until what was sent so far was read, if it is to be."""
        raise NotImplementedError

    def addresses(self, end: FarEnd) -> tuple[object, object]:
        """Returns the addresses of the peer and of the host."""
        raise NotImplementedError

    def mistakes(self) -> int:
        """Returns how often a :class:`Mistake` was reported."""
        return len(self.flushLoggedErrors(Mistake))


class ReactorBench(Bench):
    """Makes connections over a listening port of the tests' reactor.

    :cvar description: where it listens.
    :cvar isDirect: by the direct path.
    """

    timeout = 60
    much = os.urandom(1 << 20) * 16
    description = "tcp:0:interface=127.0.0.1"
    isDirect = True

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.clock = reactor
        self._paths = (f"{number}.sock" for number in count())

    def derive(self, kind: type) -> type:
        """Returns the class of the port's transports."""
        return kind

    async def connect(self, protocol: Scripted | None = None) -> tuple[Scripted, FarEnd]:
        """Returns a connected protocol and its peer."""
        made = Scripted() if protocol is None else protocol
        factory = Factory()
        factory.noisy = False
        factory.buildProtocol = lambda _: self.over(made)  # type: ignore[method-assign, assignment, return-value]
        description = self.description.format(path=next(self._paths))
        self.port: Any = await serverFromString(self.clock, description).listen(factory)
        self.addCleanup(self.port.stopListening)
        self.assertTrue(setTransport(self.port, isDirect=self.isDirect, derive=self.derive))
        sock = socket.socket(self.port.socket.family)
        self.addCleanup(sock.close)
        sock.settimeout(30)
        sock.connect(self.port.socket.getsockname())
        await made.made
        self.addCleanup(self._end, made)
        end = self.farEnd(sock)
        await self.call(end.shake)
        await self.settle()
        return made, end

    def _end(self, protocol: Scripted) -> Deferred[Any]:
        if not protocol.lost.called:
            protocol.transport.abortConnection()
        return protocol.lost

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Calls a function in a thread."""
        return cast(T, await deferToThread(function, *arguments))

    async def until(self, deferred: Deferred[T]) -> T:
        """Waits for a Deferred."""
        return await deferred

    async def settle(self) -> None:
        """Lets the reactor poll."""
        for _ in range(TURNS):
            await deferLater(self.clock, 0)

    def addresses(self, end: FarEnd) -> tuple[object, object]:
        """Returns the addresses of the peer and of the host."""
        host = self.port.getHost()
        if isinstance(host, UNIXAddress):
            return UNIXAddress(None), host
        return IPv4Address("TCP", *end.sock.getsockname()), host


class MemoryBench(Bench):
    """Makes connections in memory."""

    much = os.urandom(1 << 20)

    def setUp(self) -> None:
        self.clock = Clock()
        self._transports: list[MemoryTransport] = []
        self._mistakes = 0

    async def connect(self, protocol: Scripted | None = None) -> tuple[Scripted, FarEnd]:
        """Returns a connected protocol and its peer."""
        made = Scripted() if protocol is None else protocol
        transport = connectedTransport(self.over(made), clock=self.clock)
        self._transports.append(transport)
        sock: Any = MemorySocketAdapter(transport.farEnd, self._deliver)
        end = self.farEnd(sock)
        await self.call(end.shake)
        return made, end

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """Calls a function, which delivers while it waits."""
        result = function(*arguments)
        await self.settle()
        return result

    async def until(self, deferred: Deferred[T]) -> T:
        """Delivers until a Deferred fires."""
        await self.settle()
        self.assertTrue(deferred.called, "all is quiet, and it has not come")
        return await deferred

    async def settle(self) -> None:
        """Delivers until all is quiet."""
        while self._deliver():
            pass

    def addresses(self, end: FarEnd) -> tuple[object, object]:
        """Returns the addresses of the peer and of the host."""
        return CLIENT, SERVER

    def mistakes(self) -> int:
        """Returns how often a :class:`Mistake` was reported: in the log, or out of a delivery."""
        return self._mistakes + super().mistakes()

    def _deliver(self) -> bool:
        happened = False
        for transport in self._transports:
            try:
                happened |= transport.deliver()
            except Mistake:
                self._mistakes += 1
                happened = True
        times = [call.getTime() - self.clock.seconds() for call in self.clock.getDelayedCalls()]
        if not happened and times and min(times) <= SOON:
            self.clock.advance(max(0, min(times)))
            return True
        return happened


class OverTLS(Bench):
    """Puts the service's TLS below the protocol.

    :cvar version: the only version that the far end speaks; None is any.
    """

    version: ssl.TLSVersion | None = None

    def over(self, protocol: IProtocol) -> IProtocol:
        """Returns a TLS layer below the protocol."""
        layer = ServerTLS(self.clock).layer(lambda *_: protocol)(None, numbered(1))
        assert layer is not None
        return super().over(layer)

    def farEnd(self, sock: socket.socket) -> FarEnd:
        """Returns a far end that speaks TLS."""
        return TLSFarEnd(sock, self.version)


class OverClientTLS(OverTLS):
    """Puts TLS of a client below the protocol; the far end is the server."""

    def over(self, protocol: IProtocol) -> IProtocol:
        """Returns a TLS layer below the protocol."""
        tls = OutgoingTLS(ClientTLS(isInsecure=True), "localhost", self.clock)
        return super(OverTLS, self).over(TLSConnection(tls, protocol))

    def farEnd(self, sock: socket.socket) -> FarEnd:
        """Returns a far end that is a TLS server."""
        return TLSFarEnd(sock, self.version, isServer=True)


class OverFaults(Bench):
    """Puts a layer of faults below the protocol that change nothing but when bytes pass.

    :cvar faults: what they are.
    """

    faults: tuple[str, ...] = ("latency=0ms",)
    mistakeEnds = ConnectionAborted

    def over(self, protocol: IProtocol) -> IProtocol:
        """Returns a layer of faults below the protocol."""
        faults = [parseFault(each) for each in self.faults]
        build = Faulty(lambda *_: protocol, self.clock, lambda: faults, seed=0, hasMessages=True)
        layer = build(None, numbered(1))
        assert layer is not None
        return super().over(layer)
