"""Server TLS: the values that connections share, and the layer around factories and endpoints."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from ssl import CERT_REQUIRED, SSLContext
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint, UNIXServerEndpoint
from twisted.internet.interfaces import IStreamServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase, TestCase

from echo_app.stack.stack import Stack
from echo_app.stream.protocol import EchoProtocol
from echo_app.tls import certificates
from echo_app.tls import server as tlsserver
from echo_app.tls.certificates import DEFAULT_GROUP, GROUPS, contexts
from echo_app.tls.connection import TLSConnection
from echo_app.tls.credentials import BadCredentials
from echo_app.tls.server import ServerTLS
from tests.support.certificates import Authority
from tests.support.fakes import numbered
from tests.support.service import PATIENCE
from tests.support.tls import TLSPeer

NOW = datetime(2030, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


class ServerTLSTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.events: list[LogEvent] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.authority = Authority(Path(self.mktemp()))

    def said(self) -> list[object]:
        """Returns the fields that this room has logged since it was asked before."""
        ours = [each for each in self.events if each.get("log_namespace") == "echo_app.tls.server"]
        self.events.clear()
        return [each.get("fingerprint", each.get("reason")) for each in ours if "caution" not in each]

    def warned(self) -> list[str]:
        """Returns the warnings that were logged since it was asked before."""
        found = [str(each["caution"]) for each in self.events if "caution" in each]
        self.events.clear()
        return found

    def test_throwAway(self) -> None:
        """Without a certificate a throw-away one is made and logged, and nothing can be reloaded."""
        tls = ServerTLS(Clock())
        self.assertFalse(tls.isReloadable)
        (fingerprint,) = self.said()
        self.assertEqual(len(str(fingerprint)), 95)
        before = tls.contextFor([])
        tls.reload()
        self.assertIs(tls.contextFor([]), before)

    def test_reload(self) -> None:
        """Renewed files are used from then on."""
        tls = ServerTLS(Clock(), *self.authority.issue("server"))
        self.assertEqual(self.said(), [])
        before = tls.contextFor([])
        self.authority.issue("server")
        tls.reload()
        self.assertIsNot(tls.contextFor([]), before)
        self.assertEqual(len(self.said()), 1)

    def test_reloadUnusable(self) -> None:
        """Files that can't be used change nothing, and their name is escaped in the log."""
        certificate, key = self.authority.issue("ser\x1bver")
        tls = ServerTLS(Clock(), certificate, key)
        before = tls.contextFor([])
        Path(certificate).write_text("junk")
        tls.reload()
        self.assertIs(tls.contextFor([]), before)
        (reason,) = self.said()
        self.assertIn("ser\\x1bver.pem: no usable certificate", str(reason))

    def test_reloadClientCA(self) -> None:
        """An authority for clients can be reloaded under a throw-away certificate, which stays."""
        made: list[bytes] = []

        def recorded(identity: bytes, *more: Any) -> dict[int, SSLContext]:
            made.append(identity)
            return contexts(identity, *more)

        self.patch(tlsserver, "contexts", recorded)
        tls = ServerTLS(Clock(), clientCA=self.authority.path)
        self.assertTrue(tls.isReloadable)
        tls.reload()
        self.assertEqual(len(made), 2)
        self.assertEqual(made[0], made[1])

    def test_reloadPipe(self) -> None:
        """A pipe is not read again, because its writer may have gone."""
        certificate, key = self.authority.issue("server")
        tls = ServerTLS(Clock(), certificate, key)
        os.unlink(key)
        os.mkfifo(key)
        tls.reload()
        self.assertEqual(self.said(), [f"{key}: not a file"])

    def test_withoutProc(self) -> None:
        """Without /proc, as in a chroot, files are read again; a throw-away certificate is an error."""
        paths = self.authority.issue("server")
        tls, throwAway = ServerTLS(Clock(), *paths), ServerTLS(Clock(), clientCA=self.authority.path)
        before, kept = tls.contextFor([]), throwAway.contextFor([])
        self.said()
        self.patch(certificates, "_DESCRIPTORS", "/nonexistent")
        tls.reload()
        self.assertIsNot(tls.contextFor([]), before)
        self.assertEqual(self.said(), [None])
        throwAway.reload()
        self.assertEqual(throwAway.contextFor([]).verify_mode, kept.verify_mode)
        self.assertEqual(self.said(), [": a throw-away certificate needs /proc"])
        self.assertRaises(BadCredentials, ServerTLS, Clock())

    def test_clientCertificates(self) -> None:
        """With an authority for clients, each connection has a context of its own, which has no sessions."""
        tls = ServerTLS(Clock(), clientCA=self.authority.path)
        one, two = tls.contextFor([]), tls.contextFor([])
        self.assertIsNot(one, two)
        self.assertEqual((one.verify_mode, one.num_tickets), (CERT_REQUIRED, 0))

    def test_refusedByOpenSSL(self) -> None:
        """An error of OpenSSL, such as for a key that is too short, names the certificate."""
        self.patch(tlsserver, "readIdentity", lambda *paths: b"junk")
        paths = self.authority.issue("server")
        error = self.assertRaises(BadCredentials, ServerTLS, Clock(), *paths)
        self.assertEqual((error.setting, error.path), ("certificate", paths[0]))

    def test_warnings(self) -> None:
        """A chain's defects and dates are told at the start, and at each reload."""
        tls = ServerTLS(Clock(), *self.authority.issue("server", until=NOW + HOUR), today=lambda: NOW)
        for _ in range(2):
            missing, date = self.warned()
            self.assertIn("is not in the file", missing)
            self.assertIn("certificate 1 expires on 2030-01-01 01:00 UTC; then clients refuse it", date)
            tls.reload()

    def test_dates(self) -> None:
        """A date is told a day ahead, and when it has come, once each."""
        now = [datetime.now(UTC)]
        expires = now[0] + 48 * HOUR
        crl = self.authority.revoke(until=expires)
        tls = ServerTLS(Clock(), None, None, self.authority.path, crl, today=lambda: now[0])
        look = tls.watch()
        self.assertEqual(self.warned(), [])
        for hours, word in ((25, "CN=authority expires on"), (48, "CN=authority has expired, on")):
            now[0] += hours * HOUR
            for _ in range(3):
                look()
            (warning,) = self.warned()
            self.assertIn(word, warning)
            self.assertIn("no client with a certificate of this authority is admitted", warning)

    def test_watch(self) -> None:
        """Changed files are read again when the change is complete; an unusable one is told once."""
        certificate, key = self.authority.issue("server")
        tls = ServerTLS(Clock(), certificate, key)
        look = tls.watch()
        before = tls.contextFor([])
        self.said()
        look()
        self.assertEqual(self.said(), [])
        Path(key).write_text("junk")
        for _ in range(4):
            look()
        (reason,) = self.said()
        self.assertIn("no usable private key", str(reason))
        self.authority.issue("server")
        look()
        self.assertIs(tls.contextFor([]), before)
        look()
        self.assertIsNot(tls.contextFor([]), before)
        self.assertEqual(self.said(), [None])

    def test_contextFor(self) -> None:
        """The first known group decides; a client that offers none of them gets P-256."""
        tls = ServerTLS(Clock())
        byGroup = {group: tls.contextFor([group]) for group in GROUPS}
        self.assertEqual(len(set(byGroup.values())), len(GROUPS))
        self.assertIs(tls.contextFor([4588, 24, 29]), byGroup[24])
        for unknown in ([], [30, 25]):
            self.assertIs(tls.contextFor(unknown), byGroup[DEFAULT_GROUP])

    def test_wrong(self) -> None:
        """A key without a certificate, and a time that is none."""
        self.assertRaises(BadCredentials, ServerTLS, Clock(), None, "key.pem")
        self.assertRaises(BadCredentials, ServerTLS, Clock(), clientCRL="crl.pem")
        self.assertRaises(ValueError, ServerTLS, Clock(), handshakeTimeout=0)


