"""A login before the echo, by real clients: docs/dev/contract.rst holds behind it."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from twisted.cred.credentials import IUsernamePassword
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from echo_app.access.checkers import EchoUser
from echo_app.connections.limits import Limits
from echo_app.filewatch import INTERVAL
from echo_app.interfaces import IEchoUser
from echo_app.service.echoservice import EchoService
from echo_app.testing import EchoProcess
from tests.support import programs
from tests.support.certificates import LATIN, Authority
from tests.support.kernel import waitForCut, waitUntil
from tests.support.service import (
    PATIENCE,
    ServiceTestCase,
    needs,
    receiveAll,
    sendAndEnd,
    startSending,
    stopCounts,
    together,
)
from tests.support.tls import VERSIONS, TLSPeer, clientContext

AUTH = ("--auth", "memory:alice:open sesame")
RIGHT = b"login alice open sesame\n"
WRONG = b"login alice hunter2\n"
DENIED = b"error: wrong user or password\n"
UNREAD = b"error: the first line is: login USER PASSWORD\n"
LOOP = 50


class LoginTestCase(ServiceTestCase):
    def login(self, *options: str) -> EchoProcess:
        """Starts a service with a login, on 127.0.0.1."""
        return self.serve(*(options or ("--port", "0")), *AUTH)

    def said(self, server: EchoProcess, *pieces: bytes) -> bytes:
        """Connects, sends pieces in segments of their own and the end; returns what comes until the end."""
        peer = self.connect(server.address())
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces[:-1]:
            peer.send(piece)
        sendAndEnd(peer, pieces[-1])
        return receiveAll(peer)


class NetcatTests(LoginTestCase):
    def _type(self, server: EchoProcess, typed: bytes) -> bytes:
        """Types into ``nc -N``; returns what it prints."""
        needs("nc.openbsd")
        host, port = server.address()
        command = ["nc.openbsd", "-N", host, str(port)]
        return bytes(programs.run(*command, input=typed, check=True).stdout)

    def test_typed(self) -> None:
        """Right, wrong, with CR LF, without a line, and with nothing at all."""
        server = self.login()
        self.assertEqual(self._type(server, RIGHT + b"hello\n"), b"ok\nhello\n")
        self.assertEqual(self._type(server, RIGHT[:-1] + b"\r\nhello\r\n"), b"ok\nhello\r\n")
        self.assertEqual(self._type(server, b""), b"")
        together(
            lambda: self.assertEqual(self._type(server, WRONG + b"hello\n"), DENIED),
            lambda: self.assertEqual(self._type(server, b"hello\n"), UNREAD),
            lambda: self.assertEqual(self._type(server, RIGHT[:-1]), UNREAD),
        )
        counts = stopCounts(server)
        self.assertEqual((counts["connections"], counts["refused"]), (2, 3))
        for word in ("hunter2", "sesame", "Traceback"):
            self.assertNotIn(word, server.log())


class StreamTests(LoginTestCase):
    def test_oneSegment(self) -> None:
        """Line, data and FIN in one segment: all of the data come back."""
        for path in ((), ("--no-direct",)):
            server = self.login("--port", "0", *path)
            for size in (0, 1, 50_000):
                data = os.urandom(size)
                lost = sum(self.said(server, RIGHT + data) != b"ok\n" + data for _ in range(LOOP))
                self.assertEqual(lost, 0, (path, size))

    def test_lateReader(self) -> None:
        """32 MiB and the end of the stream, behind a line, to a peer that begins to read late."""
        server = self.login()
        data = os.urandom(32 << 20)
        peer = self.connect(server.address())
        sender = startSending(peer, RIGHT + data)
        sender.join(0.5)
        self.assertTrue(sender.is_alive())
        self.assertTrue(receiveAll(peer) == b"ok\n" + data)
        sender.join(PATIENCE)

    def test_unix(self) -> None:
        """Right and wrong logins have the same answers over a UNIX socket."""
        server = self.login("--listen", "unix:echo.sock")
        for stream, answer in ((RIGHT + b"hello", b"ok\nhello"), (WRONG + b"hello", DENIED)):
            peer = self.connect(server.address("unix"))
            peer.sendall(stream)
            peer.shutdown(socket.SHUT_WR)
            self.assertEqual(receiveAll(peer), answer)

    def test_proxied(self) -> None:
        """Behind a PROXY header, the client logs in, and is named in the log."""
        server = self.login("--port", "0", "--proxy-protocol")
        header = b"PROXY TCP4 192.0.2.1 127.0.0.1 4242 8080\r\n"
        self.assertEqual(self.said(server, header + RIGHT + b"hello"), b"ok\nhello")
        self.assertEqual(self.said(server, header, WRONG), DENIED)
        stopCounts(server)
        self.assertIn("192.0.2.1:4242 failed to log in as 'alice'", server.log())


class WrongTests(LoginTestCase):
    def test_flood(self) -> None:
        """The answer is whole, a second later at the soonest, for a peer that has sent on meanwhile."""
        server = self.login()
        begin = time.monotonic()

        def check() -> None:
            peer = self.connect(server.address())
            sender = startSending(peer, WRONG + bytes(1 << 20))
            self.assertEqual(receiveAll(peer), DENIED)
            self.assertGreater(time.monotonic() - begin, 0.9)
            sender.join(PATIENCE)

        together(*[check] * 20)
        self.assertEqual(stopCounts(server)["refused"], 20)

    def test_endless(self) -> None:
        """A peer that never ends is cut off after the answer, and others are served meanwhile."""
        server = self.login("--port", "0", "--no-direct")
        peer = self.connect(server.address())
        startSending(peer, WRONG + bytes(256 << 20))
        self.assertEqual(self.said(server, RIGHT + b"hello"), b"ok\nhello")
        self.assertIsNotNone(waitForCut(peer))

    def test_stop(self) -> None:
        """A stop waits for an answer that is under way, and ends peers without a login."""
        server = self.login()
        silent, wrong = (self.connect(server.address()) for _ in range(2))
        wrong.sendall(WRONG)
        self.assertTrue(waitUntil(lambda: "failed to log in" in server.log()))
        server.signal(signal.SIGTERM)
        self.assertEqual((receiveAll(wrong), receiveAll(silent)), (DENIED, b""))
        wrong.close()
        silent.close()
        server.wait()
        self.assertIn(" 0 aborted, 0 lost", server.log())


class TLSTests(LoginTestCase):
    def test_line(self) -> None:
        """Over TLS there is a line as well, with data and ``close_notify`` in the same segment."""
        server = self.login("--tls", "0", "--interface", "0.0.0.0")
        address = ("127.0.0.1", server.address("tls")[1])

        def check(stream: bytes, answer: bytes) -> None:
            peer = TLSPeer(self.connect(address)).shake()
            peer.sock.sendall(peer.sealed(stream) + peer.end())
            self.assertEqual((peer.receiveAll(), peer.isEnded), (answer, True))

        def flood() -> None:
            # It sends on after its line, and does not end.
            peer = TLSPeer(self.connect(address)).shake()
            peer.send(WRONG)
            peer.send(bytes(1 << 16))
            self.assertEqual((peer.receiveAll(), peer.isEnded), (DENIED, True))

        together(
            lambda: check(RIGHT + b"hello", b"ok\nhello"),
            lambda: check(WRONG + b"hello", DENIED),
            flood,
        )

    def test_certificate(self) -> None:
        """A verified certificate is a login: no line, no answer; beside it a line is asked for elsewhere."""
        authority = Authority(Path(self.mktemp()).absolute())
        server = self.login("--tls", "0", "--port", "0", "--client-ca", authority.path, "--log-connections")
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = clientContext(version)
            context.load_cert_chain(*authority.issue("carol"))
            peer = TLSPeer(self.connect(server.address("tls")), context).shake()
            peer.sock.sendall(peer.sealed(b"hello") + peer.end())
            self.assertEqual(peer.receiveAll(), b"hello")
        self.assertEqual(self.said(server, RIGHT), b"ok\n")
        server.stop()
        self.assertEqual(server.log().count("logged in as carol"), 2)
        self.assertEqual(server.log().count("logged in as alice"), 1)

    def test_unreadable(self) -> None:
        """A certificate that the package cryptography rejects logs in by OpenSSL's name."""
        authority = Authority(Path(self.mktemp()).absolute())
        server = self.login("--tls", "0", "--client-ca", authority.path, "--log-connections")
        context = clientContext()
        context.load_cert_chain(*authority.issueChanged(*LATIN))
        peer = TLSPeer(self.connect(server.address("tls")), context).shake()
        peer.sock.sendall(peer.sealed(b"hello") + peer.end())
        self.assertEqual(peer.receiveAll(), b"hello")
        server.stop()
        self.assertIn("logged in as zéd", server.log())
        self.assertNotIn("Traceback", server.log())

    def test_expired(self) -> None:
        """A certificate that has expired is no login, whatever session its client offers."""
        authority = Authority(Path(self.mktemp()).absolute())
        server = self.login("--tls", "0", "--client-ca", authority.path)
        # Whole seconds, with time for the first connections on a busy machine.
        end = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=4)
        issued = authority.issue("carol", until=end)
        sessions: dict[ssl.SSLContext, ssl.SSLSession | None] = {}
        for version in VERSIONS:
            context = clientContext(version)
            context.load_cert_chain(*issued)
            peer = TLSPeer(self.connect(server.address("tls")), context).shake()
            peer.send(b"hello")
            self.assertEqual(peer.receive(5), b"hello")
            sessions[context] = peer.tls.session
        self.assertTrue(waitUntil(lambda: datetime.now(UTC) > end + timedelta(seconds=1)))
        for context, session in sessions.items():
            # Over TLS 1.3 the client has done its part before it is refused.
            with self.assertRaisesRegex(ssl.SSLError, "EXPIRED"):
                TLSPeer(self.connect(server.address("tls")), context, session).shake().receive(1)


