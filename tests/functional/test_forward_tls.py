"""Forwarding to upstreams over TLS: real sockets, and upstreams by Python's ssl, OpenSSL and ourselves."""

from __future__ import annotations

# By its name alone it would be trial's, for the whole module.
import contextlib
import os
import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import Factory
from twisted.internet.threads import deferToThread

from echo_app.forward.forwarder import ForwardFactory
from echo_app.forward.legs import ClientLeg
from echo_app.forward.proxyheader import proxyHeader
from echo_app.forward.tlsendpoint import TLSUpstreamEndpoint
from echo_app.forward.upstream import UpstreamEndpoint
from echo_app.proxy.header import parseHeader
from echo_app.targets import ClientTLS, parseTarget
from echo_app.tls.connection import TLSConnection
from echo_app.tls.server import ServerTLS
from echo_app.transport.direct import setTransport
from tests.support.certificates import Authority
from tests.support.service import PATIENCE, ServiceTestCase, needs, receiveAll
from tests.support.tls import VERSIONS, TLSPeer

MUCH = 10_000_000

# Bytes that nothing between a client and an upstream holds: kernel's queues, 4 MiB each at the most by
# default, and buffers of ours.
TOO_MUCH = 64 << 20

# Seconds without room after which a stream is taken for blocked.
BLOCKED = 1.0


class ForwardTLSTestCase(ServiceTestCase):
    """A forwarder in this process, whose reactor runs while clients and upstreams block in threads."""

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.authority = Authority(Path(self.mktemp()))
        self.settings = ClientTLS(authority=self.authority.path)

    def context(self, version: ssl.TLSVersion | None = None, until: datetime | None = None) -> ssl.SSLContext:
        """Returns the context of an upstream whose certificate the authority has signed."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.authority.issue("server", until=until))
        if version is not None:
            context.minimum_version = context.maximum_version = version
        return context

    def upstream(self, serve: Callable[[socket.socket], Any]) -> Deferred[Any]:
        """Serves one connection in a thread; returns what that results in."""
        listening = self.closedLater(socket.create_server(("127.0.0.1", 0)))
        listening.settimeout(PATIENCE)
        self.port = listening.getsockname()[1]

        def run() -> Any:
            sock, _ = listening.accept()
            sock.settimeout(PATIENCE)
            with sock:
                return serve(sock)

        return deferToThread(run)

    def forward(
        self,
        host: str = "localhost",
        timeout: float = PATIENCE,
        over: Callable[[IProtocol], IProtocol] = lambda leg: leg,
        header: Callable[[ClientLeg], bytes] | None = None,
    ) -> None:
        """Listens, and forwards to the upstream's port.

        :param over: puts a layer below the client's leg.
        :param header: returns what is sent first.
        """
        below = UpstreamEndpoint(self.reactor, self.reactor, parseTarget(f"tls://127.0.0.1:{self.port}"))
        self.endpoint = TLSUpstreamEndpoint(below, self.settings, host, self.reactor, timeout)
        self.factory = ForwardFactory(self.endpoint, self.reactor, header=header)
        listening: Any = Factory()
        listening.noisy = False
        listening.buildProtocol = lambda address: over(self.factory.buildProtocol(address))
        port = self.reactor.listenTCP(0, listening, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.assertTrue(setTransport(port, isDirect=True))
        self.address = ("127.0.0.1", port.getHost().port)

    def client(self, work: Callable[[socket.socket], Any]) -> Deferred[Any]:
        """Works on a client's connection in a thread."""
        return deferToThread(lambda: work(self.connect(self.address)))


def finish(sock: socket.socket, data: bytes) -> None:
    """Sends data, and the end of the stream."""
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


def fill(send: Callable[[], int]) -> int:
    """Sends until nothing moves for a second; returns the number of bytes."""
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < TOO_MUCH:
            sent += send()
    return sent


