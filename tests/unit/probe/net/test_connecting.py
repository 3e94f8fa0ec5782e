"""Settings of the probe's end of a connection."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.address import IPv6Address
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.probe.net.connecting import ConnectingReactor, ConnectionSettings
from echo_app.targets import parseTarget


class FakeConnector:
    """A connector whose transport has a real socket, which is not connected."""

    def __init__(self, family: int) -> None:
        self.transport: Any = self
        self.socket = socket.socket(family)


class FakeReactor:
    """Connects to nothing, and keeps what it was asked for."""

    def __init__(self) -> None:
        self.nameResolver = self
        self.resolved: list[tuple[Any, ...]] = []
        self.connected: list[tuple[Any, ...]] = []
        self.connectors: list[FakeConnector] = []

    def resolveHostName(self, *arguments: Any) -> None:
        self.resolved.append(arguments)

    def connectTCP(self, host: str, port: int, factory: Any, timeout: float, bindAddress: Any) -> Any:
        self.connected.append((host, port, bindAddress))
        self.connectors.append(FakeConnector(socket.AF_INET6 if ":" in host else socket.AF_INET))
        return self.connectors[-1]


class ConnectionSettingsTests(SynchronousTestCase):
    def test_endpoint(self) -> None:
        """With settings of its socket, an endpoint is as without them; a UNIX socket has none of them."""
        reactor: Any = MemoryReactorClock()
        settings = ConnectionSettings(tos=8)
        for text, kind in (
            ("127.0.0.1:1", TCP4ClientEndpoint),
            ("[::1]:1", TCP6ClientEndpoint),
            ("localhost:1", HostnameEndpoint),
        ):
            self.assertIsInstance(settings.endpoint(reactor, parseTarget(text), 1), kind)
        target = parseTarget("unix:///nosuch")
        self.assertIs(type(settings.endpoint(reactor, target, 1)), type(target.endpoint(reactor, 1)))

    def test_marked(self) -> None:
        """A socket has its source and its type of service before it connects."""
        for host, source, level, option in (
            ("127.0.0.1", "127.0.0.2", socket.IPPROTO_IP, socket.IP_TOS),
            ("[::1]", "::1", socket.IPPROTO_IPV6, socket.IPV6_TCLASS),
        ):
            reactor: Any = FakeReactor()
            endpoint = ConnectionSettings(0, source, 0xB8).endpoint(reactor, parseTarget(f"{host}:1"), 1)
            endpoint.connect(Factory.forProtocol(Protocol))
            self.assertEqual(reactor.connected, [(host.strip("[]"), 1, (source, 0))])
            sock = reactor.connectors[0].socket
            self.addCleanup(sock.close)
            self.assertEqual(sock.getsockopt(level, option), 0xB8)

    def test_family(self) -> None:
        """A name is resolved to addresses of the family alone."""
        reactor: Any = FakeReactor()
        asked = object()
        for family, types in ((socket.AF_INET6, (IPv6Address,)), (0, asked)):
            made = ConnectingReactor(reactor, ConnectionSettings(family))
            made.nameResolver.resolveHostName("receiver", "a", 1, asked)  # type: ignore[arg-type]
            self.assertEqual(reactor.resolved.pop(), ("receiver", "a", 1, types, "TCP"))
        addresses = ["127.0.0.1", "::1"]
        self.assertEqual(ConnectionSettings(socket.AF_INET6).chosen(addresses), ["::1"])
        self.assertEqual(ConnectionSettings().chosen(addresses), addresses)

    def test_unresolved(self) -> None:
        """A name without an address of the family is an error that says so."""
        said = [str(ConnectionSettings(family).unresolved) for family in (0, socket.AF_INET, socket.AF_INET6)]
        plain = "the name does not resolve"
        self.assertEqual(said, [plain, f"{plain}: no IPv4 address", f"{plain}: no IPv6 address"])
