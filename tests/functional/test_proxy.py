"""Streams behind a PROXY header that the test sends: docs/dev/contract.rst holds for them."""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import socket
import ssl
import struct
import time
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    UNIXClientEndpoint,
    UNIXServerEndpoint,
    connectProtocol,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from echo_app.connections.limits import Limits
from echo_app.proxy.gate import ProxyHeaders
from echo_app.service.echoservice import EchoService
from echo_app.service.listeners import Listener
from echo_app.testing import EchoProcess
from tests.functional.test_backpressure import KIBI, OFFER, PER_PEER, WARM, Offer, residentBytes
from tests.support.kernel import waitForCut, waitUntil
from tests.support.service import (
    AT_ONCE,
    PATIENCE,
    ServiceTestCase,
    exchanged,
    receiveAll,
    sendAndEnd,
    startSending,
    stopCounts,
)
from tests.support.tls import TLSPeer

LOOP = 100
CROWD = 100

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL = SIGNATURE + b"\x20\0\0\0"


def line(client: str = "192.0.2.1") -> bytes:
    """Returns a header of version 1 that names a client."""
    family, here = ("TCP6", "::1") if ":" in client else ("TCP4", "127.0.0.1")
    return f"PROXY {family} {client} {here} 4242 8080\r\n".encode()


def block(client: str = "192.0.2.1") -> bytes:
    """Returns a header of version 2, with a vector, that names a client."""
    address = ipaddress.ip_address(client)
    family = 0x11 if address.version == 4 else 0x21
    content = address.packed * 2 + struct.pack("!HH", 4242, 8080) + b"\x04\0\x03abc"
    return SIGNATURE + struct.pack("!BBH", 0x21, family, len(content)) + content


def blockWith(vectors: bytes) -> bytes:
    """Returns a header of version 2 with these vectors."""
    content = bytes([192, 0, 2, 1] * 2) + struct.pack("!HH", 4242, 8080) + vectors
    return SIGNATURE + struct.pack("!BBH", 0x21, 0x11, len(content)) + content


HEADERS = (line(), block(), line("2001:db8::1"), block("2001:db8::1"), b"PROXY UNKNOWN\r\n", LOCAL)


class ProxyTestCase(ServiceTestCase):
    """With services that expect a header."""

    def proxied(self, *options: str) -> EchoProcess:
        """Starts one, on 127.0.0.1."""
        return self.serve("--port", "0", "--proxy-protocol", *options)

    def enter(self, server: EchoProcess, header: bytes) -> socket.socket:
        """Connects a client that is served."""
        peer = self.connect(server.address())
        peer.sendall(header + b"?")
        self.assertEqual(peer.recv(2), b"?")
        return peer

    def assertReset(self, server: EchoProcess, data: bytes) -> None:
        """Connects a peer that sends this, and is reset without an answer."""
        try:
            peer = self.connect(server.address())
            peer.sendall(data)
        except (ConnectionResetError, BrokenPipeError):
            # A peer that is refused for its address may see the reset so soon.
            return
        self.assertIn(waitForCut(peer), (104, 32))


