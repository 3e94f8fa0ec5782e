"""Checkers of credentials for ``twisted.cred``: password files, checkers by description, and a portal.

The checkers of this module compare passwords in constant time, at the same cost whether the user exists or
not. They keep only keyed digests of passwords. No log line or error of this module contains a password.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hmac import compare_digest, digest

from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.cred.strcred import InvalidAuthType, findCheckerFactories, findCheckerFactory
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import Interface, implementer

from echo_app.filewatch import Stamps, contentsOf
from echo_app.hints import didYouMean, nearest
from echo_app.interfaces import IEchoUser
from echo_app.text import escaped

log = Logger()

# Twisted's identifier of an avatar: a user's name, or ``()`` for an anonymous user.
AvatarId = bytes | tuple[()]


class BadChecker(ValueError):
    """A description that names no usable checker; the text has the reason, in one line without passwords."""


@implementer(ICredentialsChecker)
class PasswordChecker:
    """Checks passwords against a list of users.

    :param users: names and passwords; the first one counts if a name occurs twice.
    """

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, users: Iterable[tuple[bytes, bytes]]) -> None:
        self._key = secrets.token_bytes(32)
        # Compared for an unknown user, so that the check takes the same time. No password has this digest.
        self._unknownUser = secrets.token_bytes(32)
        self.setUsers(users)

    def setUsers(self, users: Iterable[tuple[bytes, bytes]]) -> None:
        """Replaces the list of users."""
        self._digests: dict[bytes, bytes] = {}
        for name, password in users:
            self._digests.setdefault(name, self._digest(password))

    def requestAvatarId(self, credentials: IUsernamePassword) -> Deferred[AvatarId]:
        """Returns the user's name; fails with ``UnauthorizedLogin``."""
        known = self._digests.get(credentials.username, self._unknownUser)
        if compare_digest(known, self._digest(credentials.password)):
            return succeed(credentials.username)
        return fail(UnauthorizedLogin())

    def _digest(self, password: bytes) -> bytes:
        return digest(self._key, password, "sha256")


class PasswordFile(PasswordChecker):
    """Checks passwords against a file with lines ``USER:PASSWORD``, read as by ``FilePasswordDB``.

    Space at a line's end, further fields, and lines with one field are ignored, and so are comments: lines
    that begin with ``#``.

    :param path: the file's path.
    :raise OSError: when the file can't be read.
    :raise ValueError: when the file has no user.
    """

    def __init__(self, path: str) -> None:
        # A daemon changes its directory before it reads the file again.
        self._path = os.path.abspath(path)
        self._stamps = Stamps([self._path])
        super().__init__(self._read())

    def watch(self) -> Callable[[], None]:
        """Returns a function to call every few seconds, which reads a changed file again."""
        return self._stamps.watch(self.reload)

    def reload(self) -> None:
        """Reads the file again, for later logins. After an error the users stay as they were."""
        try:
            if os.path.exists(self._path) and not os.path.isfile(self._path):
                # To open a pipe whose writer has gone would block.
                raise ValueError("not a file")
            self.setUsers(self._read())
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            log.error("{path} not read again: {reason}", path=escaped(self._path), reason=reason)
        else:
            log.info("{path} read again", path=escaped(self._path))

    def _read(self) -> list[tuple[bytes, bytes]]:
        self._stamps.note()
        read = contentsOf(self._path).split(b"\n")
        lines = [line.rstrip().split(b":") for line in read if not line.startswith(b"#")]
        users = [(fields[0], fields[1]) for fields in lines if len(fields) > 1]
        if not users:
            raise ValueError("no line USER:PASSWORD")
        return users


