"""The service that the command line makes."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from typing import Any

from twisted.application.service import IServiceMaker
from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.task import deferLater
from twisted.plugin import getPlugins
from twisted.trial.unittest import SynchronousTestCase

from echo_app.cli import listenerkinds
from echo_app.cli.tap import Options, makeService
from echo_app.connections.limits import Limits
from echo_app.proxy.gate import ProxyGate
from echo_app.service import endpoints
from echo_app.stream.protocol import EchoProtocol
from echo_app.transport.layer import protocolOf
from echo_app.transport.sockets import Keepalive
from tests.support.fakes import opened
from tests.unit.cli.commandline import MakeServiceTestCase, parsed
from tests.unit.service.test_echoservice import FakePort
from twisted import plugins


class PluginTests(SynchronousTestCase):
    def test_found(self) -> None:
        """The plugin is found, and its module has the names that twistd looks for."""
        echo: Any
        (echo,) = (each for each in getPlugins(IServiceMaker, plugins) if each.tapname == "echo")
        self.assertEqual(
            (echo.module, echo.options, echo.makeService), ("echo_app.cli.plugin", Options, makeService)
        )


class MakeServiceTests(MakeServiceTestCase):
    def test_listens(self) -> None:
        """The returned service listens already: on each port at each interface, and on each endpoint."""
        service = self.make(
            *("--port", "0", "--udp", "0", "--interface", "127.0.0.1", "--interface", "::1"),
            *("--listen", "tcp:0:interface=127.0.0.2"),
        )
        hosts = [(type(host).__name__, host.type, host.host) for host in service.getHosts()]  # type: ignore[attr-defined]
        self.assertEqual(
            hosts,
            [
                ("IPv4Address", "TCP", "127.0.0.1"),
                ("IPv6Address", "TCP", "::1"),
                ("IPv4Address", "TCP", "127.0.0.2"),
                ("IPv4Address", "UDP", "127.0.0.1"),
                ("IPv6Address", "UDP", "::1"),
            ],
        )

    def test_gates(self) -> None:
        """With --proxy-protocol there is a gate before each port's protocols, and no other's."""
        listened: list[Any] = []

        class Endpoint:
            def __init__(self, *arguments: object) -> None:
                pass

            def listen(self, factory: IProtocolFactory) -> Deferred[Any]:
                listened.append(factory)
                return succeed(FakePort())

        for name in ("TCP4ServerEndpoint", "TCP6ServerEndpoint"):
            self.patch(listenerkinds, name, Endpoint)
        self.patch(endpoints, "serverFromString", Endpoint)
        # Nobody ends the connections here, which a drain would wait for.
        proxied = ("--proxy-protocol", "--port", "1", "--drain-timeout", "0")
        self.make(*proxied, "-i", "127.0.0.1", "-i", "::1", "--listen", "x")
        built = [protocolOf(opened(each)) for each in listened]
        self.assertEqual([type(each) for each in built], [ProxyGate, ProxyGate, EchoProtocol])
        self.make(*proxied, "--trust-proxy", "192.0.2.0/24")
        for factory, hosts in ((listened[0], ["127.0.0.1"]), (listened[-1], ["192.0.2.1"])):
            trusted = [
                host
                for host in ("127.0.0.1", "192.0.2.1")
                if isinstance(opened(factory, IPv4Address("TCP", host, 1)).protocol, ProxyGate)
            ]
            self.assertEqual(trusted, hosts)

    def test_globalReactor(self) -> None:
        """Without a reactor it is the global one."""
        service = makeService(parsed("--port", "0"))
        self.addCleanup(service.stopService)
        self.assertEqual(len(service.getHosts()), 1)

    def test_settings(self) -> None:
        """Every setting arrives; 0 is None where it means never, or no cap."""
        self.make("--port", "0", "--stall-timeout", "0", "--udp-rate", "0", "--keepalive", "0")
        self.assertEqual(self.made["limits"], Limits(stallTimeout=None))
        self.assertEqual((self.made["datagramRate"], self.made["keepalive"]), (None, None))
        self.assertEqual((self.made["responder"], self.made["responderTimeout"]), ("echo", 30))
        self.make("--port", "0", "--responder", "os:fsencode", "--responder-timeout", "0")
        self.assertEqual((self.made["responder"], self.made["responderTimeout"]), (os.fsencode, None))
        ready = str(Path(self.mktemp()).absolute())
        self.make(
            *("--port", "0", "--max-connections", "7", "--max-connections-per-peer", "2"),
            *("--idle-timeout", "1.5", "--stall-timeout", "40", "--drain-timeout", "0"),
            *("--udp-rate", "3", "--keepalive", "1,2,3", "--ready-file", ready, "--log-connections"),
        )
        self.assertEqual(
            self.made["limits"],
            Limits(
                maxConnections=7,
                maxConnectionsPerPeer=2,
                idleTimeout=1.5,
                stallTimeout=40,
                drainTimeout=0,
            ),
        )
        self.assertEqual((self.made["datagramRate"], self.made["keepalive"]), (3, Keepalive(1, 2, 3)))
        self.assertEqual((self.made["readyFile"], self.made["logConnections"]), (ready, True))

    async def test_taken(self) -> None:
        """A listener that can't be opened is named as it was typed, and those opened before it close."""
        turns: list[float] = []
        self.patch(reactor, "iterate", turns.append)
        # A path that fits into an address.
        folder = Path(tempfile.mkdtemp(prefix="echo-"))
        self.addCleanup(folder.rmdir)
        with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket(type=socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.1", 0))
            port, udpPort = taken.getsockname()[1], udp.getsockname()[1]
            for arguments, reason in (
                ([f"--port={port}"], f"--port {port} on 127.0.0.1: Address already in use"),
                ([f"--udp={udpPort}"], f"--udp {udpPort} on 127.0.0.1: Address already in use"),
                ([f"--listen=tcp:{port}:interface=127.0.0.1"], "Address already in use"),
                (["--listen=frob:1"], "--listen 'frob:1': Unknown endpoint type: 'frob'"),
                (["--listen=tcp:70000"], "--listen 'tcp:70000': "),
            ):
                self.assertIn(reason, self.failure(f"--listen=unix:{folder}/s", *arguments))
                # The turn, which is not to be had within another one.
                await deferLater(reactor, 0)
                self.assertEqual(os.listdir(folder), [])
        self.assertEqual(turns, [0, 0, 0, 0])

    def test_notAtOnce(self) -> None:
        """An endpoint that does not listen at once would be a half-started service."""

        class Later:
            def listen(self, factory: object) -> Deferred[object]:
                return Deferred()

        self.patch(endpoints, "serverFromString", lambda *_: Later())
        self.patch(reactor, "iterate", lambda delay: None)
        self.assertIn("does not listen at once", self.failure("--listen", "x"))
