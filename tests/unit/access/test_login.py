"""A login before the echo."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from hypothesis import strategies as st
from twisted.cred.checkers import AllowAnonymousAccess
from twisted.cred.error import LoginDenied, UnauthorizedLogin
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IHandshakeListener, IProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides, implementer
from zope.interface.verify import verifyObject

from echo_app.access import login as auth
from echo_app.access.checkers import EchoRealm, EchoUser, PasswordChecker, PasswordFile, portalFor
from echo_app.access.login import CHECK_TIMEOUT, KEPT, LINE_TIMEOUT, PENALTY, LoginGate, Logins
from echo_app.access.loginline import MAX_LINE, parseLogin
from echo_app.connections.limits import Limits
from echo_app.connections.refusal import Refusal
from echo_app.connections.registry import ConnectionRegistry
from echo_app.interfaces import IEchoUser, ITLSTransport
from echo_app.stack.stack import Stack
from echo_app.stream.protocol import EchoFactory, EchoProtocol
from echo_app.tls import certificates
from echo_app.transport import closing
from echo_app.transport.closing import LINGER, Lingering
from echo_app.transport.layer import protocolOf
from tests.support import fakes
from tests.support.properties import given

RIGHT = b"login alice secret\n"
WRONG = b"login alice wrong\n"
DENIED = b"error: wrong user or password\n"
UNREAD = b"error: the first line is: login USER PASSWORD\n"
UNCHECKED = b"error: no login can be checked now\n"


class Transport(fakes.Transport):
    """A transport that delivers nothing while it is paused."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[bytes] = []

    def deliver(self, data: bytes) -> None:
        """The peer sent this."""
        self.waiting.append(data)
        while self.waiting and self.producerState == "producing" and not self.disconnected:
            self.protocol.dataReceived(self.waiting.pop(0))

    def resumeProducing(self) -> None:
        if not self.disconnecting:
            super().resumeProducing()


