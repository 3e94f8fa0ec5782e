"""UDP ports that answer from the address that was asked."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echo_app.connections.registry import ReasonCounter
from echo_app.udp import port as datagramport
from echo_app.udp.port import BATCH, DatagramEndpoint, DatagramPort, replyControl
from echo_app.udp.protocol import EchoDatagramProtocol

# socket(7); Python 3.11 does not name it.
SO_TIMESTAMP = 29


class ReceivingProtocol(DatagramProtocol):
    """Remembers what it receives, and does with it what it is told."""

    def __init__(self, received: Callable[[bytes, Any], object] | None = None) -> None:
        self.datagrams: list[bytes] = []
        self._received = received

    def datagramReceived(self, data: bytes, addr: Any) -> None:
        """Remembers one."""
        self.datagrams.append(data)
        if self._received is not None:
            self._received(data, addr)


class DatagramPortTests(SynchronousTestCase):
    """A port on loopback whose reactor is the test: it reads when it is told to."""

    def setUp(self) -> None:
        self.dropped = ReasonCounter("dropped datagrams", Clock().seconds)
        self.reactor: Any = MemoryReactorClock()

    def listen(self, protocol: DatagramProtocol, interface: str = "127.0.0.1") -> DatagramPort:
        """Opens a port that is closed at the test's end."""
        port = DatagramPort(0, protocol, interface, self.reactor, self.dropped)
        port.startListening()
        self.addCleanup(lambda: port.connected and port.connectionLost())
        return port

    def client(self, family: int = socket.AF_INET) -> socket.socket:
        """Returns a socket that waits a second at the most."""
        sock = socket.socket(family, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        sock.settimeout(1)
        return sock

    def ask(self, port: DatagramPort, host: str, data: bytes = b"hello") -> tuple[bytes, str]:
        """Returns the answer to a question, and the address that it came from."""
        client = self.client(socket.AF_INET6 if ":" in host else socket.AF_INET)
        client.sendto(data, (host, port.getHost().port))
        port.doRead()
        answer, source = client.recvfrom(1 << 17)
        self.assertEqual(source[1], port.getHost().port)
        return answer, source[0]

    def test_answersFromWhereAsked(self) -> None:
        """The answer leaves from the address that was asked, on every kind of listener."""
        for interface, hosts in (
            ("127.0.0.1", ["127.0.0.1"]),
            ("127.0.0.2", ["127.0.0.2"]),
            ("0.0.0.0", ["127.0.0.1", "127.0.0.2"]),
            ("", ["127.0.0.1", "127.0.0.2"]),
            ("::1", ["::1"]),
            ("::", ["::1", "127.0.0.1", "127.0.0.2"]),
            ("::ffff:127.0.0.2", ["127.0.0.2"]),
            ("::ffff:0.0.0.0", ["127.0.0.2"]),
            ("::ffff:0:0", ["127.0.0.2"]),
        ):
            port = self.listen(EchoDatagramProtocol(), interface)
            for host in hosts:
                self.assertEqual(self.ask(port, host), (b"hello", host), interface)

    def test_largest(self) -> None:
        """The largest datagrams of IPv4 and of IPv6 come back whole."""
        for interface, size in (("127.0.0.1", 65_507), ("::1", 65_527), ("::", 65_527)):
            port = self.listen(EchoDatagramProtocol(), interface)
            data = b"x" * size
            self.assertEqual(self.ask(port, "::1" if ":" in interface else interface, data)[0], data)

    def test_batch(self) -> None:
        """One turn takes a batch at the most, of empty datagrams too; the next one goes on."""
        protocol = ReceivingProtocol()
        port = self.listen(protocol)
        client = self.client()
        for _ in range(BATCH + 10):
            client.sendto(b"", ("127.0.0.1", port.getHost().port))
        port.doRead()
        self.assertEqual(len(protocol.datagrams), BATCH)
        port.doRead()
        self.assertEqual(len(protocol.datagrams), BATCH + 10)
        port.doRead()
        self.assertEqual(len(protocol.datagrams), BATCH + 10)

    def test_broadcast(self) -> None:
        """A datagram to a broadcast address is counted, and does not reach the protocol, on each wildcard."""
        for interface in ("0.0.0.0", "::", "::ffff:0.0.0.0", "::ffff:0:0"):
            self.dropped.byReason.clear()
            protocol = ReceivingProtocol()
            port = self.listen(protocol, interface)
            client = self.client()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            client.sendto(b"hello", ("127.255.255.255", port.getHost().port))
            port.doRead()
            self.assertEqual((protocol.datagrams, self.dropped.byReason), ([], {"broadcast": 1}), interface)

    def test_raises(self) -> None:
        """A protocol that raises is logged, and the port goes on with the next datagram."""

        def received(data: bytes, addr: Any) -> None:
            if data == b"bad":
                raise RuntimeError("a protocol's own mistake")

        protocol = ReceivingProtocol(received)
        port = self.listen(protocol)
        client = self.client()
        for data in (b"bad", b"good"):
            client.sendto(data, ("127.0.0.1", port.getHost().port))
        port.doRead()
        self.assertEqual(protocol.datagrams, [b"bad", b"good"])
        self.assertTrue(port.connected)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_closedWhileReceiving(self) -> None:
        """A port that its protocol closes, or stops, reads no more, and raises nothing."""
        for close in (DatagramPort.connectionLost, DatagramPort.stopListening):
            self._closedBy(close)

    def _closedBy(self, close: Callable[[DatagramPort], object]) -> None:
        protocol = ReceivingProtocol(lambda _data, _addr: close(port))
        port = self.listen(protocol)
        client = self.client()
        for _ in range(3):
            client.sendto(b"", ("127.0.0.1", port.getHost().port))
        port.doRead()
        self.reactor.advance(0)
        self.assertEqual((len(protocol.datagrams), port.connected), (1, 0))

    def test_reportedError(self) -> None:
        """An error that the network reports for an earlier datagram is counted, and does no harm."""
        closed = self.client()
        closed.bind(("127.0.0.1", 0))
        where = closed.getsockname()
        port = self.listen(ReceivingProtocol())
        port.connect(*where)
        closed.close()
        port.write(b"hello")
        port.doRead()
        self.assertEqual(self.dropped.byReason, {"unreceivable": 1})
        self.assertTrue(port.connected)

    def test_answersLater(self) -> None:
        """A late answer leaves from the address that was asked, also after other datagrams."""
        self._checkLater("0.0.0.0", "127.0.0.1", "127.0.0.2")
        self._checkLater("::", "127.0.0.2", "::1")

    def _checkLater(self, interface: str, *hosts: str) -> None:
        replies: list[Callable[[bytes], None]] = []
        port = self.listen(ReceivingProtocol(lambda _data, _addr: replies.append(port.replying())), interface)
        clients = [self.client(socket.AF_INET6 if ":" in host else socket.AF_INET) for host in hosts]
        for client, host in zip(clients, hosts, strict=True):
            client.sendto(b"hello", (host, port.getHost().port))
            port.doRead()
        for reply in reversed(replies):
            reply(b"later")
        for client, host in zip(clients, hosts, strict=True):
            answer, source = client.recvfrom(10)
            self.assertEqual((answer, source[0]), (b"later", host))

    def test_ends(self) -> None:
        """Datagrams have equal ends if their source is the same, and the own address to which they went."""
        ends: list[object] = []
        port = self.listen(ReceivingProtocol(lambda _data, _addr: ends.append(port.ends)), "::")
        here, there, other = self.client(), self.client(), self.client(socket.AF_INET6)
        number = port.getHost().port
        for client, host in ((here, "127.0.0.1"), (here, "127.0.0.2"), (there, "127.0.0.1"), (other, "::1")):
            for _ in range(2):
                client.sendto(b"", (host, number))
        port.doRead()
        self.assertEqual(ends[::2], ends[1::2])
        self.assertEqual(len({*ends}), 4)

    def test_writeElsewhere(self) -> None:
        """A protocol may write to another address than the one that asked."""
        other = self.client()
        other.bind(("127.0.0.1", 0))
        protocol = ReceivingProtocol(lambda data, addr: port.write(data, other.getsockname()))
        port = self.listen(protocol, "0.0.0.0")
        self.client().sendto(b"hello", ("127.0.0.1", port.getHost().port))
        port.doRead()
        self.assertEqual(other.recv(10), b"hello")

    def test_tooLong(self) -> None:
        """An answer that is too long for its source raises an OSError, as the docstring says."""

        def received(data: bytes, addr: Any) -> None:
            self.assertRaises(OSError, port.write, b"x" * 65_508, addr)

        protocol = ReceivingProtocol(received)
        port = self.listen(protocol)
        self.client().sendto(b"hello", ("127.0.0.1", port.getHost().port))
        port.doRead()
        self.assertEqual(protocol.datagrams, [b"hello"])

    def test_receiveBuffer(self) -> None:
        """The port asks for a larger receive buffer than the kernel's default."""
        port = self.listen(ReceivingProtocol())
        granted = port.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        self.assertGreater(granted, self.client().getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))

    def test_endpoint(self) -> None:
        """The endpoint opens a port at its interface, or says why it can't."""
        endpoint = DatagramEndpoint(self.reactor, 0, "127.0.0.2")
        port = endpoint.listen(EchoDatagramProtocol())
        self.addCleanup(port.connectionLost)
        host = port.getHost()
        self.assertEqual(host, IPv4Address("UDP", "127.0.0.2", host.port))
        taken = DatagramEndpoint(self.reactor, host.port, "127.0.0.2")
        self.assertRaises(CannotListenError, taken.listen, EchoDatagramProtocol())

    def test_endpointDefault(self) -> None:
        """Without an interface the endpoint opens loopback alone."""
        port = DatagramEndpoint(self.reactor, 0).listen(EchoDatagramProtocol())
        self.addCleanup(port.connectionLost)
        self.assertEqual(port.getHost().host, "127.0.0.1")

    def test_linkLocal(self) -> None:
        """An IPv6 literal with its scope can be bound."""
        lines = [line.split() for line in Path("/proc/net/if_inet6").read_text().splitlines()]
        linkLocal = [(bytes.fromhex(line[0]), line[5]) for line in lines if line[3] == "20"]
        if not linkLocal:
            self.skipTest("no link-local address here")
        packed, interface = linkLocal[0]
        literal = socket.inet_ntop(socket.AF_INET6, packed)
        port = self.listen(EchoDatagramProtocol(), f"{literal}%{interface}")
        client = self.client(socket.AF_INET6)
        client.connect((*port.socket.getsockname()[:2], 0, port.socket.getsockname()[3]))
        client.send(b"hello")
        port.doRead()
        self.assertEqual(client.recv(10), b"hello")