class LayerTests(SynchronousTestCase):
    def test_layer(self) -> None:
        """TLS is put below a protocol; where there is none there is no TLS."""
        tls, address = ServerTLS(Clock()), IPv4Address("TCP", "192.0.2.1", 1)
        self.assertIsInstance(tls.layer(lambda *_: Protocol())(address, numbered(1)), TLSConnection)
        self.assertIsNone(tls.layer(lambda *_: None)(address, numbered(1)))


class EndpointTests(TestCase):
    """A bare protocol, on endpoints of any kind."""

    timeout = 60

    async def _check(self, endpoint: IStreamServerEndpoint, family: str) -> None:
        lost: Deferred[None] = Deferred()

        class Told(EchoProtocol):
            def connectionLost(self, reason: object = None) -> None:
                lost.callback(None)

        port = await endpoint.listen(Stack(Factory.forProtocol(Told), tls=ServerTLS(reactor)))
        self.addCleanup(port.stopListening)
        host: Any = port.getHost()

        def client() -> tuple[bytes, bool]:
            with socket.socket(getattr(socket, family)) as sock:
                sock.settimeout(PATIENCE)
                sock.connect(host.name if family == "AF_UNIX" else (host.host, host.port))
                peer = TLSPeer(sock).shake()
                sock.sendall(peer.sealed(b"x" * 100_000) + peer.end())
                return peer.receiveAll(), peer.isEnded

        self.assertEqual(await deferToThread(client), (b"x" * 100_000, True))
        await lost

    async def test_tcp(self) -> None:
        """TCP."""
        await self._check(TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"), "AF_INET")

    async def test_unix(self) -> None:
        """A UNIX socket."""
        await self._check(UNIXServerEndpoint(reactor, self.mktemp()), "AF_UNIX")
