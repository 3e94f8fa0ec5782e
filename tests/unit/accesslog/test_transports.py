"""A record is below all layers, from accept to close, and changes none of them."""

from __future__ import annotations

import json
import socket
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXServerEndpoint, serverFromString
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IProtocolFactory, IStreamServerEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from echo_app.accesslog.recorder import Recorder
from echo_app.proxy.gate import ProxyHeaders
from echo_app.service.echoservice import EchoService
from echo_app.service.listeners import Listener
from echo_app.stream.protocol import EchoFactory, EchoProtocol
from echo_app.tls.server import ServerTLS
from echo_app.transport.carrying import CarryingTransport
from echo_app.transport.directserver import DirectServer, DirectUNIXServer
from echo_app.transport.sockets import CountingUNIXServer
from tests.support.certificates import Authority
from tests.support.tls import TLSPeer
from tests.unit.service.test_echoservice import FakeEndpoint, FakePort

PATIENCE = 10.0

Line = dict[str, Any]


class Obedient(EchoProtocol):
    """Echoes, and does what its peer says."""

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if data == b"close":
            self.finish()
        elif data == b"abort":
            self.transport.abortConnection()
        elif data == b"raise":
            raise ZeroDivisionError("as told")


class RecordedTestCase(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.factory = EchoFactory()
        self.factory.protocol = Obedient

    def recording(self, *endpoints: IStreamServerEndpoint | Listener, **settings: Any) -> EchoService:
        """Starts a service that records."""
        settings = {"accessLog": str(self.path), "factory": self.factory, **settings}
        service = EchoService(reactor, endpoints, **settings)
        service.startService()
        self.addCleanup(service.stopService)
        return service

    async def lines(self, service: EchoService) -> list[Line]:
        """Stops the service; returns what it wrote."""
        await service.stopService()
        return [json.loads(each) for each in self.path.read_bytes().splitlines()]

    def tcp(self, description: str = "tcp:0:interface=127.0.0.1") -> IStreamServerEndpoint:
        endpoint: IStreamServerEndpoint = serverFromString(reactor, description)
        return endpoint

    async def say(self, service: EchoService, data: bytes, end: bool = False) -> bytes:
        """Connects, says something, and returns what comes until the end."""

        def talk() -> bytes:
            host: Any = service.getHosts()[0]
            received = b""
            with socket.create_connection((host.host, host.port), PATIENCE) as sock:
                sock.sendall(data)
                if end:
                    sock.shutdown(socket.SHUT_WR)
                try:
                    while piece := sock.recv(1 << 16):
                        received += piece
                except ConnectionResetError:
                    pass
            return received

        return await deferToThread(talk)

    def assertLine(self, found: Line, **expected: object) -> None:
        self.assertEqual({name: found.get(name) for name in expected}, expected, found)


@implementer(IStreamServerEndpoint)
class KeptPort:
    """An endpoint that keeps the port that it opens.

    :ivar port: the port, when it is open.
    """

    def __init__(self, endpoint: IStreamServerEndpoint) -> None:
        self._endpoint = endpoint
        self.port: Any = None

    def listen(self, factory: IProtocolFactory) -> Deferred[Any]:
        """Opens the port."""
        opened: Deferred[Any] = self._endpoint.listen(factory)
        return opened.addCallback(self._keep)

    def _keep(self, port: Any) -> Any:
        self.port = port
        return port


class TransportTests(RecordedTestCase):
    """The transports of a port's connections."""

    def kinds(self, **settings: Any) -> list[Any]:
        """Returns what the ports of a service make."""
        endpoints = [KeptPort(self.tcp()), KeptPort(UNIXServerEndpoint(reactor, self.mktemp()))]
        self.recording(*endpoints, **settings)
        return [each.port.transport for each in endpoints]

    def test_off(self) -> None:
        """Without an access log the transports are the plain ones."""
        kinds = self.kinds(accessLog=None)
        self.assertEqual([kind.func for kind in kinds], [DirectServer, DirectUNIXServer])
        self.assertEqual(self.kinds(accessLog=None, direct=False), [CarryingTransport, CountingUNIXServer])

    def test_on(self) -> None:
        """With an access log only a transport's end differs: no method that moves bytes is overridden."""
        moving = ("doRead", "doWrite", "write", "writeSomeData", "writeSequence", "resumeProducing")
        for isDirect, plain in (
            (True, (DirectServer, DirectUNIXServer)),
            (False, (CarryingTransport, CountingUNIXServer)),
        ):
            for kind, expected in zip(self.kinds(direct=isDirect), plain, strict=True):
                self.assertEqual(isinstance(kind, partial), isDirect)
                cls = kind.func if isinstance(kind, partial) else kind
                self.assertIsNot(cls, expected)
                for name in moving:
                    self.assertIs(getattr(cls, name), getattr(expected, name))


class EndTests(RecordedTestCase):
    isDirect = True

    async def test_ours(self) -> None:
        """An end that is the protocol's own is told from the peer's, and from its fault."""
        service = self.recording(self.tcp(), direct=self.isDirect)
        for word in (b"close", b"abort", b"raise"):
            await self.say(service, word)
        self.assertEqual(await self.say(service, b"?", end=True), b"?")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        lines = await self.lines(service)
        ends = [(found["ended"], found.get("detail")) for found in lines]
        expected = [("closed", None), ("closed", None), ("error", "ZeroDivisionError"), ("fin", None)]
        self.assertEqual(ends, expected)
        # An abort, and a fault, lose what Twisted's own path has not sent yet.
        lost = 0 if self.isDirect else 5
        for found, received, sent in zip(lines, (5, 5, 5, 1), (5, 5 - lost, 5 - lost, 1), strict=True):
            self.assertLine(found, bytes_in=received, bytes_out=sent, bytes_unread=0)

    async def test_broken(self) -> None:
        """A record that can't be written ends its connection as usual, and is logged."""
        service = self.recording(self.tcp(), direct=self.isDirect)
        self.patch(Recorder, "write", lambda *arguments: 1 / 0)
        self.assertEqual(await self.say(service, b"?", end=True), b"?")
        await service.stopService()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(service.snapshot().open, 0)


class InheritedEndTests(EndTests):
    isDirect = False


class TwistedEndpointTests(RecordedTestCase):
    """Records of connections over Twisted's own wrappers."""

    async def test_ssl(self) -> None:
        """Over Twisted's TLS, a record has the bytes on the wire, and the negotiated values."""
        certificate, key = Authority(Path(self.mktemp())).issue("server")
        service = self.recording(
            self.tcp(f"ssl:0:interface=127.0.0.1:privateKey={key}:certKey={certificate}")
        )

        def talk() -> int:
            host: Any = service.getHosts()[0]
            with socket.create_connection((host.host, host.port), PATIENCE) as sock:
                peer = TLSPeer(sock).shake()
                peer.send(b"hello")
                self.assertEqual(peer.receive(5), b"hello")
                sock.sendall(peer.end())
                peer.receiveAll()
                return len(peer.receiveRest())

        await deferToThread(talk)
        (found,) = await self.lines(service)
        self.assertLine(found, number=1, transport="tcp", bytes_in=None, bytes_out=None, ended="closed")
        self.assertRegex(found["tls_version"], r"^TLSv1\.[23]$")
        self.assertTrue(found["tls_cipher"])
        self.assertTrue(found["wire_in"] > 100 and found["wire_out"] > 500)

    async def test_haproxy(self) -> None:
        """Behind Twisted's reader of the PROXY protocol, the header is a part of the received bytes."""
        header = b"PROXY TCP4 192.0.2.1 127.0.0.1 4242 8080\r\n"
        service = self.recording(self.tcp("haproxy:tcp:0:interface=127.0.0.1"))
        await self.say(service, header + b"?", end=True)
        (found,) = await self.lines(service)
        self.assertLine(found, number=1, proxy=None, bytes_in=len(header) + 1, ended="fin")
        self.assertTrue(found["peer"].startswith("127.0.0.1:"))


class UnknownTests(RecordedTestCase):
    """A port that makes its own transports."""

    async def test_recorded(self) -> None:
        """A connection of an unknown transport has a record with its peer, its times and its ending."""
        endpoint = FakeEndpoint(FakePort())
        service = self.recording(endpoint)
        factory, _ = endpoint.calls[0]
        for error in (ConnectionDone(), ConnectionLost()):
            transport = StringTransport()
            protocol: Any = factory.buildProtocol(transport.getPeer())
            protocol.makeConnection(transport)
            protocol.connectionLost(Failure(error))
        lines = await self.lines(service)
        self.assertEqual(
            [(found["number"], found["ended"]) for found in lines], [(1, "closed"), (2, "reset")]
        )
        self.assertLine(lines[0], transport="tcp", peer="192.168.1.1:54321", bytes_in=None)
        self.assertTrue(lines[0]["seconds"] >= 0)

    async def test_kind(self) -> None:
        """Below the service's own TLS and behind a PROXY header, the listener keeps its kind and address."""
        listening = FakeEndpoint(FakePort())
        tls = ServerTLS(Clock())
        service = self.recording(Listener(listening, tls, ProxyHeaders(Clock())))
        factory, _ = listening.calls[0]
        transport = StringTransport(
            IPv4Address("TCP", "127.0.0.1", 8443), IPv4Address("TCP", "127.0.0.1", 4242)
        )
        protocol: Any = factory.buildProtocol(transport.getPeer())
        protocol.makeConnection(transport)
        protocol.dataReceived(b"PROXY TCP4 192.0.2.1 192.0.2.2 4242 8080\r\n")
        protocol.connectionLost(Failure(ConnectionDone()))
        (found,) = await self.lines(service)
        self.assertLine(found, transport="tls", listener="127.0.0.1:8443", peer="192.0.2.1:4242")
