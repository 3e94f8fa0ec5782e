"""The responders that own their stream, and their answers to datagrams."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IHalfCloseableProtocol, IHandshakeListener, IPullProducer
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from echo_app.proxy.vectors import ProxyFacts
from echo_app.responders.builtin import (
    PATTERN,
    ChargenDatagramProtocol,
    ChargenProtocol,
    DiscardDatagramProtocol,
    DiscardProtocol,
    PeerDatagramProtocol,
    PeerProtocol,
)
from echo_app.udp.protocol import DatagramRules, EchoDatagramProtocol
from tests.unit.responders.test_answering import FAR, NEAR, FakePort, PeerTransport


class DiscardTests(SynchronousTestCase):
    def test_stream(self) -> None:
        """Nothing comes back, and the end does."""
        protocol, transport = DiscardProtocol(), StringTransport()
        protocol.makeConnection(transport)
        protocol.dataReceived(b"hello")
        self.assertEqual((transport.value(), transport.disconnecting), (b"", False))
        protocol.readConnectionLost()
        self.assertTrue(transport.disconnecting)


class ChargenTests(SynchronousTestCase):
    def test_pattern(self) -> None:
        """Lines have 72 printable characters in a row, each line beginning one further on (RFC 864)."""
        lines = PATTERN.split(b"\r\n")
        self.assertEqual(lines.pop(), b"")
        self.assertEqual({len(line) for line in lines}, {72})
        self.assertTrue(lines[0].startswith(b' !"#') and lines[1].startswith(b'!"#$'))
        for line, following in zip(lines, [*lines[1:], lines[0]], strict=True):
            self.assertEqual(line[1:], following[:-1])
        self.assertEqual(set(b"".join(lines)), set(range(32, 127)))

    def test_bounded(self) -> None:
        """Chargen writes when its transport asks for more, and no more at once than a transport holds."""
        protocol, transport = ChargenProtocol(), StringTransport()
        protocol.makeConnection(transport)
        verifyObject(IPullProducer, protocol)
        self.assertEqual((transport.producer, transport.streaming), (protocol, False))
        self.assertEqual(transport.value(), b"")
        protocol.resumeProducing()
        self.assertEqual(transport.value(), PATTERN)
        self.assertLessEqual(len(PATTERN), 1 << 16)

    def test_ends(self) -> None:
        """Neither input nor a half-close ends chargen; a stop does."""
        protocol, transport = ChargenProtocol(), StringTransport()
        protocol.makeConnection(transport)
        verifyObject(IHalfCloseableProtocol, protocol)
        protocol.dataReceived(b"stop")
        protocol.readConnectionLost()
        self.assertEqual((transport.producer, transport.disconnecting), (protocol, False))
        protocol.finish()
        self.assertEqual((transport.producer, transport.disconnecting), (None, True))


class PeerTests(SynchronousTestCase):
    def line(self, sender: object, peer: object = None, header: ProxyFacts | None = None) -> dict[str, Any]:
        """Returns what a peer is told.

        :param sender: the address of the socket's peer.
        :param peer: what a PROXY header says; None without one.
        :param header: what its vectors say; None without such vectors.
        """
        transport: Any = StringTransport(IPv4Address("TCP", "192.0.2.9", 8080), sender)
        if peer is not None:
            transport.getPeer = lambda: peer
        if header is not None:
            transport.proxyFacts = header
        protocol = PeerProtocol()
        protocol.makeConnection(transport)
        told, end, rest = transport.value().partition(b"\n")
        self.assertEqual((end, rest), (b"\n", b""))
        protocol.dataReceived(b"hello")
        self.assertTrue(transport.value().endswith(b"\nhello"))
        facts: dict[str, Any] = json.loads(told)
        keys = ["transport", "peer", "host", "proxy", "tls"] + ["header"] * (header is not None)
        self.assertEqual(list(facts), keys)
        self.assertTrue(told.decode("ascii").isprintable())
        return facts

    def test_direct(self) -> None:
        """Without a proxy there are both addresses, and no source behind them."""
        facts = self.line(IPv6Address("TCP", "2001:db8::1", 4242))
        self.assertEqual(facts["peer"], "[2001:db8::1]:4242")
        self.assertEqual((facts["host"], facts["transport"]), ("192.0.2.9:8080", "tcp"))
        self.assertEqual((facts["proxy"], facts["tls"]), (None, None))
        self.assertEqual(self.line(UNIXAddress(None))["proxy"], None)

    def test_header(self) -> None:
        """What a header's vectors say is told, in printable characters."""
        client = IPv4Address("TCP", "192.0.2.1", 4242)
        seen: dict[str, Any] = {"tlsFlags": ("tls",), "tlsVerify": 0, "tlsVersion": "x"}
        header = ProxyFacts(authority="\x1b[2J\u202e", uniqueId="7", **seen)
        found = self.line(UNIXAddress(None), client, header)["header"]
        tls = {"flags": ["tls"], "verify": 0, "version": "x", "cipher": None, "client": None}
        other = {"alpn": None, "netns": None, "vpc_endpoint": None}
        self.assertEqual(found, {"authority": "\x1b[2J\u202e", "unique_id": "7", "tls": tls, **other})
        self.assertIsNone(self.line(UNIXAddress(None), client, ProxyFacts(alpn="h2"))["header"]["tls"])

    def test_scope(self) -> None:
        """A link-local client, whose address has a scope, is no proxy."""
        facts = self.line(IPv6Address("TCP", "fe80::1%eth0", 4242, 0, 2))
        self.assertEqual((facts["peer"], facts["proxy"]), ("[fe80::1%eth0]:4242", None))

    def test_proxy(self) -> None:
        """Behind a proxy its own address is that of the socket's peer."""
        client = IPv4Address("TCP", "192.0.2.1", 4242)
        facts = self.line(IPv4Address("TCP", "127.0.0.1", 80), client)
        self.assertEqual((facts["peer"], facts["proxy"]), ("192.0.2.1:4242", "127.0.0.1:80"))
        self.assertEqual(self.line(UNIXAddress(None), client)["proxy"], "unnamed")

    def test_escaped(self) -> None:
        """A name that a peer chose can't act on a terminal, nor end the line."""
        protocol, transport = PeerProtocol(), StringTransport(peerAddress=UNIXAddress(b"/\x1b[2J\n"))
        protocol.makeConnection(transport)
        self.assertTrue(transport.value().decode()[:-1].isprintable())

    def test_interfaces(self) -> None:
        """The protocol hears of a handshake, and half-closes."""
        verifyObject(IHandshakeListener, PeerProtocol())
        verifyObject(IHalfCloseableProtocol, PeerProtocol())

    def test_once(self) -> None:
        """The line comes once, before the first echo, also without a handshake."""
        protocol, transport = PeerProtocol(), PeerTransport()
        protocol.makeConnection(transport)
        protocol.handshakeCompleted()
        self.assertEqual(transport.value().count(b"\n"), 1)


