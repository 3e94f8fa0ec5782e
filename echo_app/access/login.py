"""Login gate: a login before the echo, checked by ``twisted.cred``.

What a peer sees:

- Its first line is ``login USER PASSWORD``, as :mod:`echo_app.access.loginline` has it in full.
- The answer to a right one is ``ok`` and LF. Every byte after the line is the echo's, and comes back after
  that answer, whether it was sent before it or later.
- The answer to anything else is ``error: ``, a reason and LF, and then the end of the stream. It comes a
  second after the line, or after the first byte by which there can be none, however long the check took.
- Nothing is said before the line. It has a minute to begin, and another one to be complete; a peer that
  lets them pass is reset.
- A peer whose certificate our TLS has verified is logged in by that: no line, and no answer.

While a line is checked, what follows is kept: 64 KiB and one read at the most. After a refusal nothing is
read. From a complete line to its answer a login is under way: a drain waits for it, and their number is
bounded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import LoginFailed, UnhandledCredentials
from twisted.internet.defer import maybeDeferred
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from echo_app.access.checkers import FirstOf, PasswordFile
from echo_app.access.loginline import BadLogin, Login, parseLogin
from echo_app.addresses import describe
from echo_app.connections.gate import Gate, Input, State, endReading
from echo_app.connections.record import Ending, recordOf
from echo_app.interfaces import Build, IEchoUser, ITLSTransport
from echo_app.transport.sockets import reset

if TYPE_CHECKING:
    from OpenSSL.crypto import X509
    from twisted.cred.portal import Portal
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IReactorTime

    from echo_app.connections.connection import Connection

log = Logger()

# Seconds until the first byte, and from there to the line's end: it may be typed by hand.
LINE_TIMEOUT = 60.0

# Seconds that a check may take.
CHECK_TIMEOUT = 30.0

# Seconds from a line to the answer that it was wrong: what guessing costs.
PENALTY = 1.0

# Logins under way at one time, in a service: with the penalty, as many guesses a second at the most. A line
# that is one too many is not looked at, so that a full house tells nobody anything.
UNDER_WAY = 1000

# Bytes that are kept during a check, until the peer is not read any more.
KEPT = 1 << 16


class Logins:
    """What the login gates of a service have in common.

    :param portal: checks an ``IUsernamePassword``, and is asked for an ``IEchoUser``, whose logout is called
        once, when the connection has ended.
    :param clock: what time is.
    :raise ValueError: when the portal checks no passwords.

    :ivar underWay: lines that are read and not answered.
    """

    def __init__(self, portal: Portal, clock: IReactorTime) -> None:
        if IUsernamePassword not in portal.listCredentialsInterfaces():
            raise ValueError("the portal has no checker for an IUsernamePassword")
        self.portal = portal
        self.clock = clock
        self.underWay = 0

    def layer(self, build: Build) -> Build:
        """Puts a login gate below the layers that `build` makes."""
        return lambda _address, connection: LoginGate(build, connection, self)

    def reload(self) -> None:
        """Has the checkers of ours that read files read them again."""
        for checker in getattr(self.portal, "checkers", {}).values():
            if isinstance(checker, (FirstOf, PasswordFile)):
                checker.reload()


class LoginGate(Gate):
    """Reads a login line, has it checked, and hands the connection over, or closes it.

    :param build: makes the next protocol.
    :param connection: the connection whose login it reads.
    :param logins: the portal, and what the gates have in common.
    """

    ending = Ending.AUTH
    firstByteTimeout = prefixTimeout = LINE_TIMEOUT

    def __init__(self, build: Build, connection: Connection, logins: Logins) -> None:
        super().__init__(build, connection, logins.clock)
        self._logins = logins
        self._readAt = 0.0
        self._size = 0
        self._asked: Deferred[Any] | None = None

    def handshakeCompleted(self) -> None:
        """A certificate that was asked for, and verified, is a login."""
        super().handshakeCompleted()
        # Whether Twisted's own TLS verifies a certificate, or only takes it, is somebody else's decision.
        if ITLSTransport.providedBy(self.transport):
            certificate = self.transport.getPeerCertificate()
            if certificate is not None:
                # Here, since all else of it needs none of what that imports.
                from echo_app.tls.certificates import subjectName

                self.connection.loggedIn(subjectName(cast("X509", certificate)))
                self._pass()

    def prefixReceived(self) -> None:
        """Looks for the line; what follows it is kept."""
        if self.state is State.READING:
            try:
                found = parseLogin(self.received)
            except BadLogin:
                self._refuseLine()
            else:
                if found is not None:
                    self._check(*found)
        elif self.state is State.CHECKING and len(self.received) > KEPT:
            self.pause()

    def prefixEnded(self) -> None:
        """Refuses what is no line."""
        self._refuseLine()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Stops waiting, for a check too."""
        self._noMoreUnderWay()
        super().connectionLost(reason)
        if self._asked is not None:
            self._asked.cancel()

    def _check(self, login: Login, size: int) -> None:
        if not self._isTaken():
            return
        self.state = State.CHECKING
        self._size = size
        self.wait(CHECK_TIMEOUT, self._unanswered)
        self._asked = maybeDeferred(self._logins.portal.login, login, None, IEchoUser)
        self._asked.addCallback(_nameAndLogout)
        self._asked.addCallbacks(self._loggedIn, self._failed, errbackArgs=(login.username.decode(),))
        self._asked.addErrback(self._broken)

    def _isTaken(self) -> bool:
        """Counts a login as under way; resets its connection if it is one too many."""
        if self._logins.underWay >= UNDER_WAY:
            self.connection.refuse(self.ending, "too-many-logins")
            reset(self.transport)
            return False
        self._logins.underWay += 1
        self.pending = 1
        self._readAt = self.clock.seconds()
        return True

    def _noMoreUnderWay(self) -> None:
        self._logins.underWay -= self.pending
        self.pending = 0

    def _loggedIn(self, found: tuple[str, Callable[[], object]]) -> None:
        name, logout = found
        if self.state is not State.CHECKING:
            _leave(logout)
            return
        self.connection.loggedIn(name, lambda: _leave(logout))
        self._pass(b"ok\n")

    def _pass(self, answer: bytes = b"") -> None:
        self._noMoreUnderWay()
        self.state = State.OVER
        # From over TLS, what was kept below comes in here.
        self.resume()
        transport = self.transport
        record = recordOf(transport)
        if record is not None:
            record.greeting += len(answer)
        if answer:
            transport.write(answer)
        self.handOver(self._size)
        if self.input is Input.ENDED:
            endReading(transport)

    def _failed(self, failure: Failure, user: str) -> None:
        if self.state is not State.CHECKING:
            return
        if failure.check(LoginFailed) and not failure.check(UnhandledCredentials):
            self._refuse("login", f"failed to log in as {user!r}", "wrong user or password")
        else:
            self._uncheckable(_placeOf(failure))

    def _unanswered(self) -> None:
        self._uncheckable(f"no answer in {CHECK_TIMEOUT:g} s")
        if self._asked is not None:
            self._asked.cancel()

    def _uncheckable(self, why: str) -> None:
        self._refuse("checker", f"could not be checked: {why}", "no login can be checked now")

    def _broken(self, failure: Failure) -> None:
        log.failure("a connection's protocol failed", failure)
        reset(self.transport)

    def _refuseLine(self) -> None:
        if self._isTaken():
            self._refuse("bad-login", "sent no login line", "the first line is: login USER PASSWORD")

    def _refuse(self, reason: str, what: str, answer: str) -> None:
        line = f"{describe(self.transport.getPeer())} {what}"
        self.connection.refuse(self.ending, reason, line=line)
        self.state = State.REFUSED
        self.received.clear()
        self.pause()
        passed = self.clock.seconds() - self._readAt
        self.wait(max(0.0, PENALTY - passed), lambda: self._answer(answer))

    def _answer(self, text: str) -> None:
        self._noMoreUnderWay()
        self.dismiss(f"error: {text}\n".encode())


def _nameAndLogout(avatar: tuple[object, Any, Callable[[], object]]) -> tuple[str, Callable[[], object]]:
    _interface, user, logout = avatar
    return str(user.name), logout


def _leave(logout: Callable[[], object]) -> None:
    maybeDeferred(logout).addErrback(lambda failure: log.failure("a logout failed", failure))


def _placeOf(failure: Failure) -> str:
    """Says what failed and where; not the error's own text, which may quote a password."""
    place = f" at {failure.frames[-1][1]}:{failure.frames[-1][2]}" if failure.frames else ""
    return f"{failure.type.__qualname__ if failure.type else 'failure'}{place}"
