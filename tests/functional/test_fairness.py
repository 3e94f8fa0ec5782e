"""Busy peers leave the others in the reactor their turn, counted in what is served between two of them.

The same in milliseconds is ``test_latency``.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    UNIXClientEndpoint,
    UNIXServerEndpoint,
    connectProtocol,
)
from twisted.internet.interfaces import IReactorUDP
from twisted.internet.protocol import Protocol
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from echo_app import EchoService
from echo_app.stream.protocol import EchoFactory, EchoProtocol
from echo_app.transport import poller
from echo_app.transport.poller import EVENTS
from echo_app.udp.port import BATCH, DatagramEndpoint
from tests.support import programs
from tests.support.floods import DATAGRAMS, FLOOD, LARGEST, MANY

CONNECTIONS = 200

# Polls of the direct path in one turn of the reactor, by a clock that each look moves on: what they can
# serve is less than what the connections have to be served.
POLLS = 2

TURNS = 100
PINGS = 100

# Turns, or pings, at the most until so many met a load: as many as there are in some seconds.
TRIES = 100_000

# Turns of the reactor from a ping to its answer: one in which it is sent, one in which it is answered, one in
# which the answer is received; and the one under way.
TURNS_OF_PING = 4


class Pinger(Protocol):
    """Sends, and waits for as much."""

    def __init__(self) -> None:
        self._left = 0
        self._answered: Deferred[None] = Deferred()

    def ping(self, data: bytes) -> Deferred[None]:
        """Sends some bytes; fires when as many have come."""
        assert self.transport is not None
        self._left, self._answered = len(data), Deferred()
        self.transport.write(data)
        return self._answered

    def dataReceived(self, data: bytes) -> None:
        """Counts them."""
        self._left -= len(data)
        if not self._left:
            self._answered.callback(None)


class FairnessTestCase(TestCase):
    """A service on the reactor that the tests run on, and loads in processes of their own.

    :ivar reads: how often it has read from a stream.
    """

    timeout = 120

    def serve(self, endpoint: Any, *datagrams: DatagramEndpoint, rate: float | None = None) -> EchoService:
        """Starts it; it ends with the test."""
        from twisted.internet import reactor

        case = self
        self.reads = 0

        class Counting(EchoProtocol):
            def dataReceived(self, data: bytes) -> None:
                case.reads += 1
                super().dataReceived(data)

        factory = EchoFactory()
        factory.protocol = Counting
        self.patch(poller, "TURN", POLLS)
        self.patch(poller, "monotonic", itertools.count().__next__)
        service = EchoService(reactor, [endpoint], datagrams, factory=factory, datagramRate=rate)
        service.startService()
        self.addCleanup(service.stopService)
        self.addCleanup(service.abort)
        return service

    async def load(self, script: str, *arguments: object) -> None:
        """Starts a load, which is there when this returns."""
        command = (sys.executable, "-c", script, *map(str, arguments))
        process = programs.start(self, *command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        self.assertEqual(await deferToThread(process.stdout.readline), b"ready\n")


class TurnTests(FairnessTestCase):
    """Connections that are never idle do not hold up the reactor."""

    async def _check(self, size: int) -> None:
        from twisted.internet import reactor

        service = self.serve(TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"))
        (host,) = service.getHosts()
        await self.load(MANY, host.port, size, CONNECTIONS)  # type: ignore[attr-defined]
        turns: list[int] = []
        for _ in range(TRIES):
            # A load whose process has no turn is none.
            if (reads := await self._turn(reactor)) > 1:
                turns.append(reads)
            if len(turns) == TURNS:
                break
        self.assertEqual(len(turns), TURNS, "there is no load")
        self.assertEqual(service.snapshot().open, CONNECTIONS)
        self.assertLessEqual(max(turns), POLLS * EVENTS)

    async def _turn(self, reactor: Any) -> int:
        """Returns the number of reads until a call that is due now is made."""
        called: Deferred[None] = Deferred()
        before = self.reads
        reactor.callLater(0, called.callback, None)
        await called
        return self.reads - before

    async def test_smallMessages(self) -> None:
        """Of 200 with 1 KiB, 128 at the most are served before others have their turn."""
        await self._check(1024)

    async def test_largeMessages(self) -> None:
        """Messages of 64 KiB leave the reactor its turn."""
        await self._check(64 * 1024)


class PingTests(FairnessTestCase):
    """A peer is answered within a few turns, beside other peers' load."""

    async def _check(self, endpoint: Any, handled: Callable[[], int], most: int, own: int = 0) -> None:
        """Pings, and counts what is handled before the answer, of a flood and of the ping.

        :param handled: returns how much has been handled.
        :param most: what may be handled in a turn.
        :param own: what is handled for a ping.
        """
        pinger = await connectProtocol(endpoint, Pinger())
        self.addCleanup(pinger.transport.abortConnection)
        waits: list[int] = []
        for number in range(TRIES):
            before = handled()
            await pinger.ping(number.to_bytes(8, "big"))
            # A flood whose process has no turn is none.
            if (waited := handled() - before) > own:
                waits.append(waited)
            if len(waits) == PINGS:
                break
        self.assertEqual(len(waits), PINGS, "there is no flood")
        waits.sort()
        # The kernel may pass a ping on later, when its other processors are busy.
        self.assertLessEqual(waits[PINGS * 99 // 100 - 1], TURNS_OF_PING * most, waits)

    async def test_tcp(self) -> None:
        """Beside a peer that sends and reads as fast as it can, over TCP."""
        from twisted.internet import reactor

        service = self.serve(TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"))
        (host,) = service.getHosts()
        port: int = host.port  # type: ignore[attr-defined]
        await self.load(FLOOD, "tcp", "127.0.0.1", port)
        await self._check(TCP4ClientEndpoint(reactor, "127.0.0.1", port), lambda: self.reads, POLLS, own=1)

    async def test_unix(self) -> None:
        """A peer over a UNIX socket is answered within a few turns."""
        from twisted.internet import reactor

        path = self.mktemp()
        self.serve(UNIXServerEndpoint(reactor, path))
        # As it is, relative to where both run: an absolute one may be too long.
        await self.load(FLOOD, "unix", path, 0)
        await self._check(UNIXClientEndpoint(reactor, path), lambda: self.reads, POLLS, own=1)

    async def _checkDatagrams(self, size: int, rate: float | None) -> None:
        from twisted.internet import reactor

        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        service = self.serve(endpoint, DatagramEndpoint(cast(IReactorUDP, reactor), 0), rate=rate)
        tcp, udp = (host.port for host in service.getHosts())  # type: ignore[attr-defined]
        await self.load(DATAGRAMS, "127.0.0.1", udp, size)

        def handled() -> int:
            counts = service.snapshot()
            return counts.answered + sum(counts.dropped.values())

        await self._check(TCP4ClientEndpoint(reactor, "127.0.0.1", tcp), handled, BATCH)

    async def test_empty(self) -> None:
        """Beside empty datagrams, which are dropped beyond the rate."""
        await self._checkDatagrams(0, 1000.0)

    async def test_emptyAnswered(self) -> None:
        """Beside empty datagrams, all of which are answered."""
        await self._checkDatagrams(0, None)

    async def test_full(self) -> None:
        """Beside the largest datagrams, which are dropped beyond the rate."""
        await self._checkDatagrams(LARGEST, 1000.0)

    async def test_fullAnswered(self) -> None:
        """Beside the largest datagrams, all of which are answered."""
        await self._checkDatagrams(LARGEST, None)
