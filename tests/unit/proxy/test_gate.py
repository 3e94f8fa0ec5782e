"""The PROXY protocol: a header that is read, and a connection that is handed over as its client's."""

from __future__ import annotations

import ipaddress
import struct
from typing import Any, cast

from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, IProtocol, IProtocolFactory
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.protocols.policies import WrappingFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyClass, verifyObject

from echo_app.addresses import networkOf
from echo_app.connections.limits import Limits
from echo_app.connections.refusal import Refusal
from echo_app.connections.registry import RESERVED_DESCRIPTORS, ConnectionRegistry
from echo_app.proxy.gate import FIRST_BYTE_TIMEOUT, HEADER_TIMEOUT, LOOPBACK, ProxyGate, ProxyHeaders
from echo_app.proxy.header import LONGEST_HEADER
from echo_app.proxy.vectors import ProxyFacts, proxyFactsOf
from echo_app.stack.stack import Stack
from echo_app.stream.protocol import EchoFactory, EchoProtocol
from tests.support.fakes import PROXY, Transport, opened
from tests.support.properties import given

CLIENT = IPv4Address("TCP", "192.0.2.1", 4242)
TARGET = IPv4Address("TCP", "192.0.2.2", 8080)
LINE = b"PROXY TCP4 192.0.2.1 192.0.2.2 4242 8080\r\n"
UNKNOWN = b"PROXY UNKNOWN\r\n"
LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"


class RecordingProtocol(EchoProtocol):
    """An echo that notes what happens to it."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    def connectionMade(self) -> None:
        self.seen.append((self.transport.getPeer(), self.transport.getHost()))
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        self.seen.append(data)
        super().dataReceived(data)


class RecordingFactory(EchoFactory):
    """Makes them, and notes the addresses that it makes them for."""

    protocol = RecordingProtocol

    def __init__(self) -> None:
        self.addresses: list[object] = []

    def buildProtocol(self, addr: IAddress | None) -> IProtocol | None:  # type: ignore[override]
        self.addresses.append(addr)
        return super().buildProtocol(addr)


class GateTestCase(SynchronousTestCase):
    """With time, transports and counts of memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.limit()

    def limit(self, descriptorLimit: int | None = None, **limits: Any) -> None:
        """Sets other limits."""
        self.counts = ConnectionRegistry(
            Limits(**limits), self.clock.seconds, descriptorLimit=descriptorLimit
        )
        self.wrapped = RecordingFactory()
        self.factory = self.behindProxy(self.wrapped)

    def behindProxy(self, factory: IProtocolFactory, *trusted: Any) -> Stack:
        """Returns a stack with a gate for the header."""
        return Stack(factory, self.counts, proxy=ProxyHeaders(self.clock, trusted or LOOPBACK))

    def connect(self, data: bytes = b"", transport: Transport | None = None) -> Transport:
        """Connects a peer that sends data; returns the transport."""
        transport = Transport() if transport is None else transport
        transport.protocol = self.factory.buildProtocol(transport.getPeer())
        transport.protocol.makeConnection(transport)
        if data:
            transport.protocol.dataReceived(data)
        return transport

    def assertRefused(self, transport: Transport, **reasons: int) -> None:
        """Checks that a connection was reset, for these reasons so far, and that nothing is left of it."""
        self.assertTrue(transport.disconnected)
        self.assertEqual(transport.value(), b"")
        self.assertEqual(
            self.counts.refused.byReason, {name.replace("_", "-"): n for name, n in reasons.items()}
        )
        self.assertNothingLeft()

    def assertNothingLeft(self) -> None:
        """Checks that no connection and no timer is left."""
        self.assertEqual((self.counts.open, self.counts.perPeer), ({}, {}))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class InterfaceTests(GateTestCase):
    def test_interfaces(self) -> None:
        """The gate is a protocol that hears of half-closes."""
        gate = self.connect().protocol
        for interface in (IProtocol, IHalfCloseableProtocol):
            verifyClass(interface, ProxyGate)
            verifyObject(interface, gate)