class FakePortal:
    """Answers as a test says.

    :ivar answers: what comes next, one for each login.
    :ivar asked: the credentials, as they came.
    :ivar left: number of logouts.
    """

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[Any] = []
        self.left = 0

    def avatar(self) -> tuple[object, object, object]:
        """Returns what a portal returns for a right login."""
        return IEchoUser, EchoUser("alice"), self.leave

    def leave(self) -> None:
        self.left += 1

    def listCredentialsInterfaces(self) -> object:
        return portalFor([PasswordChecker([])]).listCredentialsInterfaces()

    def login(self, credentials: Any, mind: object, *interfaces: object) -> Any:
        assert (mind, interfaces) == (None, (IEchoUser,))
        self.asked.append(credentials)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class LoginTestCase(SynchronousTestCase):
    """With time, transports and counts of memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.begin(portalFor([PasswordChecker([(b"alice", b"secret")])]))

    def begin(self, portal: Any, **limits: Any) -> None:
        """Has logins checked by this portal from now on."""
        self.counts = ConnectionRegistry(Limits(**limits), self.clock.seconds, logConnections=True)
        self.logins = Logins(cast(Portal, portal), self.clock)
        self.top = EchoFactory()
        self.factory = Stack(self.top, self.counts, logins=self.logins)

    def beginRight(self) -> FakePortal:
        """Has the next login accepted; returns the portal."""
        portal = FakePortal()
        portal.answers.append(succeed(portal.avatar()))
        self.begin(portal)
        return portal

    def beginSlow(self) -> tuple[FakePortal, Deferred[Any], list[object]]:
        """Has them checked later; returns the portal, its answer, and what was cancelled."""
        cancelled: list[object] = []
        answer: Deferred[Any] = Deferred(cancelled.append)
        portal = FakePortal(answer)
        self.begin(portal)
        return portal, answer, cancelled

    def connect(self, data: bytes = b"", transport: Transport | None = None) -> Transport:
        """Connects a peer that sends data; returns the transport."""
        transport = Transport() if transport is None else transport
        transport.protocol = self.factory.buildProtocol(transport.getPeer())
        transport.protocol.makeConnection(transport)
        if data:
            transport.deliver(data)
        return transport

    def assertRefused(self, transport: Transport, answer: bytes, **reasons: int) -> None:
        """Checks that the answer comes after the penalty, for these reasons so far, and the end after it."""
        self.clock.advance(PENALTY - 0.001)
        self.assertEqual((transport.value(), transport.isHalfClosed), (b"", False))
        self.clock.advance(0.001)
        self.assertEqual(transport.value(), answer)
        self.assertTrue(transport.isHalfClosed or transport.disconnecting)
        self.assertReasons(**reasons)
        transport.end(ConnectionDone())
        self.assertNothingLeft()

    def assertReasons(self, **reasons: int) -> None:
        """Checks what was refused so far."""
        found = {name.replace("_", "-"): number for name, number in reasons.items()}
        self.assertEqual(self.counts.refused.byReason, found)

    def assertNothingLeft(self) -> None:
        """Checks that no connection, no login and no timer is left."""
        self.assertEqual((self.counts.open, self.counts.perPeer), ({}, {}))
        logins = self.logins
        self.assertEqual((logins.checks, logins.waiting, logins.reading), (0, {}, {}))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class RightTests(LoginTestCase):
    def test_interfaces(self) -> None:
        """A protocol that hears of half-closes and handshakes."""
        gate = protocolOf(self.connect())
        for interface in (IProtocol, IHalfCloseableProtocol, IHandshakeListener):
            verifyObject(interface, gate)

    def test_gone(self) -> None:
        """The gate is out of the way after the login, and nothing of it is left."""
        transport = self.connect()
        self.assertEqual((transport.value(), self.counts.accepted), (b"", 0))
        transport.deliver(RIGHT)
        self.assertIs(type(transport.protocol), EchoProtocol)
        self.assertEqual((transport.value(), self.counts.accepted), (b"ok\n", 1))
        self.assertEqual((self.logins.reading, self.clock.getDelayedCalls()), ({}, []))
        transport.end(ConnectionDone())
        self.assertNothingLeft()
        self.assertReasons()

    def test_rest(self) -> None:
        """Bytes that come with the line belong to the echo, after the answer."""
        self.assertEqual(self.connect(RIGHT + b"hello").value(), b"ok\nhello")
        self.assertEqual(self.connect(b"login alice secret\r\n\nhello").value(), b"ok\n\nhello")

    @given(st.binary(max_size=50), st.data())
    def test_pieces(self, rest: bytes, draw: st.DataObject) -> None:
        """However the stream is cut, all of it comes back, in order."""
        stream = RIGHT + rest
        cuts = draw.draw(st.lists(st.integers(0, len(stream)), max_size=len(stream)))
        transport = self.connect()
        for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(stream)], strict=True):
            if begin < end:
                transport.deliver(stream[begin:end])
        self.assertEqual(transport.value(), b"ok\n" + rest)
        transport.end(ConnectionDone())
        self.assertNothingLeft()

    def test_user(self) -> None:
        """The user's name is noted with control characters escaped."""
        portal = FakePortal(succeed((IEchoUser, EchoUser("al\x1b[2Jice"), lambda: None)))
        self.begin(portal)
        with capturedLogs() as events:
            self.connect(RIGHT)
        self.assertEqual([event["user"] for event in events if "user" in event], ["al\\x1b[2Jice"])

    def test_caps(self) -> None:
        """A peer without a login counts once, also in the counts by peer."""
        self.begin(portalFor([PasswordChecker([(b"alice", b"secret")])]), maxConnectionsPerPeer=2)
        pending, _ = self.connect(), self.connect(RIGHT)
        self.assertTrue(self.connect().disconnected)
        self.assertReasons(max_connections_per_peer=1)
        pending.end(ConnectionLost())
        self.assertEqual(self.connect(RIGHT).value(), b"ok\n")

    def test_brokenProtocol(self) -> None:
        """A protocol that fails when it is connected has its own connection closed, and is logged."""

        class Broken(EchoProtocol):
            def connectionMade(self) -> None:
                super().connectionMade()
                raise ZeroDivisionError

        self.top.protocol = Broken
        with capturedLogs() as events:
            transport = self.connect(RIGHT)
        self.assertTrue(transport.disconnected)
        self.assertEqual(len([event for event in events if "log_failure" in event]), 1)
        self.flushLoggedErrors(ZeroDivisionError)