class StreamTests(ForwardTLSTestCase):
    """Streams and their ends."""

    async def test_clientEndsFirst(self) -> None:
        """The client's end is our close_notify, then our FIN; the upstream's stream goes on until its own."""
        there, back = os.urandom(MUCH), os.urandom(MUCH)
        for version in VERSIONS:

            def serve(sock: socket.socket, version: ssl.TLSVersion = version) -> Any:
                peer = TLSPeer(sock, self.context(version), isServer=True).shake()
                received = peer.receiveAll()
                rest = peer.receiveRest()
                peer.send(back)
                finish(sock, peer.end())
                return received == there, peer.isEnded, rest

            def work(sock: socket.socket) -> bool:
                finish(sock, there)
                return receiveAll(sock) == back

            serving = self.upstream(serve)
            self.forward()
            self.assertTrue(await self.client(work))
            self.assertEqual(await serving, (True, True, b""))
            self.assertEqual(self.endpoint.tls.truncated, 0)

    async def test_upstreamEndsFirst(self) -> None:
        """The upstream's close_notify, or its FIN alone, ends its stream only; the client's goes on."""
        there, back = os.urandom(MUCH), os.urandom(MUCH)
        for version in VERSIONS:
            for isByFIN in (False, True):
                answered = threading.Event()

                def serve(
                    sock: socket.socket,
                    version: ssl.TLSVersion = version,
                    isByFIN: bool = isByFIN,
                    answered: threading.Event = answered,
                ) -> Any:
                    peer = TLSPeer(sock, self.context(version), isServer=True).shake()
                    peer.send(back)
                    if isByFIN:
                        sock.shutdown(socket.SHUT_WR)
                    else:
                        sock.sendall(peer.end())
                    answered.wait(PATIENCE)
                    return peer.receiveAll() == there, peer.isEnded

                def work(sock: socket.socket, answered: threading.Event = answered) -> bool:
                    received = receiveAll(sock)
                    answered.set()
                    finish(sock, there)
                    return received == back

                serving = self.upstream(serve)
                self.forward()
                self.assertTrue(await self.client(work))
                self.assertEqual(await serving, (True, True))
                self.assertEqual(self.endpoint.tls.truncated, int(isByFIN))

    async def test_ourselves(self) -> None:
        """An echo service over TLS echoes 10 MB to a client that sends and receives at once."""
        certificate, key = self.authority.issue("server")
        server = self.serve("--tls", "0", "--certificate", certificate, "--key", key)
        self.port = server.address("tls")[1]
        data = os.urandom(MUCH)

        def work(sock: socket.socket) -> bool:
            sender = threading.Thread(target=finish, args=(sock, data), daemon=True)
            sender.start()
            received = receiveAll(sock)
            sender.join(PATIENCE)
            return received == data

        self.forward()
        self.assertTrue(await self.client(work))

    async def test_openssl(self) -> None:
        """OpenSSL's server answers line by line, and sees the end of the stream."""
        needs("openssl")
        certificate, key = self.authority.issue("server")
        command = ["openssl", "s_server", "-accept", "127.0.0.1:0", "-rev", "-naccept", "1"]
        server = subprocess.Popen(
            [*command, "-cert", certificate, "-key", key],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.addCleanup(server.communicate)
        self.addCleanup(server.kill)
        assert server.stdout is not None
        found = None
        while found is None:
            found = re.match(r"ACCEPT .*:(\d+)$", server.stdout.readline())
        self.port = int(found[1])

        def work(sock: socket.socket) -> bytes:
            sock.sendall(b"hello\n")
            answer = sock.recv(100)
            sock.shutdown(socket.SHUT_WR)
            return answer + receiveAll(sock)

        self.forward()
        self.assertEqual(await self.client(work), b"olleh\n")
        self.assertEqual(await deferToThread(server.wait, PATIENCE), 0)

    async def test_pushBackOfUpstream(self) -> None:
        """The sending of a client stops while its upstream does not read, and nothing is lost."""
        filled = threading.Event()

        def serve(sock: socket.socket) -> int:
            peer = TLSPeer(sock, self.context(), isServer=True).shake()
            filled.wait(PATIENCE)
            received = len(peer.receiveAll())
            finish(sock, peer.end())
            return received

        def work(sock: socket.socket) -> int:
            sock.settimeout(BLOCKED)
            sent = fill(lambda: sock.send(bytes(1 << 16)))
            filled.set()
            sock.shutdown(socket.SHUT_WR)
            sock.settimeout(PATIENCE)
            receiveAll(sock)
            return sent

        serving = self.upstream(serve)
        self.forward()
        sent = await self.client(work)
        self.assertLess(sent, TOO_MUCH)
        self.assertEqual(await serving, sent)

    async def test_pushBackOfClient(self) -> None:
        """The sending of an upstream stops while its client does not read, and nothing is lost."""
        filled = threading.Event()

        def serve(sock: socket.socket) -> int:
            peer = TLSPeer(sock, self.context(), isServer=True).shake()
            sock.settimeout(BLOCKED)
            sealed, sent = b"", 0
            with contextlib.suppress(TimeoutError):
                while sent < TOO_MUCH:
                    sealed = sealed or peer.sealed(bytes(1 << 14))
                    count = sock.send(sealed)
                    sealed, sent = sealed[count:], sent + (1 << 14) * (count == len(sealed))
            filled.set()
            sock.settimeout(PATIENCE)
            sock.sendall(sealed)
            finish(sock, peer.end())
            peer.receiveAll()
            return sent + (1 << 14) * bool(sealed)

        def work(sock: socket.socket) -> int:
            filled.wait(PATIENCE)
            received = len(receiveAll(sock))
            sock.shutdown(socket.SHUT_WR)
            return received

        serving = self.upstream(serve)
        self.forward()
        received = await self.client(work)
        self.assertEqual(await serving, received)
        self.assertLess(received, TOO_MUCH)


class HandshakeTests(ForwardTLSTestCase):
    """Upstreams with which there is no handshake."""

    async def assertRefused(self, reason: str, serving: Deferred[Any], expected: object) -> None:
        """Asserts that the client is reset, that this is counted, and what the upstream sees."""

        told: list[tuple[str, str]] = []
        self.patch(self.factory.unreached, "add", lambda *each: told.append(each))
        self.assertIs(await deferToThread(self.outcome), ConnectionResetError)
        self.assertEqual(await serving, expected)
        ((name, text),) = told
        self.assertEqual(name, "tls")
        self.assertIn(reason, text)

    def outcome(self) -> type[Exception] | bytes:
        """Returns what a client receives, or how it fails; a reset may come before connect() returns."""
        try:
            sock = self.connect(self.address)
            sock.sendall(b"early")
            return receiveAll(sock)
        except OSError as error:
            return type(error)

    def shaken(self, context: ssl.SSLContext) -> Callable[[socket.socket], str | None]:
        """Returns an upstream that tells by which alert the handshake was refused."""

        def serve(sock: socket.socket) -> str | None:
            try:
                peer = TLSPeer(sock, context, isServer=True).shake()
                peer.receive(1)
            except ssl.SSLError as error:
                # The connection ends behind the alert.
                self.assertEqual(sock.recv(1), b"")
                return error.reason
            return None

        return serve

    async def test_untrusted(self) -> None:
        """A certificate that another authority has signed is refused by an alert."""
        self.settings = ClientTLS(authority=Authority(Path(self.mktemp()), "other").path)
        serving = self.upstream(self.shaken(self.context()))
        self.forward()
        await self.assertRefused("issuer", serving, "TLSV1_ALERT_UNKNOWN_CA")

    async def test_name(self) -> None:
        """A certificate for another name is refused by an alert."""
        serving = self.upstream(self.shaken(self.context()))
        self.forward("echo.example")
        await self.assertRefused("not valid for 'echo.example'", serving, "SSLV3_ALERT_BAD_CERTIFICATE")

    async def test_expired(self) -> None:
        """A certificate that is too old is refused by an alert."""
        context = self.context(until=datetime.now(UTC) - timedelta(hours=1))
        serving = self.upstream(self.shaken(context))
        self.forward()
        await self.assertRefused("expired", serving, "SSLV3_ALERT_CERTIFICATE_EXPIRED")

    async def test_silent(self) -> None:
        """An upstream that does not answer is left at the time-out."""

        def serve(sock: socket.socket) -> object:
            try:
                while sock.recv(1 << 16):
                    pass
            except ConnectionResetError:
                return "reset"
            return "end"

        serving = self.upstream(serve)
        self.forward(timeout=0.3)
        await self.assertRefused("not complete within 0.3 s", serving, "reset")

    async def test_closes(self) -> None:
        """An upstream that closes in the handshake is told apart."""
        serving = self.upstream(lambda sock: len(sock.recv(1 << 16)) > 0)
        self.forward()
        await self.assertRefused("the server closed the connection", serving, True)

    async def test_noTLS(self) -> None:
        """An upstream without TLS is told apart."""
        serving = self.upstream(lambda sock: sock.sendall(b"220 mail.example ESMTP\r\n"))
        self.forward()
        await self.assertRefused("wrong version number", serving, None)

    async def test_ourCertificate(self) -> None:
        """An upstream that refuses us behind the handshake, as under TLS 1.3, resets the client."""
        context = self.context()
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(self.authority.path)

        def serve(sock: socket.socket) -> None:
            # Unlike a TLSPeer, this sends the alert.
            self.assertRaises(ssl.SSLError, context.wrap_socket, sock, server_side=True)

        serving = self.upstream(serve)
        self.forward()

        self.assertIs(await deferToThread(self.outcome), ConnectionResetError)
        await serving
        self.assertEqual(dict(self.endpoint.tls.failures.byReason), {"tlsv13-alert-certificate-required": 1})


class HeaderTests(ForwardTLSTestCase):
    """The PROXY header that an upstream gets first."""

    async def test_overTLS(self) -> None:
        """It names the client and its TLS, before the TLS to the upstream, in which the stream follows."""

        def serve(sock: socket.socket) -> bytes:
            # The signature's 12 bytes, version, family, and the length of the rest in two bytes.
            beginning = sock.recv(16, socket.MSG_WAITALL)
            header = beginning + sock.recv(int.from_bytes(beginning[14:], "big"), socket.MSG_WAITALL)
            peer = TLSPeer(sock, self.context(), isServer=True).shake()
            received = peer.receiveAll()
            finish(sock, peer.end())
            return header + received

        def work(sock: socket.socket) -> tuple[str, int]:
            peer = TLSPeer(sock).shake()
            sock.sendall(peer.sealed(b"hello") + peer.end())
            peer.receiveAll()
            name: tuple[str, int] = sock.getsockname()
            return name

        serving = self.upstream(serve)
        tls = ServerTLS(self.reactor)
        self.forward(
            over=lambda leg: TLSConnection(tls, leg), header=lambda leg: proxyHeader(leg.transport, "v2")
        )
        host, port = await self.client(work)
        received = await serving
        header = parseHeader(received)
        assert header is not None
        assert header.facts is not None
        self.assertEqual(header.source, IPv4Address("TCP", host, port))
        self.assertEqual(header.destination, IPv4Address("TCP", *self.address))
        self.assertEqual((header.facts.tlsFlags, header.facts.tlsVersion), (("tls",), "TLSv1.3"))
        self.assertEqual(received[header.size :], b"hello")