class HandOverTests(GateTestCase):
    """From a header to the client's connection."""

    def test_addresses(self) -> None:
        """The next protocol is made for the client, and has its address when it is connected."""
        transport = self.connect(LINE)
        self.assertEqual(self.wrapped.addresses, [CLIENT])
        self.assertEqual(transport.protocol.seen, [(CLIENT, TARGET)])
        self.assertEqual((transport.getPeer(), transport.getHost()), (CLIENT, TARGET))

    def test_ownAddresses(self) -> None:
        """Without a client in the header the addresses stay the connection's own."""
        for header in (UNKNOWN, LOCAL):
            transport = self.connect(header)
            self.assertEqual(transport.protocol.seen, [(PROXY, transport.getHost())])
        self.assertEqual(self.wrapped.addresses, [PROXY, PROXY])

    def test_block(self) -> None:
        """Version 2 does the same, for other families too."""
        content = ipaddress.IPv6Address("2001:db8::1").packed * 2 + struct.pack("!HH", 1, 2)
        self.connect(LOCAL[:12] + struct.pack("!BBH", 0x21, 0x21, 36) + content)
        content = b"/client".ljust(108, b"\0") + b"/here".ljust(108, b"\0")
        self.connect(LOCAL[:12] + struct.pack("!BBH", 0x21, 0x31, 216) + content)
        self.assertEqual(
            self.wrapped.addresses, [IPv6Address("TCP", "2001:db8::1", 1), UNIXAddress(b"/client")]
        )

    def test_facts(self) -> None:
        """A header's facts are found from the transport; a header without any, behind it, has none."""
        content = bytes([192, 0, 2, 1, 192, 0, 2, 2]) + struct.pack("!HH", 4242, 8080) + b"\2\0\3abc"
        header = LOCAL[:12] + struct.pack("!BBH", 0x21, 0x11, len(content)) + content
        self.assertEqual(proxyFactsOf(self.connect(header)), ProxyFacts(authority="abc"))
        self.assertNotIn("proxyFacts", vars(self.connect(LINE)))
        inner = self.behindProxy(self.wrapped, networkOf("192.0.2.1"))
        self.factory = Stack(inner, proxy=ProxyHeaders(self.clock))
        self.assertIsNone(proxyFactsOf(self.connect(header + LINE)))

    def test_gone(self) -> None:
        """The gate leaves the path: no transport has it, and it has no timer; the connection is served."""
        transport = self.connect()
        gate = transport.protocol
        self.assertEqual((len(self.counts.open), self.counts.accepted), (1, 0))
        gate.dataReceived(LINE)
        self.assertIs(type(transport.protocol), RecordingProtocol)
        self.assertEqual((len(self.counts.open), self.counts.accepted), (1, 1))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        transport.end(ConnectionDone())
        self.assertNothingLeft()

    def test_rest(self) -> None:
        """Bytes after the header belong to the client, and no others do."""
        for header in (LINE, UNKNOWN, LOCAL):
            transport = self.connect(header + b"hello")
            self.assertEqual(transport.protocol.seen[1:], [b"hello"])
            self.assertEqual(transport.value(), b"hello")
            self.assertEqual(self.connect(header).protocol.seen[1:], [])

    @given(st.sampled_from([LINE, UNKNOWN, LOCAL]), st.binary(max_size=50), st.data())
    def test_pieces(self, header: bytes, rest: bytes, draw: st.DataObject) -> None:
        """However the stream is cut, the client gets all of its own bytes, in order."""
        stream = header + rest
        cuts = draw.draw(st.lists(st.integers(0, len(stream)), max_size=len(stream)))
        transport = self.connect()
        for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(stream)], strict=True):
            if begin < end:
                transport.protocol.dataReceived(stream[begin:end])
        self.assertEqual(transport.value(), rest)
        transport.end(ConnectionDone())
        self.assertNothingLeft()

    def test_halfClose(self) -> None:
        """A header, data and the end of the stream at once: all of it is echoed."""
        transport = self.connect(LINE + b"hello")
        transport.protocol.readConnectionLost()
        self.assertEqual(transport.value(), b"hello")
        self.assertTrue(transport.disconnecting)
        self.assertIsNone(transport.producer)

    def test_wrapper(self) -> None:
        """A transport that is a protocol wrapper, as over TLS, gets the next protocol as well."""
        wrapping = WrappingFactory(cast(Any, self.factory))
        transport = Transport()
        wrapper: Any = wrapping.buildProtocol(PROXY)
        wrapper.makeConnection(transport)
        wrapper.dataReceived(LINE + b"hello")
        self.assertEqual(wrapper.wrappedProtocol.seen, [(CLIENT, TARGET), b"hello"])

    def test_chain(self) -> None:
        """Gates can follow one another: the last header names the client."""
        inner = self.behindProxy(self.wrapped, networkOf("192.0.2.1"))
        self.factory = Stack(inner, proxy=ProxyHeaders(self.clock))
        transport = self.connect(LINE + b"PROXY TCP4 198.51.100.1 192.0.2.1 7 8\r\n" + b"hello")
        self.assertEqual(self.wrapped.addresses, [IPv4Address("TCP", "198.51.100.1", 7)])
        self.assertEqual(transport.value(), b"hello")

    def test_anyFactory(self) -> None:
        """Without a registry the stack has its own."""
        self.factory = Stack(Factory.forProtocol(EchoProtocol), proxy=ProxyHeaders(self.clock))
        transport = self.connect(LINE + b"hello")
        self.assertEqual(transport.value(), b"hello")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_noProtocol(self) -> None:
        """A factory that makes none has its connection reset."""

        class Closed(Factory):
            def buildProtocol(self, addr: object) -> None:
                return None

        self.factory = self.behindProxy(Closed())
        self.assertTrue(self.connect(LINE + b"hello").disconnected)

    def test_closesAtOnce(self) -> None:
        """A protocol that closes when it is connected hears of no data."""
        received: list[bytes] = []

        class Brief(Protocol):
            def connectionMade(self) -> None:
                self.transport.loseConnection()  # type: ignore[union-attr]

            def dataReceived(self, data: bytes) -> None:
                received.append(data)

        self.factory = self.behindProxy(Factory.forProtocol(Brief))
        self.connect(LINE + b"hello")
        self.assertEqual(received, [])

    def test_brokenFactory(self) -> None:
        """A factory that raises leaves nothing behind when its connection ends."""

        class Broken(RecordingFactory):
            def buildProtocol(self, addr: object) -> IProtocol | None:  # type: ignore[override]
                raise ZeroDivisionError

        self.factory = self.behindProxy(Broken())
        transport = self.connect()
        self.assertRaises(ZeroDivisionError, transport.protocol.dataReceived, LINE)
        transport.end(ConnectionLost())
        self.assertNothingLeft()

    def test_startAndStop(self) -> None:
        """The factory behind it is started and stopped with it."""
        calls = []
        self.wrapped.startFactory = lambda: calls.append("start")  # type: ignore[method-assign]
        self.wrapped.stopFactory = lambda: calls.append("stop")  # type: ignore[method-assign]
        self.factory.doStart()
        self.factory.doStop()
        self.assertEqual(calls, ["start", "stop"])