class WrongTests(LoginTestCase):
    def test_wrong(self) -> None:
        """A wrong user and a wrong password are answered alike, a second later, and then closed."""
        self.assertRefused(self.connect(WRONG + b"hello"), DENIED, login=1)
        self.assertRefused(self.connect(b"login carol secret\n"), DENIED, login=2)

    def test_noLine(self) -> None:
        """A stream without a login line is refused with the syntax, as soon as it can't become a line."""
        for number, data in enumerate((b"hello", b"login alice\n", b"login ".ljust(MAX_LINE, b"x")), 1):
            self.assertRefused(self.connect(data), UNREAD, bad_login=number)

    def test_notRead(self) -> None:
        """A peer that floods is not read until the answer; then its input is discarded, for a second."""
        transport = self.connect(WRONG)
        self.assertEqual(transport.producerState, "paused")
        transport.deliver(RIGHT)
        self.clock.advance(PENALTY)
        self.assertEqual(transport.producerState, "producing")
        transport.deliver(RIGHT)
        self.assertEqual((transport.value(), transport.isHalfClosed), (DENIED, True))
        self.clock.advance(LINGER - 0.001)
        self.assertFalse(transport.disconnecting)
        self.clock.advance(0.001)
        self.assertTrue(transport.disconnecting)

    def test_peerEnds(self) -> None:
        """The peer's own end after the answer closes the connection."""
        transport = self.connect(WRONG)
        self.clock.advance(PENALTY)
        transport.protocol.readConnectionLost()
        self.assertTrue(transport.disconnecting)

    def test_halfClosed(self) -> None:
        """A peer that half-closed, within its line or after it, has its answer."""
        transport = self.connect(RIGHT[:-1])
        transport.protocol.readConnectionLost()
        self.assertRefused(transport, UNREAD, bad_login=1)
        transport = self.connect(b"hello")
        transport.protocol.readConnectionLost()
        self.assertRefused(transport, UNREAD, bad_login=2)

    def test_noTraffic(self) -> None:
        """A peer that connects and ends without a byte, as health checks do, is not refused."""
        transport = self.connect()
        transport.protocol.readConnectionLost()
        self.assertTrue(transport.disconnecting)
        self.assertReasons()

    def test_leaves(self) -> None:
        """A peer that leaves during the penalty leaves nothing behind."""
        self.connect(WRONG).end(ConnectionLost())
        self.assertNothingLeft()

    def test_log(self) -> None:
        """A refusal is one line with the peer and the user, escaped, and no password; a thousand are one."""
        with capturedLogs() as events:
            self.connect("login \u202ealice hunter2\n".encode())
            for _ in range(100):
                self.connect(b"login hunter2\n")
        [line] = [event for event in events if event["log_level"].name == "warn"]
        self.assertEqual(line["last"], " (the last one: 127.0.0.1:40000 failed to log in as '\\u202ealice')")
        self.assertNotIn("hunter2", repr(events))

    def test_noPasswordOfNoLine(self) -> None:
        """A wrong line may hold a password, and is not logged."""
        with capturedLogs() as events:
            self.connect(b"hunter2\n")
        self.assertNotIn("hunter2", repr(events))

    def test_tooManyWaiting(self) -> None:
        """Refused lines of one peer are bounded while they wait; others log in meanwhile."""
        self.patch(auth, "MAX_WAITING", 2)
        waiting = [self.connect(WRONG), self.connect(b"hello")]
        for data in (WRONG, b"hello"):
            late = self.connect(data)
            self.assertTrue(late.disconnected)
            self.assertEqual(late.value(), b"")
        self.assertReasons(login=1, bad_login=1, too_many_logins=2)
        self.assertEqual(self.connect(RIGHT).value(), b"ok\n")
        waiting[0].end(ConnectionLost())
        self.assertFalse(self.connect(b"hello").disconnected)
        self.clock.advance(PENALTY)
        self.assertEqual(self.logins.waiting, {})

    def test_tooManyChecks(self) -> None:
        """A password that is one too many is not checked; wrong lines take no password's place."""
        self.patch(auth, "MAX_CHECKS", 1)
        portal, answer, _ = self.beginSlow()
        for _ in range(20):
            self.connect(b"hello")
        first, second = self.connect(RIGHT), self.connect(RIGHT)
        self.assertEqual((second.disconnected, len(portal.asked)), (True, 1))
        answer.callback(portal.avatar())
        self.assertEqual((first.value(), self.logins.checks), (b"ok\n", 0))

    def test_makesRoom(self) -> None:
        """In a full service the oldest connection without a complete line goes, and no other one."""
        self.begin(portalFor([PasswordChecker([(b"alice", b"secret")])]), maxConnections=3)
        self.counts.makeRoom = self.logins.makeRoom
        user, old, young = self.connect(RIGHT), self.connect(b"l"), self.connect()
        newest = self.connect(RIGHT)
        self.assertEqual(
            [each.disconnected for each in (user, old, young, newest)], [False, True, False, False]
        )
        self.assertEqual(newest.value(), b"ok\n")
        self.assertEqual(self.connect(RIGHT).value(), b"ok\n")
        self.assertTrue(young.disconnected)
        self.assertTrue(self.connect(RIGHT).disconnected)
        self.assertReasons(no_login=2, max_connections=1)

    def test_twistedsTLS(self) -> None:
        """Over a transport whose sides can't end independently, the end is a close, and a reset in time."""
        self.patch(closing, "canHalfClose", lambda transport: False)
        transport = self.connect(WRONG)
        self.clock.advance(PENALTY)
        self.assertEqual((transport.value(), transport.disconnecting), (DENIED, True))
        self.clock.advance(LINGER)
        self.assertTrue(transport.disconnected)