@implementer(ICredentialsChecker)
class FirstOf:
    """Asks checkers in turn, until one accepts the user and the password.

    A checker that fails with an error other than ``UnauthorizedLogin`` is the last one asked.
    """

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, checkers: Sequence[ICredentialsChecker]) -> None:
        self._checkers = tuple(checkers)

    def requestAvatarId(self, credentials: IUsernamePassword) -> Deferred[AvatarId]:
        """Returns the identifier from the first checker that accepts; fails as the last one asked fails."""
        return self._ask(0, credentials)

    @property
    def passwordFiles(self) -> list[PasswordFile]:
        """The checkers that are password files."""
        return [each for each in self._checkers if isinstance(each, PasswordFile)]

    def _ask(self, index: int, credentials: IUsernamePassword) -> Deferred[AvatarId]:
        asked = maybeDeferred(self._checkers[index].requestAvatarId, credentials)

        def askNext(failure: Failure) -> Deferred[AvatarId]:
            failure.trap(UnauthorizedLogin)
            return self._ask(index + 1, credentials)

        return asked.addErrback(askNext) if index + 1 < len(self._checkers) else asked


@implementer(IEchoUser)
@dataclass(frozen=True, slots=True)
class EchoUser:
    """A user of the echo."""

    name: str


@implementer(IRealm)
class EchoRealm:
    """Realm of ``twisted.cred`` whose avatars are users with the name that the checker returned."""

    def requestAvatar(
        self, avatarId: object, mind: object, *interfaces: type[Interface]
    ) -> tuple[type[Interface], object, Callable[[], None]]:
        """Returns an ``IEchoUser``, whose logout does nothing.

        :raise NotImplementedError: when the portal asks for another interface.
        """
        if IEchoUser not in interfaces:
            raise NotImplementedError("its avatars are an IEchoUser")
        name = avatarId.decode(errors="backslashreplace") if isinstance(avatarId, bytes) else str(avatarId)
        return IEchoUser, EchoUser(name), lambda: None


def portalFor(checkers: Sequence[ICredentialsChecker]) -> Portal:
    """Returns a portal that accepts a user if any of the checkers does."""
    return Portal(EchoRealm(), [FirstOf(checkers)])


def checkerOf(description: str) -> ICredentialsChecker:
    """Returns the checker that a description names.

    :param description: as for ``twisted.cred.strcred.makeChecker``; ``file:`` and ``memory:`` are the
        checkers of this module.
    :raise BadChecker: when the checker can't be made, for any reason.
    """
    kind, _, argument = description.partition(":")
    own = {"file": _fromFile, "memory": _fromList}.get(kind)
    return _installed(kind, argument) if own is None else own(argument)


def _fromFile(argument: str) -> PasswordFile:
    if not argument:
        raise BadChecker("no file is named")
    try:
        return PasswordFile(argument)
    except OSError as error:
        raise BadChecker(f"{argument!r}: {error.strerror}") from error
    except ValueError as error:
        raise BadChecker(f"{argument!r}: {error}") from error


def _fromList(argument: str) -> PasswordChecker:
    fields = [os.fsencode(each) for each in argument.split(":")]
    if len(fields) % 2 or not all(fields):
        raise BadChecker("memory: needs a list USER:PASSWORD:USER:PASSWORD...")
    return PasswordChecker(zip(fields[::2], fields[1::2], strict=True))


def _installed(kind: str, argument: str) -> ICredentialsChecker:
    """Returns a plugin's checker."""
    try:
        factory = findCheckerFactory(kind)
    except InvalidAuthType:
        known = _known()
        near = didYouMean(nearest(kind, known))
        raise BadChecker(f"no such checker; there are {', '.join(known)}{near}") from None
    if IUsernamePassword not in factory.credentialInterfaces:
        raise BadChecker("it checks no passwords")
    try:
        checker: ICredentialsChecker = factory.generateChecker(argument)
    except Exception as error:
        # The text of the plugin's error may quote a password.
        wanted = " ".join(str(factory.argStringFormat).split())
        raise BadChecker(f"{type(error).__name__}; what follows it: {wanted}") from error
    return checker


def _known() -> list[str]:
    return sorted(
        {each.authType for each in findCheckerFactories() if IUsernamePassword in each.credentialInterfaces}
    )
