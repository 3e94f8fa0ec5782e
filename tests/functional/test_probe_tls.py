"""The probe's checks of TLS, and of services that speak another protocol, over sockets."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from echo_app.probe.checks.handshake import Handshakes
from echo_app.probe.net.chain import Presented, presented
from echo_app.probe.net.stream import connect
from echo_app.probe.results.severity import Severity
from echo_app.targets import ClientTLS, parseTarget
from tests.support.certificates import Authority
from tests.support.probing import Examined, context, examined
from tests.support.service import PATIENCE, ServiceTestCase

FAIL, WARN = Severity.FAIL, Severity.WARN


class TLSTestCase(ServiceTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.folder = Path(self.mktemp())
        self.root = Authority(self.folder)
        self.between = Authority(self.folder, "between", self.root)

    def served(self, certificate: str, key: str, *options: str) -> str:
        """Starts our service with a certificate; returns the target."""
        server = self.serve("--tls", "0", "--certificate", certificate, "--key", key, *options)
        return f"tls://localhost:{server.address('tls')[1]}"

    async def examined(self, target: str, *checks: str, **tls: Any) -> Examined:
        """Examines a target whose authority is trusted."""
        return await examined(context(target, tls=ClientTLS(self.root.path, **tls)), *checks)

    def peer(self, makeContext: Callable[[], ssl.SSLContext]) -> str:
        """Starts an echo over TLS whose connections each get a context of their own; returns the target."""
        listener = socket.create_server(("127.0.0.1", 0))

        def serve(sock: socket.socket) -> None:
            with sock, contextlib.suppress(OSError), makeContext().wrap_socket(sock, server_side=True) as tls:
                while data := tls.recv(1 << 16):
                    tls.sendall(data)
                tls.unwrap()

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    sock, _ = listener.accept()
                    sock.settimeout(PATIENCE)
                    threading.Thread(target=serve, args=(sock,), daemon=True).start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        self.addCleanup(listener.close)
        self.addCleanup(accepting.join, PATIENCE)
        # A close alone does not end an accept that has begun.
        self.addCleanup(listener.shutdown, socket.SHUT_RDWR)
        return f"tls://localhost:{listener.getsockname()[1]}"

    def serverContext(self, **values: Any) -> ssl.SSLContext:
        """Returns the context of a server."""
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(*self.root.issue("server"))
        for name, value in values.items():
            setattr(made, name, value)
        return made


class ChainTests(TLSTestCase):
    async def chain(self, text: str) -> Presented:
        """Reads what a server presents."""
        from twisted.internet import reactor

        target = parseTarget(text)
        stream = await connect(reactor, replace(target, kind="tcp"))
        async with stream:
            return await presented(stream, target)

    async def test_whole(self) -> None:
        """All certificates that a server sends are read, though nothing trusts them."""
        certificate, key = self.between.issue("service")
        Path(certificate).write_bytes(Path(certificate).read_bytes() + self.between.pem)
        found = await self.chain(self.served(certificate, key))
        names = [each.subject.rfc4514_string() for each in found.chain]
        self.assertEqual((names, found.asks), (["CN=service", "CN=between"], False))

    async def test_asks(self) -> None:
        """A server that asks for a client's certificate is noticed, under both versions, and has a chain."""
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):

            def make(version: ssl.TLSVersion = version) -> ssl.SSLContext:
                made = self.serverContext(maximum_version=version, verify_mode=ssl.CERT_REQUIRED)
                made.load_verify_locations(self.root.path)
                return made

            found = await self.chain(self.peer(make))
            self.assertTrue(found.asks, version)
            self.assertTrue(found.chain, version)

    async def test_plain(self) -> None:
        """A service that does not speak TLS presents nothing."""
        port = self.serve().address("tcp")[1]
        self.assertEqual(await self.chain(f"tls://localhost:{port}"), Presented())