class BadHeaderTests(GateTestCase):
    def test_refused(self) -> None:
        """A stream without a header is reset, counted, and logged with the peer and its bytes, escaped."""
        with capturedLogs() as events:
            transport = self.connect(b"PROXY TCP4 6.6.6.6\x1b[2J 1.2.3.4 1 2\r\nhello")
        self.assertRefused(transport, bad_header=1)
        [event] = events
        self.assertIn("127.0.0.1:40000 sent", event["last"])
        self.assertIn("6.6.6.6\\x1b[2J", event["last"])
        self.assertTrue(event["last"].isprintable())
        self.assertEqual(self.wrapped.addresses, [])

    def test_oneLine(self) -> None:
        """A thousand of them are one line."""
        with capturedLogs() as events:
            for _ in range(1000):
                self.connect(b"GET / HTTP/1.1\r\n\r\n")
        self.assertEqual(len(events), 1)
        self.assertEqual(self.counts.refused.byReason, {"bad-header": 1000})

    def test_cutShort(self) -> None:
        """A stream that ends within its header is one."""
        transport = self.connect(LINE[:-1])
        transport.protocol.readConnectionLost()
        self.assertRefused(transport, bad_header=1)

    def test_longest(self) -> None:
        """The bytes that a gate holds are bounded by the longest possible header."""
        transport = self.connect(LOCAL[:14] + b"\xff\xff")
        for _ in range(LONGEST_HEADER - len(LOCAL) - 1):
            transport.protocol.dataReceived(b"x")
        self.assertIsInstance(transport.protocol, ProxyGate)
        transport.protocol.dataReceived(b"xhello")
        self.assertEqual(transport.value(), b"hello")

    @given(st.lists(st.binary(min_size=1, max_size=40), max_size=20))
    def test_anything(self, pieces: list[bytes]) -> None:
        """Any bytes raise nothing, and leave nothing."""
        transport = self.connect()
        for piece in pieces:
            if not transport.ended:
                transport.protocol.dataReceived(piece)
        transport.end(ConnectionLost())
        self.assertNothingLeft()


