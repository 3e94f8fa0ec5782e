"""Listeners that refuse for a while, and where they listen after it."""

from __future__ import annotations

import socket
from typing import Any, cast

from twisted.internet.endpoints import TCP4ServerEndpoint, UNIXServerEndpoint
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echo_app.faults.refuse import ListenerSuspension
from echo_app.faults.spec import parseFault
from echo_app.service.listeners import Listener, Listeners
from echo_app.stream.protocol import EchoFactory
from echo_app.udp.port import DatagramEndpoint
from echo_app.udp.protocol import DatagramRules, EchoDatagramProtocol


class FakeListeners:
    """Notes what it is told, with the time."""

    def __init__(self, clock: Clock) -> None:
        self.told: list[tuple[float, str]] = []
        self._clock = clock

    def _tell(self, what: str) -> None:
        if not self.told or self.told[-1][1] != what:
            self.told.append((round(self._clock.seconds(), 3), what))

    def suspend(self) -> None:
        """Is to refuse."""
        self._tell("suspend")

    def resume(self) -> None:
        """Is to accept."""
        self._tell("resume")


class ListenerSuspensionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.listeners = FakeListeners(self.clock)
        self.suspension = ListenerSuspension(self.clock, cast(Listeners, self.listeners))

    def begin(self, *specs: str) -> None:
        """Begins with these faults."""
        self.suspension.begin([parseFault(spec) for spec in specs])

    def run10(self) -> list[tuple[float, str]]:
        """Returns what is told in ten seconds."""
        for _ in range(1000):
            self.clock.advance(0.01)
        return self.listeners.told

    def test_times(self) -> None:
        """A port refuses after some time, for some time, periodically."""
        self.begin("refuse,after=1s,for=2s,every=5s")
        told = [(round(time), what) for time, what in self.run10()]
        self.assertEqual(told, [(0, "resume"), (1, "suspend"), (3, "resume"), (6, "suspend"), (8, "resume")])

    def test_several(self) -> None:
        """Of several, any that is on refuses."""
        self.begin("refuse,for=2s", "refuse,after=1s,for=2s", "reset")
        self.assertEqual([what for _, what in self.run10()], ["suspend", "resume"])
        self.assertEqual(round(self.listeners.told[1][0]), 3)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_forGood(self) -> None:
        """Without an end it lasts, and takes no timer; nor does no fault at all."""
        self.begin("refuse")
        self.assertEqual(self.listeners.told, [(0, "suspend")])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.begin()
        self.assertEqual(self.listeners.told, [(0, "suspend"), (0, "resume")])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_again(self) -> None:
        """With other faults the time begins again."""
        self.begin("refuse,after=1s")
        self.clock.advance(0.9)
        self.begin("refuse,after=1s")
        self.clock.advance(0.9)
        self.assertEqual([what for _, what in self.listeners.told], ["resume"])
        self.clock.advance(0.2)
        self.assertEqual([what for _, what in self.listeners.told], ["resume", "suspend"])

    def test_end(self) -> None:
        """At its end there is no timer left."""
        self.begin("refuse,after=1s")
        self.suspension.end()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ListenersTests(TestCase):
    async def open(self, port: int = 0, isDirect: bool = True) -> tuple[Listeners, Any]:
        """Opens a TCP, a UNIX and a UDP listener."""
        from twisted.internet import reactor

        path = self.mktemp()
        listeners = Listeners(None, isDirect)
        self.addCleanup(listeners.close)
        endpoints = (
            TCP4ServerEndpoint(cast(Any, reactor), port, interface="127.0.0.1"),
            UNIXServerEndpoint(cast(Any, reactor), path),
        )
        datagrams = (DatagramEndpoint(cast(Any, reactor), 0, "127.0.0.1"),)
        rules = DatagramRules(None, lambda: 0)
        await listeners.open(
            [Listener(each) for each in endpoints],
            lambda _listener: EchoFactory(),
            datagrams,
            lambda: EchoDatagramProtocol(rules),
        )
        return listeners, listeners.getHosts()

    def connect(self, address: Any) -> socket.socket:
        """Connects: the kernel does, before anybody accepts."""
        sock = socket.create_connection((address.host, address.port), timeout=30)
        self.addCleanup(sock.close)
        return sock

    async def test_refuses(self) -> None:
        """A suspended TCP port refuses, a resumed one listens where it did, be it chosen by the kernel."""
        listeners, hosts = await self.open()
        for _ in range(3):
            listeners.suspend()
            listeners.suspend()
            self.assertRaises(ConnectionRefusedError, self.connect, hosts[0])
            listeners.acceptQueued()
            listeners.resume()
            listeners.resume()
            self.connect(hosts[0])
            self.assertEqual(listeners.getHosts(), hosts)

    async def test_chosenPort(self) -> None:
        """A suspended port with a chosen number refuses, and listens again."""
        first, hosts = await self.open()
        await first.close()
        listeners, again = await self.open(hosts[0].port, isDirect=False)
        self.assertEqual(again[0], hosts[0])
        listeners.suspend()
        self.assertRaises(ConnectionRefusedError, self.connect, hosts[0])
        listeners.resume()
        self.connect(hosts[0])

    async def test_queued(self) -> None:
        """Connections that waited to be accepted are, before the others are refused."""
        listeners, hosts = await self.open()
        peer = self.connect(hosts[0])
        listeners.suspend()
        peer.setblocking(False)
        self.assertRaises(BlockingIOError, peer.recv, 1)

    async def test_others(self) -> None:
        """UNIX sockets and UDP ports go on."""
        listeners, hosts = await self.open()
        listeners.suspend()
        sock = socket.socket(socket.AF_UNIX)
        self.addCleanup(sock.close)
        sock.connect(hosts[1].name)

    async def test_closed(self) -> None:
        """A suspended port is closed as any other one, and can't be resumed then."""
        listeners, hosts = await self.open()
        listeners.suspend()
        await listeners.close()
        listeners.resume()
        self.assertRaises(ConnectionRefusedError, self.connect, hosts[0])

    async def test_taken(self) -> None:
        """A port that another socket has taken meanwhile is one line in the log."""
        listeners, hosts = await self.open()
        listeners.suspend()
        thief = socket.socket()
        self.addCleanup(thief.close)
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind((hosts[0].host, hosts[0].port))
        thief.listen()
        with capturedLogs() as events:
            listeners.resume()
        self.assertEqual([event["reason"] for event in events], ["Address already in use"])
        await listeners.close()