class CertificateTests(TLSTestCase):
    async def test_untrusted(self) -> None:
        """A certificate that is not trusted is told with its authority, and the other checks are skipped."""
        other = Authority(self.folder / "other", "elsewhere")
        done = await self.examined(self.served(*other.issue("service")), "connect", "tls", "identity")
        self.assertEqual(done.causes, {"certificate-untrusted": FAIL}, done)
        self.assertIn(
            "the authority 'elsewhere' is not known", done.finding("certificate-untrusted").match.seen
        )
        self.assertIn("identity", done.evidence.skipped)
        self.assertEqual(done.evidence.unfinished, {})

    async def test_incomplete(self) -> None:
        """A certificate between that is not sent is told from an authority that is not trusted."""
        done = await self.examined(self.served(*self.between.issue("service")), "connect", "tls")
        self.assertEqual(done.causes, {"chain-incomplete": FAIL}, done)

    async def test_name(self) -> None:
        """A certificate for another name is a failure, and a warning with --insecure."""
        target = self.served(*self.root.issue("service"))
        done = await self.examined(target, "connect", "tls", serverName="lb.example")
        self.assertEqual(done.causes, {"certificate-name": FAIL}, done)
        done = await self.examined(target, "connect", "tls", serverName="lb.example", isInsecure=True)
        self.assertEqual(done.causes, {"certificate-name": WARN}, done)


class HandshakeTests(TLSTestCase):
    def seen(self, done: Examined) -> Handshakes:
        """Returns what the check ``tls`` has seen."""
        seen = done.evidence.observations["tls"]
        assert isinstance(seen, Handshakes)
        return seen

    async def test_good(self) -> None:
        """Our service resumes sessions, and ends with close_notify."""
        done = await self.examined(self.served(*self.root.issue("service")), "tls")
        self.assertEqual(done.causes, {}, done)
        seen = self.seen(done)
        self.assertEqual((seen.isTicketed, seen.resumed, seen.refusals), (True, [True] * 3, []))
        self.assertEqual([each.subject.rfc4514_string() for each in seen.chain], ["CN=service"])
        self.assertIn("resumed 3 of 3", str(seen))

    async def test_notResumed(self) -> None:
        """Tickets that the next connection's backend does not know are a warning, under both versions."""
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            target = self.peer(partial(self.serverContext, maximum_version=version))
            done = await self.examined(target, "tls")
            self.assertEqual(done.causes, {"no-resumption": WARN}, done)

    async def test_protocol(self) -> None:
        """A protocol that is not chosen is a warning, and one that is chosen is none."""
        target = self.served(*self.root.issue("service"))
        done = await self.examined(target, "tls", protocols=("echo/1",))
        self.assertEqual(done.causes, {"alpn-ignored": WARN}, done)
        shared = self.serverContext()
        shared.set_alpn_protocols(["echo/1"])
        done = await self.examined(self.peer(lambda: shared), "tls", protocols=("echo/1",))
        self.assertEqual(done.causes, {}, done)
        self.assertIn("'echo/1'", str(self.seen(done)))

    async def test_clientCertificate(self) -> None:
        """A client certificate that is required, or refused, is named."""
        target = self.served(*self.root.issue("service"), "--client-ca", self.root.path)
        done = await self.examined(target, "connect", "tls")
        self.assertEqual(done.causes, {"client-certificate-required": FAIL}, done)
        foreign, key = Authority(self.folder / "other").issue("client")
        done = await self.examined(target, "connect", "tls", certificate=foreign, key=key)
        self.assertEqual(done.causes, {"client-certificate-refused": FAIL}, done)


class ProtocolTests(TLSTestCase):
    """Services that do not answer plain bytes."""

    async def test_tls(self) -> None:
        """A port that speaks TLS is named."""
        port = self.serve("--tls", "0").address("tls")[1]
        done = await examined(context(f"localhost:{port}"), "identity", "protocol")
        self.assertEqual(done.causes, {"service-speaks-tls": FAIL}, done)
        self.assertEqual(done.seen("protocol"), "speaks TLS")

    async def test_proxyHeader(self) -> None:
        """A service that expects a PROXY header is named."""
        port = self.serve("--port", "0", "--proxy-protocol").address("tcp")[1]
        done = await examined(context(f"localhost:{port}"), "identity", "protocol")
        self.assertEqual(done.causes, {"proxy-header-expected": FAIL}, done)

    async def test_echo(self) -> None:
        """An echo is not asked."""
        port = self.serve().address("tcp")[1]
        done = await examined(context(f"localhost:{port}"), "identity", "protocol")
        self.assertEqual(done.evidence.skipped, {"protocol": "bytes come back"})