class QuietTests(GateTestCase):
    """Health checks."""

    def test_noByte(self) -> None:
        """A peer that connects and closes, or resets, leaves no line, and is no refusal."""
        with capturedLogs() as events:
            closed = self.connect()
            closed.protocol.readConnectionLost()
            self.assertTrue(closed.disconnecting)
            closed.end(ConnectionDone())
            self.connect().end(ConnectionLost())
        self.assertEqual(events, [])
        self.assertEqual((self.counts.accepted, self.counts.lost), (0, 0))
        self.assertEqual(self.counts.refused.byReason, {})
        self.assertNothingLeft()

    def test_headerAlone(self) -> None:
        """A peer that sends a header and closes leaves no line, and is no refusal."""
        with capturedLogs() as events:
            for header in (UNKNOWN, LOCAL, LINE):
                self.connect(header).end(ConnectionDone())
        self.assertEqual(events, [])
        self.assertNothingLeft()


class TimeoutTests(GateTestCase):
    def test_silence(self) -> None:
        """A peer that sends nothing is reset after a minute."""
        transport = self.connect()
        self.clock.advance(FIRST_BYTE_TIMEOUT - 0.1)
        self.assertFalse(transport.disconnected)
        self.clock.advance(0.1)
        self.assertTrue(transport.disconnected)
        self.assertEqual(self.counts.timedOut.byReason, {"header": 1})
        self.assertNothingLeft()

    def test_drip(self) -> None:
        """A header has five seconds from its first byte, also if more bytes come meanwhile."""
        transport = self.connect()
        self.clock.advance(FIRST_BYTE_TIMEOUT - 1)
        for byte in LINE[:5]:
            self.assertFalse(transport.disconnected)
            transport.protocol.dataReceived(bytes([byte]))
            self.clock.advance(HEADER_TIMEOUT / 5)
        self.assertTrue(transport.disconnected)
        self.assertEqual(self.counts.timedOut.byReason, {"header": 1})
        self.assertNothingLeft()

    def test_inTime(self) -> None:
        """A connection whose header is complete in time has no time-out afterwards."""
        transport = self.connect()
        self.clock.advance(FIRST_BYTE_TIMEOUT - 0.1)
        transport.protocol.dataReceived(LINE[:-1])
        self.clock.advance(HEADER_TIMEOUT - 0.1)
        transport.protocol.dataReceived(LINE[-1:])
        self.clock.advance(1000)
        transport.protocol.dataReceived(b"hello")
        self.assertEqual(transport.value(), b"hello")


class TrustTests(GateTestCase):
    def trust(self, *networks: str) -> None:
        """Names who may send a header."""
        self.factory = self.behindProxy(self.wrapped, *(networkOf(each) for each in networks))

    def isTrusted(self, address: IAddress) -> bool:
        return isinstance(opened(self.factory, address).protocol, ProxyGate)

    def test_default(self) -> None:
        """Without a word loopback and UNIX peers are trusted; IPv4-mapped ones are IPv4 peers."""
        for host, trusted in (
            ("127.0.0.1", True),
            ("127.255.0.9", True),
            ("192.0.2.1", False),
        ):
            self.assertEqual(self.isTrusted(IPv4Address("TCP", host, 1)), trusted, host)
            self.assertEqual(self.isTrusted(IPv6Address("TCP", f"::ffff:{host}", 1)), trusted, host)
        for host, trusted in (("::1", True), ("::2", False), ("fe80::1%lo", False)):
            self.assertEqual(self.isTrusted(IPv6Address("TCP", host, 1)), trusted, host)
        self.assertTrue(self.isTrusted(UNIXAddress(b"/x")))

    def test_networks(self) -> None:
        """Networks are trusted in place of loopback."""
        self.trust("192.0.2.0/24", "2001:db8::/32", "fe80::/10")
        for address, trusted in (
            (IPv4Address("TCP", "192.0.2.255", 1), True),
            (IPv6Address("TCP", "::ffff:192.0.2.1", 1), True),
            (IPv4Address("TCP", "192.0.3.0", 1), False),
            (IPv4Address("TCP", "127.0.0.1", 1), False),
            (IPv6Address("TCP", "2001:db8::1", 1), True),
            (IPv6Address("TCP", "fe80::1%lo", 1), True),
            (UNIXAddress(None), True),
        ):
            self.assertEqual(self.isTrusted(address), trusted, address)

    def test_text(self) -> None:
        """Networks may be given as text; a wrong one is an error at once."""
        self.factory = self.behindProxy(self.wrapped, "192.0.2.0/24")
        self.assertTrue(self.isTrusted(IPv4Address("TCP", "192.0.2.1", 1)))
        self.assertRaises(ValueError, ProxyHeaders, self.clock, ["192.0.2.1/24"])

    def test_refused(self) -> None:
        """A peer that is not trusted is reset before it is read from, and said, once a minute."""
        self.trust("192.0.2.0/24")
        with capturedLogs() as events:
            for _ in range(10):
                transport = self.connect()
        self.assertRefused(transport, untrusted_proxy=10)
        self.assertEqual(
            [event["last"] for event in events], [" (the last one: 127.0.0.1:40000 is not trusted)"]
        )


