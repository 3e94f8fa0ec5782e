"""Login gate: reads a login before the echo, which ``twisted.cred`` checks.

The protocol:

- The peer's first line is ``login USER PASSWORD`` (:mod:`echo_app.access.loginline` has the full syntax).
- The answer to a right login is ``ok`` and LF. Every byte after the line belongs to the echo, and comes back
  after that answer, whether the peer sent it before the answer or later.
- The answer to anything else is ``error: ``, a reason and LF, and then the end of the stream. It comes a
  second after the line, or after the first byte that rules a line out, however long the check took.
- The service sends nothing before the line. The line must begin within a minute, and be complete within
  another one; otherwise the connection is reset.
- A certificate that our TLS has verified logs the peer in: no line, and no answer.

While a line is checked, what follows is kept: 64 KiB and one read at the most. After a refusal nothing is
read. A drain waits for the answer to a line.

Bounded are the passwords that are checked at one time, in all, and the refused lines that wait for their
answer, by peer. A connection whose line is not complete makes room for a new one when the service is full:
the oldest one is reset.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import LoginFailed, UnhandledCredentials
from twisted.internet.defer import maybeDeferred
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from echo_app.access.checkers import FirstOf, PasswordFile
from echo_app.access.loginline import BadLogin, Login, parseLogin
from echo_app.addresses import InternetAddress, describe, peerKey
from echo_app.connections.gate import Gate, GateInput, GateState, endReading
from echo_app.connections.record import Ending, recordOf
from echo_app.interfaces import Build, IEchoUser, ITLSTransport
from echo_app.transport.sockets import reset

if TYPE_CHECKING:
    from twisted.cred.portal import Portal
    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IReactorTime

    from echo_app.connections.connection import Connection

log = Logger()

# Seconds until the first byte, and from there to the line's end: a user may type the line by hand.
LINE_TIMEOUT = 60.0

# Seconds that a check may take.
CHECK_TIMEOUT = 30.0

# Seconds from a wrong line to its answer: this makes guessing slow.
PENALTY = 1.0

# Passwords that a service checks at one time. A line that is one too many is not looked at, so that its reset
# tells nothing about the password.
MAX_CHECKS = 1000

# Refused lines of one peer, an IPv4 address or an IPv6 /64, that wait for their answer: with the penalty, as
# many guesses a second. A line that is one too many is reset without an answer.
MAX_WAITING = 100

# Bytes that are kept during a check, before reading from the peer pauses.
KEPT = 1 << 16


class Logins:
    """The portal and the count that the login gates of a service share.

    :param portal: checks an ``IUsernamePassword``, and is asked for an ``IEchoUser``, whose logout is called
        once, when the connection has ended.
    :param clock: tells the time.
    :raise ValueError: when the portal checks no passwords.

    :ivar checks: how many passwords are being checked.
    :ivar waiting: how many refused lines wait for their answer, by peer.
    :ivar reading: the gates whose line is not complete, the oldest first.
    """

    def __init__(self, portal: Portal, clock: IReactorTime) -> None:
        if IUsernamePassword not in portal.listCredentialsInterfaces():
            raise ValueError("the portal has no checker for an IUsernamePassword")
        self.portal = portal
        self.clock = clock
        self.checks = 0
        self.waiting: Counter[str] = Counter()
        self.reading: dict[LoginGate, None] = {}

    def layer(self, build: Build) -> Build:
        """Puts a login gate below the layers that `build` makes."""
        return lambda _address, connection: LoginGate(build, connection, self)

    def makeRoom(self) -> bool:
        """Resets the oldest connection whose line is not complete; returns whether there was one."""
        for gate in self.reading:
            gate.connection.refuse(Ending.AUTH, "no-login")
            reset(gate.transport)
            return True
        return False

    def reload(self) -> None:
        """Makes our own checkers read their files again."""
        for file in self._passwordFiles():
            file.reload()

    def watch(self) -> list[Callable[[], None]]:
        """Returns functions to call every few seconds, which read changed password files again."""
        return [file.watch() for file in self._passwordFiles()]

    def _passwordFiles(self) -> list[PasswordFile]:
        found: list[PasswordFile] = []
        for checker in getattr(self.portal, "checkers", {}).values():
            if isinstance(checker, FirstOf):
                found += checker.passwordFiles
            elif isinstance(checker, PasswordFile):
                found.append(checker)
        return found


class LoginGate(Gate):
    """Reads a login line, has the portal check it, and hands the connection over, or closes it.

    :param build: makes the next protocol.
    :param connection: the connection whose login it reads.
    :param logins: the portal and the count.
    """

    ending = Ending.AUTH
    firstByteTimeout = prefixTimeout = LINE_TIMEOUT

    def __init__(self, build: Build, connection: Connection, logins: Logins) -> None:
        super().__init__(build, connection, logins.clock)
        self._logins = logins
        self._readAt = 0.0
        self._size = 0
        self._waitsAs: str | None = None
        self._asked: Deferred[Any] | None = None

    def handshakeCompleted(self) -> None:
        """Logs the peer in by its certificate, if our TLS has verified one."""
        super().handshakeCompleted()
        # Only over our TLS: Twisted's own may be set up to take a certificate without verifying it.
        if ITLSTransport.providedBy(self.transport):
            # Imported here, since nothing else in this module needs cryptography.
            from echo_app.tls.certificates import subjectName

            name = subjectName(self.transport.getHandle())
            if name is not None:
                self.connection.loggedIn(name)
                self._pass()

    def prefixReceived(self) -> None:
        """Reads the line; keeps the bytes after it."""
        if self.state is GateState.READING:
            try:
                found = parseLogin(self.received)
            except BadLogin:
                self._refuseLine()
            else:
                if found is not None:
                    self._check(*found)
        elif self.state is GateState.CHECKING and len(self.received) > KEPT:
            self.pause()

    def prefixEnded(self) -> None:
        """Refuses an incomplete line."""
        self._refuseLine()

    def connectionMade(self) -> None:
        """Begins to wait."""
        super().connectionMade()
        self._logins.reading[self] = None

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Stops waiting, for a check too."""
        self._leave()
        super().connectionLost(reason)
        if self._asked is not None:
            self._asked.cancel()

    def _check(self, login: Login, size: int) -> None:
        if self._logins.checks >= MAX_CHECKS:
            self._refuseUnanswered()
            return
        self._leave(GateState.CHECKING)
        self._logins.checks += 1
        self._size = size
        self.wait(CHECK_TIMEOUT, self._checkTimedOut)
        self._asked = maybeDeferred(self._logins.portal.login, login, None, IEchoUser)
        self._asked.addCallback(_nameAndLogout)
        self._asked.addCallbacks(self._loggedIn, self._failed, errbackArgs=(login.username.decode(),))
        self._asked.addErrback(self._protocolFailed)

    def _leave(self, state: GateState = GateState.OVER) -> None:
        """Leaves a state, and what is counted of it."""
        logins = self._logins
        if self.state is GateState.READING:
            logins.reading.pop(self, None)
            self._readAt = self.clock.seconds()
        elif self.state is GateState.CHECKING:
            logins.checks -= 1
        elif self.state is GateState.REFUSED and self._waitsAs is not None:
            logins.waiting[self._waitsAs] -= 1
            if not logins.waiting[self._waitsAs]:
                del logins.waiting[self._waitsAs]
        self.state = state
        # A line that is read and not answered; a drain waits for it.
        self.pending = int(state in (GateState.CHECKING, GateState.REFUSED))

    def _refuseUnanswered(self) -> None:
        self.connection.refuse(self.ending, "too-many-logins")
        reset(self.transport)

    def _loggedIn(self, found: tuple[str, Callable[[], object]]) -> None:
        name, logout = found
        if self.state is not GateState.CHECKING:
            _callLogout(logout)
            return
        self.connection.loggedIn(name, lambda: _callLogout(logout))
        self._pass(b"ok\n")

    def _pass(self, answer: bytes = b"") -> None:
        self._leave()
        # From over TLS, what was kept below comes in here.
        self.resume()
        transport = self.transport
        record = recordOf(transport)
        if record is not None:
            record.greeting += len(answer)
        if answer:
            transport.write(answer)
        self.handOver(self._size)
        if self.input is GateInput.ENDED:
            endReading(transport)

    def _failed(self, failure: Failure, user: str) -> None:
        if self.state is not GateState.CHECKING:
            return
        if failure.check(LoginFailed) and not failure.check(UnhandledCredentials):
            self._refuse("login", f"failed to log in as {user!r}", "wrong user or password")
        else:
            self._uncheckable(_placeOf(failure))

    def _checkTimedOut(self) -> None:
        self._uncheckable(f"no answer in {CHECK_TIMEOUT:g} s")
        if self._asked is not None:
            self._asked.cancel()

    def _uncheckable(self, why: str) -> None:
        self._refuse("checker", f"could not be checked: {why}", "no login can be checked now")

    def _protocolFailed(self, failure: Failure) -> None:
        log.failure("a connection's protocol failed", failure)
        reset(self.transport)

    def _refuseLine(self) -> None:
        self._refuse("bad-login", "sent no login line", "the first line is: login USER PASSWORD")

    def _refuse(self, reason: str, what: str, answer: str) -> None:
        address = self.transport.getPeer()
        peer = peerKey(address.host) if isinstance(address, InternetAddress) else ""
        if self._logins.waiting[peer] >= MAX_WAITING:
            self._refuseUnanswered()
            return
        self.connection.refuse(self.ending, reason, line=f"{describe(address)} {what}")
        self._leave(GateState.REFUSED)
        self._logins.waiting[peer] += 1
        self._waitsAs = peer
        self.received.clear()
        self.pause()
        passed = self.clock.seconds() - self._readAt
        self.wait(max(0.0, PENALTY - passed), lambda: self._answer(answer))

    def _answer(self, text: str) -> None:
        self._leave()
        self.dismiss(f"error: {text}\n".encode())


def _nameAndLogout(avatar: tuple[object, Any, Callable[[], object]]) -> tuple[str, Callable[[], object]]:
    _interface, user, logout = avatar
    return str(user.name), logout


def _callLogout(logout: Callable[[], object]) -> None:
    maybeDeferred(logout).addErrback(lambda failure: log.failure("a logout failed", failure))


def _placeOf(failure: Failure) -> str:
    """Returns the type and the place of a failure; the error's own text may quote a password."""
    place = f" at {failure.frames[-1][1]}:{failure.frames[-1][2]}" if failure.frames else ""
    return f"{failure.type.__qualname__ if failure.type else 'failure'}{place}"