class TimeTests(LoginTestCase):
    def test_silence(self) -> None:
        """A peer that sends no line in time is reset."""
        silent, slow = self.connect(), self.connect()
        self.clock.advance(LINE_TIMEOUT - 0.001)
        slow.deliver(RIGHT[:-1])
        self.clock.advance(0.001)
        self.assertEqual((silent.disconnected, slow.disconnected), (True, False))
        self.clock.advance(LINE_TIMEOUT - 0.001)
        self.assertTrue(slow.disconnected)
        self.assertEqual(self.counts.timedOut.byReason, {"auth": 2})
        self.assertNothingLeft()

    def test_finish(self) -> None:
        """The ``finish`` of a drain or a time-out closes a gate; a login under way is an owed answer."""
        transport = self.connect(RIGHT[:3])
        self.assertEqual(transport.protocol.pending, 0)
        transport.protocol.finish()
        self.assertTrue(transport.disconnecting)
        transport = self.connect(WRONG)
        self.assertEqual(transport.protocol.pending, 1)
        self.clock.advance(PENALTY)
        self.assertIsInstance(transport.protocol, Lingering)


class LaterTests(LoginTestCase):
    """A portal that answers later, or never."""

    def test_later(self) -> None:
        """Bytes and the end of the stream during a check are kept for the echo after the answer."""
        portal, answer, _ = self.beginSlow()
        transport = self.connect(RIGHT + b"one ")
        transport.deliver(b"two")
        transport.protocol.readConnectionLost()
        self.assertEqual(transport.value(), b"")
        answer.callback(portal.avatar())
        self.assertEqual(transport.value(), b"ok\none two")
        self.assertTrue(transport.disconnecting)
        self.assertIsNone(transport.producer)

    def test_flood(self) -> None:
        """A peer that goes on sending is not read any more, and loses nothing of it."""
        portal, answer, _ = self.beginSlow()
        transport = self.connect(RIGHT)
        chunk = bytes(KEPT // 4)
        for _ in range(10):
            transport.deliver(chunk)
        self.assertEqual(transport.producerState, "paused")
        self.assertLess(len(transport.protocol.received), 2 * KEPT)
        answer.callback(portal.avatar())
        transport.deliver(b"end")
        self.assertEqual(transport.value(), b"ok\n" + 10 * chunk + b"end")

    def test_handedInOnResuming(self) -> None:
        """Bytes that a transport delivers when it is resumed, and the end, come after the kept bytes."""

        class Holding(Transport):
            def resumeProducing(self) -> None:
                super().resumeProducing()
                self.deliver(b"")
                self.protocol.readConnectionLost()

        portal, answer, _ = self.beginSlow()
        transport = self.connect(RIGHT, Holding())
        for byte in b"abc":
            transport.deliver(bytes([byte]) * (KEPT - 1))
        answer.callback(portal.avatar())
        self.assertEqual(transport.value(), b"ok\n" + b"".join(bytes([b]) * (KEPT - 1) for b in b"abc"))
        self.assertTrue(transport.disconnecting)

    def test_endForAnyProtocol(self) -> None:
        """A protocol that does not hear of half-closes is closed at the peer's end."""
        portal, answer, _ = self.beginSlow()
        self.top.protocol = cast(Any, Protocol)
        transport = self.connect(RIGHT)
        transport.protocol.readConnectionLost()
        answer.callback(portal.avatar())
        self.assertTrue(transport.disconnecting)

    def test_denied(self) -> None:
        """The second of the penalty runs from the line, so that it does not tell how long a check took."""
        for passed, left in ((0.4, 0.6), (5.0, 0.0)):
            _, answer, _ = self.beginSlow()
            transport = self.connect(WRONG)
            self.clock.advance(passed)
            answer.errback(UnauthorizedLogin())
            self.clock.advance(max(0.0, left - 0.001))
            self.assertEqual(transport.value(), b"" if left else DENIED)
            self.clock.advance(0.002)
            self.assertEqual(transport.value(), DENIED)
            transport.end(ConnectionDone())

    def test_never(self) -> None:
        """A check that takes too long is cancelled, and said to the peer and in the log."""
        _, _, cancelled = self.beginSlow()
        transport = self.connect(RIGHT)
        self.clock.advance(CHECK_TIMEOUT)
        self.assertEqual(len(cancelled), 1)
        self.clock.advance(0)
        self.assertEqual((transport.value(), transport.isHalfClosed), (UNCHECKED, True))
        self.assertReasons(checker=1)
        transport.end(ConnectionDone())
        self.assertNothingLeft()

    def test_leaves(self) -> None:
        """A peer that leaves has its check cancelled."""
        _, _, cancelled = self.beginSlow()
        self.connect(RIGHT).end(ConnectionLost())
        self.assertEqual(len(cancelled), 1)
        self.assertNothingLeft()
        self.assertReasons()

    def test_leavesTooLate(self) -> None:
        """A right login that comes after its cancellation is logged out at once."""
        portal = FakePortal()
        answer: Deferred[Any] = Deferred(lambda it: it.callback(portal.avatar()))
        portal.answers.append(answer)
        self.begin(portal)
        self.connect(RIGHT).end(ConnectionLost())
        self.assertEqual(portal.left, 1)
        self.assertNothingLeft()


class FailingTests(LoginTestCase):
    """A checker that fails, and one that is none."""

    def test_fails(self) -> None:
        """A checker's failure is one line in the log, without the error's text, and the peer is told."""
        for number, error in enumerate((ZeroDivisionError("hunter2"), ValueError("hunter2")), 1):
            self.begin(FakePortal(error if number == 1 else fail(error)))
            with capturedLogs() as events:
                transport = self.connect(b"login alice hunter2\n")
            [line] = [event for event in events if event["log_level"].name == "warn"]
            self.assertIn(f"could not be checked: {type(error).__name__}", line["last"])
            self.assertNotIn("hunter2", repr(events))
            self.assertRefused(transport, UNCHECKED, checker=1)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_denied(self) -> None:
        """A realm that denies a login is no failure of the checker."""
        self.begin(FakePortal(fail(LoginDenied())))
        self.assertRefused(self.connect(RIGHT), DENIED, login=1)

    def test_noAvatar(self) -> None:
        """A wrong avatar is a failure of the checker too."""
        for answer in (None, succeed(None), succeed((IEchoUser, None, None))):
            self.begin(FakePortal(answer))
            self.assertRefused(self.connect(RIGHT), UNCHECKED, checker=1)

    def test_noCheckerForPasswords(self) -> None:
        """A portal that checks no passwords is refused when the service is made."""
        portal = Portal(EchoRealm(), [AllowAnonymousAccess()])
        self.assertRaises(ValueError, Logins, portal, self.clock)


class ReloadTests(LoginTestCase):
    def test_reload(self) -> None:
        """Files of passwords are read again, in a portal of one's own too; others are left alone."""
        path: str = self.mktemp()
        for portal in (
            lambda: portalFor([PasswordFile(path)]),
            lambda: Portal(EchoRealm(), [PasswordFile(path)]),
        ):
            Path(path).write_text("alice:other\n")
            self.begin(portal())
            Path(path).write_text("alice:secret\n")
            self.logins.reload()
            self.assertEqual(self.connect(RIGHT).value(), b"ok\n")
        self.begin(FakePortal())
        self.logins.reload()


class LogoutTests(LoginTestCase):
    def test_once(self) -> None:
        """A logout is called once, when the connection ends, also if the end is reported twice."""
        portal = self.beginRight()
        transport = self.connect(RIGHT)
        self.assertEqual(portal.left, 0)
        for _ in range(2):
            transport.end(ConnectionDone())
            transport.ended = False
        self.assertEqual(portal.left, 1)

    def test_refusedBehind(self) -> None:
        """A logout is called too when the connection is refused behind the gate."""
        portal = self.beginRight()
        refusing = [lambda _build: lambda *_: Refusal()]
        self.factory = Stack(EchoFactory(), self.counts, logins=self.logins, layers=refusing)
        transport = self.connect(RIGHT)
        self.assertTrue(transport.disconnected)
        self.assertEqual(portal.left, 1)

    def test_fails(self) -> None:
        """A logout that fails is logged, and changes nothing."""

        def leave() -> None:
            raise ZeroDivisionError

        self.begin(FakePortal(succeed((IEchoUser, EchoUser("alice"), leave))))
        self.connect(RIGHT).end(ConnectionDone())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertNothingLeft()


class CertificateTests(LoginTestCase):
    def shake(self, certificate: object, *interfaces: Any) -> Transport:
        """Connects a peer over TLS; returns the transport after the handshake."""
        transport = Transport()
        transport.getHandle = lambda: certificate  # type: ignore[attr-defined]
        directlyProvides(transport, *interfaces)
        self.connect(transport=transport)
        transport.protocol.handshakeCompleted()
        return transport

    def test_login(self) -> None:
        """A verified certificate is a login: nothing is read or said before the echo."""
        self.patch(certificates, "subjectName", lambda tls: tls and f"name of {tls}")
        with capturedLogs() as events:
            transport = self.shake("it", ITLSTransport)
        self.assertEqual([event["user"] for event in events if "user" in event], ["name of it"])
        transport.deliver(WRONG)
        self.assertEqual(transport.value(), WRONG)
        transport.end(ConnectionDone())
        self.assertNothingLeft()

    def test_none(self) -> None:
        """Without one, or over a TLS that may not verify it, there is a line as ever."""
        self.patch(certificates, "subjectName", lambda tls: tls)
        for transport in (self.shake(None, ITLSTransport), self.shake("it")):
            transport.deliver(RIGHT)
            self.assertEqual(transport.value(), b"ok\n")

    def test_listener(self) -> None:
        """A protocol behind the gate is told of the handshake, before its first bytes."""
        seen: list[object] = []

        @implementer(IHandshakeListener)
        class Listening(EchoProtocol):
            def handshakeCompleted(self) -> None:
                seen.append("shaken")

            def dataReceived(self, data: bytes) -> None:
                seen.append(data)

        self.top.protocol = Listening
        self.shake(None).deliver(RIGHT + b"hello")
        self.assertEqual(seen, ["shaken", b"hello"])


class AnythingTests(LoginTestCase):
    @given(
        st.lists(st.binary(min_size=1, max_size=40) | st.sampled_from([b"login ", b"alice secret", b"\r\n"])),
        st.booleans(),
        st.sampled_from(["right", "later", "wrong", "never"]),
    )
    def test_anything(self, pieces: list[bytes], isEnded: bool, kind: str) -> None:
        """Any bytes in any pieces, a half-close, any portal: there is an end, and nothing is left."""
        portal = FakePortal()
        later: Deferred[Any] = Deferred()
        portal.answers.append({"right": portal.avatar(), "wrong": LoginDenied()}.get(kind, later))
        self.begin(portal)
        transport = self.connect()
        for piece in pieces:
            if not transport.disconnected:
                transport.deliver(piece)
        isGate = isinstance(protocolOf(transport), (LoginGate, Lingering))
        if isEnded and not transport.waiting and not transport.disconnecting:
            transport.protocol.readConnectionLost()
        if kind == "later" and portal.asked:
            later.callback(portal.avatar())
        self.clock.pump([PENALTY] * 200)
        if isGate and isinstance(protocolOf(transport), (LoginGate, Lingering)):
            self.assertTrue(transport.disconnecting or transport.disconnected)
            self.assertIn(transport.value(), (b"", DENIED, UNREAD, UNCHECKED))
        else:
            stream = b"".join(pieces)
            found = parseLogin(stream)
            self.assertEqual(transport.value(), b"ok\n" + stream[found[1] if found else 0 :])
        transport.end(ConnectionDone())
        self.assertNothingLeft()
        self.assertEqual(portal.left, not isinstance(protocolOf(transport), (LoginGate, Lingering)))