class ReplyControlTests(SynchronousTestCase):
    """From the control messages of a question to those of its answer."""

    def _ipv4(self, local: str, destination: str) -> tuple[int, int, bytes]:
        packed = struct.pack("=i", 3) + socket.inet_aton(local) + socket.inet_aton(destination)
        return (socket.IPPROTO_IP, datagramport.IP_PKTINFO, packed)

    def _ipv6(self, destination: str) -> tuple[int, int, bytes]:
        packed = socket.inet_pton(socket.AF_INET6, destination) + struct.pack("=I", 3)
        return (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, packed)

    def test_same(self) -> None:
        """An IPv6 answer has source and interface (RFC 4007) of its question; other kinds are left out."""
        for destination in ("2001:db8::1", "fe80::1", "::1"):
            self.assertEqual(replyControl([self._ipv6(destination)]), [self._ipv6(destination)])
        for control in ([], [(socket.SOL_SOCKET, SO_TIMESTAMP, bytes(16))]):
            self.assertEqual(replyControl(control), [])

    def test_group(self) -> None:
        """A question to a broadcast or multicast address has no answer."""
        groups = [self._ipv4("192.0.2.1", each) for each in ("192.0.2.255", "255.255.255.255", "224.0.0.1")]
        for question in (*groups, self._ipv6("ff02::1")):
            self.assertIsNone(replyControl([question]))

    def test_ipv4(self) -> None:
        """An IPv4 answer has the question's destination as its source, and the kernel's route."""
        expected = bytes(4) + socket.inet_aton("127.0.0.2") + bytes(4)
        control = replyControl([self._ipv4("127.0.0.2", "127.0.0.2")])
        self.assertEqual(control, [(socket.IPPROTO_IP, datagramport.IP_PKTINFO, expected)])

    def test_dualStack(self) -> None:
        """Of an IPv4 question to a dual-stack socket the IPv4 message counts, in either order."""
        both = [self._ipv6("::ffff:127.0.0.2"), self._ipv4("127.0.0.2", "127.0.0.2")]
        expected = replyControl(both[1:])
        self.assertEqual(replyControl(both), expected)
        self.assertEqual(replyControl(both[::-1]), expected)


class PlainPortTests(TestCase):
    """The protocol on a UDP port of Twisted's own."""

    async def test_listenUDP(self) -> None:
        """The port answers under a plain listenUDP."""
        from twisted.internet import reactor

        answer: Deferred[bytes] = Deferred()
        service = reactor.listenUDP(0, EchoDatagramProtocol(), "127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(service.stopListening)
        client = ReceivingProtocol(lambda data, addr: answer.callback(data))
        port = reactor.listenUDP(0, client, "127.0.0.1")  # type: ignore[attr-defined]
        self.addCleanup(port.stopListening)
        port.write(b"hello", ("127.0.0.1", service.getHost().port))
        self.assertEqual(await answer.addTimeout(10, reactor), b"hello")