class HalfCloseTests(ProxyTestCase):
    def test_oneSegment(self) -> None:
        """Header, data and FIN in one segment: all of the data come back, and none of the header."""
        server = self.proxied()
        for size in (0, 1, 50_000):
            data = os.urandom(size)
            for header in HEADERS:
                lost = 0
                for _ in range(LOOP // 2):
                    peer = self.connect(server.address())
                    sendAndEnd(peer, header + data)
                    lost += receiveAll(peer) != data
                    peer.close()
                self.assertEqual(lost, 0, (size, header))

    def test_byteByByte(self) -> None:
        """A header that comes in segments of one byte."""
        server = self.proxied()
        for header in HEADERS:
            peer = self.connect(server.address())
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in header:
                peer.send(bytes([byte]))
            self.assertEqual(exchanged(peer, b"hello"), b"hello")

    def test_lateReader(self) -> None:
        """64 MiB and the end of the stream, to a peer that begins to read late, come back whole."""
        server = self.proxied()
        data = os.urandom(64 << 20)
        for header in (line(), block()):
            peer = self.connect(server.address())
            sender = startSending(peer, header + data)
            sender.join(1.0)
            self.assertTrue(sender.is_alive())
            self.assertTrue(receiveAll(peer) == data)
            sender.join(PATIENCE)
        counts = stopCounts(server)
        self.assertEqual((counts["connections"], counts["aborted"], counts["lost"]), (2, 0, 0))

    def test_urgent(self) -> None:
        """Urgent data behind a header are bytes like the others."""
        server = self.proxied()
        peer = self.connect(server.address())
        peer.sendall(line() + b"ab")
        peer.send(b"!", socket.MSG_OOB)
        self.assertEqual(exchanged(peer, b"cd"), b"ab!cd")


class MemoryTests(ProxyTestCase):
    def test_neverReading(self) -> None:
        """A peer that never reads costs no more with a header than without, and loses nothing."""
        server = self.proxied()
        warm = Offer(self.enter(server, line()))
        warm.push(0.1, WARM)
        self.assertTrue(warm.isReturned())
        before = residentBytes(server.pid)
        offers = [Offer(self.enter(server, line())) for _ in range(8)]
        for offer in offers:
            offer.push(0.2)
            self.assertLess(offer.taken, OFFER)
        self.assertLess(residentBytes(server.pid) - before, 8 * PER_PEER)
        self.assertEqual([offer.isReturned() for offer in offers], [True] * 8)

    def test_longestHeaders(self) -> None:
        """Peers that hold back the last byte of the longest header cost as much at the most."""
        server = self.proxied()
        header = SIGNATURE + b"\x20\0\xff\xff" + bytes(0xFFFF)
        self.enter(server, header)
        before = residentBytes(server.pid)
        peers = [self.connect(server.address()) for _ in range(32)]
        for peer in peers:
            peer.sendall(header[:-1])
        self.enter(server, line())
        self.assertLess(residentBytes(server.pid) - before, 32 * PER_PEER + KIBI * KIBI)
        for peer in peers:
            self.assertEqual(exchanged(peer, b"\0hello"), b"hello")


class TrustTests(ProxyTestCase):
    def test_badHeaders(self) -> None:
        """A wrong header is reset, and logged in one printable line a minute."""
        server = self.proxied()
        self.assertReset(server, b"PROXY TCP4 6.6.6.6\x1b[2J 1.2.3.4 1 2\r\nhello")
        for data in (
            b"hello\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01\x02\0",
            line()[:-1] + b"x" * 200,
        ):
            self.assertReset(server, data)
        self.assertReset(server, SIGNATURE + b"\x21\x11\0\x0b")
        self.enter(server, line())
        self.closePeers()
        self.assertEqual(stopCounts(server)["refused"], 6)
        self.assertIn("6.6.6.6\\x1b[2J", server.log())
        self.assertEqual(server.log().count("bad-header"), 1, server.log())
        self.assertNotIn("Traceback", server.log())

    def test_badVectors(self) -> None:
        """A malformed vector resets its own connection, and leaves the others alone."""
        server = self.proxied("--responder", "peer")
        other = self.connect(server.address())
        other.sendall(blockWith(b"\x02\0\x06\x1b[2J\xff\n"))
        told = other.makefile("rb").readline()
        self.assertTrue(told[:-1].isascii() and told[:-1].decode().isprintable(), told)
        self.assertEqual(json.loads(told)["header"]["authority"], "\x1b[2J\\xff\n")
        for wrong in (b"\x20\0\x01\x01", b"\x05\0\x81" + bytes(129), b"\x01\0\x02h2" * 2, b"\x02\0\x09short"):
            self.assertReset(server, blockWith(wrong) + b"hello")
        self.assertEchoes(other, b"?")
        self.closePeers()
        self.assertEqual(stopCounts(server)["refused"], 4)
        self.assertNotIn("Traceback", server.log())

    def test_trusted(self) -> None:
        """Peers of the networks that are named may send a header, others are reset."""
        server = self.proxied("--trust-proxy", "127.0.0.2", "--trust-proxy", "2001:db8::/32")
        with socket.create_connection(server.address(), PATIENCE, ("127.0.0.2", 0)) as peer:
            self.assertEqual(exchanged(peer, line() + b"hello"), b"hello")
        self.assertReset(server, b"")
        self.assertEqual(stopCounts(server)["refused"], 1)
        self.assertEqual(server.log().count("127.0.0.1:"), 2, server.log())

    def test_quiet(self) -> None:
        """Connections without a byte, and headers without a stream, leave no line; resets neither."""
        server = self.proxied()
        lines = server.log().count("\n")
        for header in (b"", LOCAL, line(), b"PROXY UNKNOWN\r\n"):
            for reset in (False, True):
                peer = self.connect(server.address())
                if header:
                    peer.sendall(header)
                if reset:
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                peer.close()
        self.enter(server, line()).close()
        self.assertEqual(server.log().count("\n"), lines, server.log())


class LimitsTests(ProxyTestCase):
    def test_byClient(self) -> None:
        """The cap by peer counts clients, by IPv4 address or IPv6 /64, and not the proxy."""
        server = self.proxied("--max-connections-per-peer", "1")
        inside = [self.enter(server, header) for header in (line("192.0.2.1"), block("2001:db8::1"))]
        for header in (block("192.0.2.1"), line("::ffff:192.0.2.1"), line("2001:db8::2")):
            self.assertReset(server, header + b"?")
        self.enter(server, line("192.0.2.2"))
        inside[0].shutdown(socket.SHUT_WR)
        self.assertEqual(receiveAll(inside[0]), b"")
        self.enter(server, line("192.0.2.1"))
        self.closePeers()
        self.assertEqual(stopCounts(server)["refused"], 3)

    def test_pending(self) -> None:
        """Connections whose header does not come count towards the cap on all."""
        server = self.proxied("--max-connections", "10")
        pending = [self.connect(server.address()) for _ in range(9)]
        pending[0].sendall(line()[:10])
        inside = self.enter(server, line())
        self.assertReset(server, line())
        pending.pop().close()
        self.assertTrue(waitUntil(lambda: self._isServed(server)))
        self.assertEchoes(inside, b"?")

    def _isServed(self, server: EchoProcess) -> bool:
        peer = self.connect(server.address())
        try:
            peer.sendall(line() + b"?")
            return peer.recv(1) == b"?"
        except ConnectionError:
            return False

    def test_idle(self) -> None:
        """An idle time-out holds before the header and after it."""
        server = self.proxied("--idle-timeout", "1")
        waiting, served = self.connect(server.address()), self.enter(server, line())
        self.assertEqual((receiveAll(waiting), receiveAll(served)), (b"", b""))
        self.assertEqual(stopCounts(server)["timed out"], 2)


class StopTests(ProxyTestCase):
    def test_silent(self) -> None:
        """Peers that have sent no header, or half of one, get an end, and do not hold up the exit."""
        server = self.proxied("--drain-timeout", "30")
        peers = [self.connect(server.address()) for _ in range(CROWD)]
        for peer in peers[::2]:
            peer.sendall(line()[:10])
        self.enter(server, line())
        start = time.monotonic()
        server.signal(signal.SIGTERM)
        self.assertEqual([receiveAll(peer) for peer in peers], [b""] * CROWD)
        self.assertEqual(server.wait(), -signal.SIGTERM)
        self.assertLess(time.monotonic() - start, AT_ONCE)
        self.assertIn("0 aborted", server.log())

    def test_queued(self) -> None:
        """Headers and data that wait in the kernel's queues at the signal are answered."""
        server = self.proxied()
        data = os.urandom(10_000)
        accepted = [self.connect(server.address()) for _ in range(20)]
        self.enter(server, line())
        server.signal(signal.SIGSTOP)
        queued = [self.connect(server.address()) for _ in range(20)]
        for peer in accepted + queued:
            sendAndEnd(peer, line() + data)
        server.signal(signal.SIGTERM)
        server.signal(signal.SIGCONT)
        self.assertEqual([p for p in accepted + queued if receiveAll(p) != data], [])
        self.assertEqual(server.wait(), -signal.SIGTERM)

    def test_transfer(self) -> None:
        """A transfer of 16 MiB that is under way at the signal is whole."""
        server = self.proxied("--drain-timeout", "20")
        data = os.urandom(16 << 20)
        peer = self.connect(server.address())
        sender = startSending(peer, block() + data)
        self.assertTrue(peer.recv(1, socket.MSG_PEEK))
        server.signal(signal.SIGTERM)
        self.assertTrue(receiveAll(peer) == data)
        sender.join(PATIENCE)
        server.wait()


class TLSTests(ProxyTestCase):
    """TLS begins behind the header."""

    def test_oneSegment(self) -> None:
        """Header and ClientHello in one segment; the cap by peer counts clients."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        server = self.serve("--tls", "0", "--proxy-protocol", "--max-connections-per-peer", "1")
        for header in HEADERS[::2]:
            peer = self.connect(server.address("tls"))
            peer.send(header, socket.MSG_MORE)
            with context.wrap_socket(peer) as wrapped:
                self.assertEchoes(wrapped, b"hello")
                again = self.connect(server.address("tls"))
                with self.assertRaises((ConnectionError, ssl.SSLEOFError)):
                    again.send(header, socket.MSG_MORE)
                    TLSPeer(again).shake()
        self.assertEqual(stopCounts(server)["refused"], 3)

    def test_noHeader(self) -> None:
        """A ClientHello without a header is reset."""
        server = self.serve("--tls", "0", "--proxy-protocol")
        with self.assertRaises(OSError):
            ssl._create_unverified_context().wrap_socket(self.connect(server.address("tls")))
        self.assertEqual(stopCounts(server)["refused"], 1)


class InheritedHalfCloseTests(HalfCloseTests):
    """Half-closes behind a header, on Twisted's own path."""

    always = ("--no-direct",)


class InheritedMemoryTests(MemoryTests):
    """Memory behind a header, on Twisted's own path."""

    always = ("--no-direct",)


class InheritedStopTests(StopTests):
    """A stop behind a header, on Twisted's own path."""

    always = ("--no-direct",)


class Client(Protocol):
    """Sends, ends its stream, and keeps the answer.

    :ivar received: fires with it at the end.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._chunks: list[bytes] = []
        self.received: Deferred[bytes] = Deferred()

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self._data)
        self.transport.loseWriteConnection()  # type: ignore[attr-defined]

    def dataReceived(self, data: bytes) -> None:
        self._chunks.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.received.callback(b"".join(self._chunks))


class EndpointTests(TestCase):
    """In a program of one's own, on the reactor's transports over TCP and UNIX sockets."""

    timeout = 30

    async def _check(self, endpoint: Any, connect: Any, size: int = 300_000) -> None:
        """Half-closes behind a header, in a service with two transports."""
        clock: Any = reactor
        service = EchoService(
            clock,
            [Listener(endpoint, proxy=ProxyHeaders(clock))],
            limits=Limits(maxConnections=1, maxConnectionsPerPeer=1),
        )
        service.startService()
        self.addCleanup(service.stopService)
        [host] = service.getHosts()
        data = os.urandom(size)
        for header in HEADERS:
            client = Client(header + data)
            await connectProtocol(connect(host), client)
            received = await client.received
            self.assertTrue(received == data, header)
        self.assertEqual((service.snapshot().accepted, service.snapshot().lost), (len(HEADERS), 0))

    async def test_tcp(self) -> None:
        """Over TCP everything comes back."""

        await self._check(
            TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"),
            lambda host: TCP4ClientEndpoint(reactor, "127.0.0.1", host.port),
        )

    async def test_unix(self) -> None:
        """Over a UNIX socket everything comes back."""
        path = self.mktemp()
        await self._check(UNIXServerEndpoint(reactor, path), lambda host: UNIXClientEndpoint(reactor, path))