class LimitsTests(GateTestCase):
    """Caps count pending connections, and then clients."""

    def test_all(self) -> None:
        """Pending connections count towards the cap on all, and one is not counted twice."""
        self.limit(maxConnections=2)
        first, second = self.connect(), self.connect()
        self.assertTrue(self.connect().disconnected)
        first.protocol.dataReceived(LINE + b"hello")
        self.assertEqual(first.value(), b"hello")
        self.assertTrue(self.connect().disconnected)
        self.assertEqual(self.counts.refused.byReason, {"max-connections": 2})
        second.end(ConnectionDone())
        self.assertFalse(self.connect().disconnected)

    def test_byClient(self) -> None:
        """The cap by peer is the client's, not the proxy's; one too many is reset, its bytes unanswered."""
        self.limit(maxConnectionsPerPeer=1)
        other = LINE.replace(b"192.0.2.1", b"192.0.2.9")
        one, two = self.connect(LINE), self.connect(other)
        third = self.connect(LINE + b"hello")
        self.assertTrue(third.disconnected)
        self.assertEqual(third.value(), b"")
        self.assertEqual(self.counts.refused.byReason, {"max-connections-per-peer": 1})
        self.assertEqual(self.counts.perPeer, {"192.0.2.1": 1, "192.0.2.9": 1})
        for transport in (one, two):
            transport.end(ConnectionDone())
        self.assertNothingLeft()

    def test_descriptors(self) -> None:
        """A connection whose descriptor comes near the limit is reset, and leaves nothing."""
        self.limit(descriptorLimit=100)
        transport = self.connect(transport=Transport(number=100 - RESERVED_DESCRIPTORS))
        self.assertRefused(transport, descriptors=1)

    def test_refusals(self) -> None:
        """A peer that is refused at the accept gets no gate."""
        self.limit(maxConnections=1)
        self.connect()
        self.assertIsInstance(self.factory.buildProtocol(PROXY), Refusal)

    def test_drainWaits(self) -> None:
        """A waiter for the last connection is not told between a header and its connection's end."""
        transport = self.connect()
        waiting = self.counts.whenEmpty()
        transport.protocol.dataReceived(LINE)
        self.assertNoResult(waiting)
        transport.end(ConnectionDone())
        self.successResultOf(waiting)

    def test_drainEnds(self) -> None:
        """A waiter for the last connection is told of the client's refusal, or of an earlier end."""
        self.limit(maxConnectionsPerPeer=1)
        self.connect(LINE).protocol.connections = None
        self.counts.open.clear()
        transport = self.connect()
        waiting = self.counts.whenEmpty()
        transport.protocol.dataReceived(LINE)
        self.assertTrue(transport.disconnected)
        self.successResultOf(waiting)
        transport = self.connect()
        waiting = self.counts.whenEmpty()
        transport.end(ConnectionLost())
        self.successResultOf(waiting)

    def test_finish(self) -> None:
        """The ``finish`` of a drain or an idle time-out closes a gate."""
        transport = self.connect(LINE[:10])
        transport.protocol.finish()
        self.assertTrue(transport.disconnecting)