class Peer(Protocol):
    """Sends something at once, and keeps what comes.

    :ivar ended: fires at the end with what came.
    """

    def __init__(self, stream: bytes) -> None:
        self.received = b""
        self.ended: Deferred[bytes] = Deferred()
        self._stream = stream

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self._stream)

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.callback(self.received)


class SlowPortal:
    """Answers when a test says so.

    :ivar asked: fires when a login is asked for.
    :ivar cancelled: fires when the login is cancelled.
    :ivar left: fires at a logout.
    """

    def __init__(self) -> None:
        self.asked, self.cancelled, self.left = (Deferred[None]() for _ in range(3))
        self.answer: Deferred[object] = Deferred(lambda _: self.cancelled.callback(None))

    def listCredentialsInterfaces(self) -> object:
        return [IUsernamePassword]

    def login(self, *_: object) -> Deferred[object]:
        self.asked.callback(None)
        return self.answer

    def leave(self) -> None:
        self.left.callback(None)


class SlowTests(TestCase):
    """A portal that answers later, on the reactor that the tests run on."""

    timeout = PATIENCE

    async def begin(self, stream: bytes) -> tuple[SlowPortal, Peer]:
        """Starts a service, and has a peer send this; returns when the portal is asked."""
        portal = SlowPortal()
        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        service = EchoService(
            cast(Any, reactor), [endpoint], limits=Limits(drainTimeout=0), portal=cast(Any, portal)
        )
        service.startService()
        self.addCleanup(service.stopService)
        [host] = cast(Any, service.getHosts())
        peer = Peer(stream)
        await connectProtocol(TCP4ClientEndpoint(reactor, host.host, host.port), peer)
        await portal.asked
        return portal, peer

    async def test_later(self) -> None:
        """Bytes sent meanwhile, and the end of the stream, come after the answer, and then the logout."""
        for size in (5, 1 << 20):
            data = os.urandom(size)
            portal, peer = await self.begin(RIGHT + data)
            cast(Any, peer.transport).loseWriteConnection()
            self.assertEqual((peer.received, portal.left.called), (b"", False))
            portal.answer.callback((IEchoUser, EchoUser("alice"), portal.leave))
            self.assertTrue(await peer.ended == b"ok\n" + data)
            await portal.left

    async def test_reset(self) -> None:
        """A peer that resets its connection has its check cancelled."""
        portal, peer = await self.begin(RIGHT)
        cast(Any, peer.transport).abortConnection()
        await portal.cancelled