class DatagramTests(SynchronousTestCase):
    def answers(self, kind: type[EchoDatagramProtocol], *asked: tuple[bytes, tuple[str, int]]) -> list[bytes]:
        """Returns what datagrams are answered."""
        protocol = kind(DatagramRules(None))
        port: Any = FakePort()
        protocol.makeConnection(port)
        for datagram, address in asked:
            protocol.datagramReceived(datagram, address)
        self.dropped = protocol.rules.dropped.byReason
        return [datagram for datagram, _ in port.sent]

    def test_discard(self) -> None:
        """Nothing is answered, and nothing counts as dropped."""
        self.assertEqual(self.answers(DiscardDatagramProtocol, (b"hello", NEAR)), [])
        self.assertEqual(self.dropped, {})

    def test_chargen(self) -> None:
        """On loopback a datagram of chargen has 512 characters, and otherwise no more than the request."""
        asked = ((b"", NEAR), (b"", FAR), (bytes(100), FAR), (bytes(1000), FAR))
        found = self.answers(ChargenDatagramProtocol, *asked)
        self.assertEqual([len(each) for each in found], [512, 0, 100, 512])
        self.assertTrue(all(PATTERN.startswith(each) for each in found))

    def test_peer(self) -> None:
        """The answer is a line of JSON, if that is no longer than the request."""
        found = self.answers(PeerDatagramProtocol, (b"", NEAR), (b"", FAR), (bytes(200), FAR))
        self.assertEqual([json.loads(each)["peer"] for each in found], ["127.0.0.1:4242", "192.0.2.1:4242"])
        self.assertEqual(self.dropped, {"longer-answer": 1})

    def test_guards(self) -> None:
        """A datagram that the rules do not admit is not answered."""
        for kind in (ChargenDatagramProtocol, PeerDatagramProtocol):
            self.assertEqual(self.answers(kind, (bytes(200), ("192.0.2.1", 7))), [])
            self.assertEqual(self.dropped, {"server-port": 1})