class FileTests(LoginTestCase):
    def test_watch(self) -> None:
        """Passwords and faults are read again when symbolic links are swapped, as Kubernetes does."""
        folder = self.makeFolder()
        for name, user, fault in (("old", "alice:open sesame", "stall"), ("new", "bob:x", "latency=1ms")):
            (folder / name).mkdir()
            (folder / name / "users").write_text(f"{user}\n")
            (folder / name / "faults").write_text(f"{fault}\n")
        (folder / "..data").symlink_to("old")
        for name in ("users", "faults"):
            (folder / name).symlink_to(f"..data/{name}")
        options = ("--auth", f"file:{folder}/users", "--fault-file", f"{folder}/faults")
        server = self.serve("--port", "0", *options)
        (folder / "..tmp").symlink_to("new")
        (folder / "..tmp").rename(folder / "..data")
        lines = ("users read again", "faults: latency=1ms")
        self.assertTrue(waitUntil(lambda: all(line in server.log() for line in lines), 4 * INTERVAL))
        self.assertEqual(self.said(server, b"login bob x\nhello"), b"ok\nhello")
        self.assertEqual(self.said(server, RIGHT), DENIED)

    def test_reload(self) -> None:
        """At SIGHUP the passwords are read again, for later logins; users who have logged in stay."""
        users = Path(self.mktemp()).absolute()
        users.write_text("alice:open sesame\n")
        server = self.serve("--port", "0", "--auth", f"file:{users}")
        early = self.connect(server.address())
        early.sendall(RIGHT)
        self.assertEqual(early.recv(3), b"ok\n")
        users.write_text("bob:x\n")
        server.signal(signal.SIGHUP)
        self.assertTrue(waitUntil(lambda: "read again" in server.log()))
        self.assertEqual(self.said(server, b"login bob x\nhello"), b"ok\nhello")
        self.assertEqual(self.said(server, RIGHT), DENIED)
        sendAndEnd(early, b"hello")
        self.assertEqual(receiveAll(early), b"hello")
