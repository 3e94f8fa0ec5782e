"""Checkers of users and passwords, and the portal that asks them."""

from __future__ import annotations

import os
from typing import Any

from twisted.cred import strcred
from twisted.cred.checkers import FilePasswordDB, ICredentialsChecker, InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import IAnonymous, IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm
from twisted.internet.defer import Deferred, succeed
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from echo_app.access import checkers
from echo_app.access.checkers import (
    BadChecker,
    EchoRealm,
    FirstOf,
    PasswordChecker,
    PasswordFile,
    checkerOf,
    portalFor,
)
from echo_app.access.loginline import Login
from echo_app.interfaces import IEchoUser


class CheckerTestCase(SynchronousTestCase):
    def assertKnows(self, checker: Any, user: bytes, password: bytes) -> None:
        """Checks that a login is right."""
        self.assertEqual(self.successResultOf(checker.requestAvatarId(Login(user, password))), user)

    def assertDenies(self, checker: Any, user: bytes, password: bytes) -> None:
        """Checks that a login is wrong."""
        self.failureResultOf(checker.requestAvatarId(Login(user, password)), UnauthorizedLogin)


@implementer(ICredentialsChecker)
class FakeChecker:
    """Answers as a test says."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked = 0

    def requestAvatarId(self, _credentials: object) -> Any:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class PasswordCheckerTests(CheckerTestCase):
    def test_users(self) -> None:
        """A user's own password is right, and nothing else."""
        checker = PasswordChecker([(b"alice", b"secret"), (b"bob", b"x"), (b"alice", b"second")])
        verifyObject(ICredentialsChecker, checker)
        self.assertKnows(checker, b"alice", b"secret")
        self.assertKnows(checker, b"bob", b"x")
        for user, password in ((b"alice", b"x"), (b"alice", b"second"), (b"carol", b"x"), (b"Bob", b"x")):
            self.assertDenies(checker, user, password)

    def test_sameCost(self) -> None:
        """A known user and an unknown one take the same steps, and the comparison is in constant time."""
        compared: list[tuple[int, int]] = []

        def compare(one: bytes, other: bytes) -> bool:
            compared.append((len(one), len(other)))
            return one == other

        self.patch(checkers, "compare_digest", compare)
        checker = PasswordChecker([(b"alice", b"secret")])
        self.assertKnows(checker, b"alice", b"secret")
        for user, password in ((b"alice", b"s"), (b"alice", b"s" * 400), (b"carol", b"secret")):
            self.assertDenies(checker, user, password)
        self.assertEqual(compared, [(32, 32)] * 4)

    def test_noPasswords(self) -> None:
        """The passwords themselves are not kept."""
        checker = PasswordChecker([(b"alice", b"correct horse")])
        self.assertNotIn("correct horse", repr(vars(checker)))


class PasswordFileTests(CheckerTestCase):
    def write(self, content: bytes) -> str:
        """Writes the file; returns its path."""
        path: str = self.mktemp()
        with open(path, "wb") as file:
            file.write(content)
        return path

    def test_asTwisted(self) -> None:
        """A password file means the same as to Twisted's own checker."""
        path = self.write(b"# users\n\nalice:secret \r\nbob:a:b\n:x\nalice:other\ncarol:\n")
        own, twisted = PasswordFile(path), FilePasswordDB(path)
        for user, password, isRight in (
            (b"alice", b"secret", True),
            (b"alice", b"other", False),
            (b"bob", b"a", True),
            (b"bob", b"a:b", False),
            (b"dave", b"x", False),
        ):
            check = self.assertKnows if isRight else self.assertDenies
            check(own, user, password)
            check(twisted, user, password)

    def test_comments(self) -> None:
        """A line that begins with # is a comment; any other # belongs to the password."""
        path: str = self.mktemp()
        for content, users in ((b"#alice:secret\nbob:#x\n", ["bob"]), (b"# alice:secret\n", [])):
            with open(path, "wb") as file:
                file.write(content)
            if not users:
                self.assertRaises(ValueError, PasswordFile, path)
                continue
            checker = PasswordFile(path)
            self.successResultOf(checker.requestAvatarId(Login(b"bob", b"#x")))
            self.failureResultOf(checker.requestAvatarId(Login(b"#alice", b"secret")), UnauthorizedLogin)

    def test_watch(self) -> None:
        """A changed file is read again, once; one that can't be used is logged once, and changes nothing."""
        path = self.write(b"alice:secret\n")
        checker = PasswordFile(path)
        look = checker.watch()
        for content, level in ((b"bob:x\n", "info"), (b"no user", "error")):
            with open(path, "wb") as file:
                file.write(content)
            with capturedLogs() as events:
                for _ in range(4):
                    look()
            self.assertEqual([event["log_level"].name for event in events], [level])
            self.assertKnows(checker, b"bob", b"x")
            self.assertDenies(checker, b"alice", b"secret")

    def test_reload(self) -> None:
        """A reload reads the file again, also after the process has changed its folder."""
        path = self.write(b"alice:secret\n")
        checker = PasswordFile(path)
        with open(path, "wb") as file:
            file.write(b"bob:x\n")
        self.assertKnows(checker, b"alice", b"secret")
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir("/")
        with capturedLogs() as events:
            checker.reload()
        self.assertEqual([event["log_level"].name for event in events], ["info"])
        self.assertKnows(checker, b"bob", b"x")
        self.assertDenies(checker, b"alice", b"secret")

    def test_unusable(self) -> None:
        """A file that can't be used changes nothing, and is one line in the log."""
        path = self.write(b"alice:secret\n")
        checker = PasswordFile(path)
        for content, reason in (
            (b"", "no line USER:PASSWORD"),
            (None, "No such file or directory"),
            ("a pipe", "not a file"),
        ):
            if content is None:
                os.unlink(path)
            elif isinstance(content, str):
                os.mkfifo(path)
            else:
                with open(path, "wb") as file:
                    file.write(content)
            with capturedLogs() as events:
                checker.reload()
            [event] = events
            self.assertEqual((event["log_level"].name, str(event["reason"])), ("error", reason))
            self.assertKnows(checker, b"alice", b"secret")


class FirstOfTests(CheckerTestCase):
    def test_each(self) -> None:
        """The checkers are asked in turn, until one knows the user and the password."""
        first, second = PasswordChecker([(b"a", b"1"), (b"b", b"x")]), PasswordChecker([(b"b", b"2")])
        checker = FirstOf([first, second])
        verifyObject(ICredentialsChecker, checker)
        self.assertKnows(checker, b"a", b"1")
        self.assertKnows(checker, b"b", b"2")
        self.assertKnows(checker, b"b", b"x")
        self.assertDenies(checker, b"c", b"2")

    def test_fails(self) -> None:
        """A checker that fails otherwise is the last one asked."""
        last = FakeChecker(succeed(b"a"))
        checker = FirstOf([FakeChecker(ZeroDivisionError()), last])
        self.failureResultOf(checker.requestAvatarId(Login(b"a", b"1")), ZeroDivisionError)
        self.assertEqual(last.asked, 0)

    def test_cancelled(self) -> None:
        """Cancelling it cancels the check that is under way, also a second one."""
        cancelled: list[object] = []
        slow: Deferred[Any] = Deferred(cancelled.append)
        checker = FirstOf([PasswordChecker([]), FakeChecker(slow)])
        asked = checker.requestAvatarId(Login(b"a", b"1"))
        asked.addErrback(lambda _: None)
        asked.cancel()
        self.assertEqual(cancelled, [slow])


class PortalTests(SynchronousTestCase):
    def test_user(self) -> None:
        """The user of a login has the name that the checker returns, as text or bytes."""
        for avatarId, name in ((b"alice", "alice"), ("alice", "alice"), (b"\xff", "\\xff")):
            portal = portalFor([FakeChecker(succeed(avatarId))])
            asked: Deferred[Any] = portal.login(Login(b"a", b"1"), None, IEchoUser)
            interface, user, logout = self.successResultOf(asked)
            verifyObject(IEchoUser, user)
            self.assertEqual((interface, user.name), (IEchoUser, name))
            logout()

    def test_realm(self) -> None:
        """The realm has avatars for an echo alone."""
        verifyObject(IRealm, EchoRealm())
        self.assertRaises(NotImplementedError, EchoRealm().requestAvatar, b"alice", None, IRealm)


class DescriptionTests(CheckerTestCase):
    def reason(self, description: str) -> str:
        """Returns why a description is none."""
        error: BadChecker = self.assertRaises(BadChecker, checkerOf, description)
        return str(error)

    def install(self, **attributes: Any) -> None:
        """Installs a plugin."""

        class Factory:
            authType = "fake"
            argStringFormat = "Two\n  words"
            credentialInterfaces: tuple[Any, ...] = (IUsernamePassword,)

        for name, value in attributes.items():
            setattr(Factory, name, value if isinstance(value, tuple) else staticmethod(value))
        self.patch(strcred, "findCheckerFactories", lambda: [Factory])
        self.patch(checkers, "findCheckerFactories", lambda: [Factory])

    def test_memory(self) -> None:
        """Users and passwords in turn; Twisted's own, by a description, knows no user of a network."""
        checker = checkerOf("memory:alice:secret:žofie:x")
        self.assertKnows(checker, b"alice", b"secret")
        self.assertKnows(checker, "žofie".encode(), b"x")
        for wrong in ("memory", "memory:", "memory:alice", "memory:a:", "memory::a", "memory:a:b:c"):
            self.assertIn("USER:PASSWORD", self.reason(wrong))

    def test_file(self) -> None:
        """A file that is there."""
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(b"alice:secret\n")
        self.assertKnows(checkerOf(f"file:{path}"), b"alice", b"secret")
        self.assertIn("'none:such': No such file", self.reason("file:none:such"))
        self.assertIn("no line USER:PASSWORD", self.reason("file:/dev/null"))
        self.assertIn("no file", self.reason("file"))

    def test_unknown(self) -> None:
        """An unknown kind of checker is refused with a list of the kinds that check passwords."""
        self.assertEqual(self.reason("ldap:x"), "no such checker; there are file, memory, unix")
        self.assertIn("passwords", self.reason("anonymous"))

    def test_installed(self) -> None:
        """Any plugin's checker, with the argument as the plugin takes it."""
        self.install(generateChecker=FakeChecker)
        for description, argument in (("fake:a:b", "a:b"), ("fake", "")):
            made: Any = checkerOf(description)
            self.assertEqual(made.answer, argument)

    def test_wrongArgument(self) -> None:
        """A plugin's error about an argument may quote it, so that only the expected format is shown."""

        def generate(argument: str) -> object:
            raise ValueError(f"bad {argument}")

        self.install(generateChecker=generate)
        self.assertEqual(self.reason("fake:secret"), "ValueError; what follows it: Two words")

    def test_otherKind(self) -> None:
        """A checker of something else than passwords is none here."""
        self.install(credentialInterfaces=(IAnonymous,))
        self.assertIn("no passwords", self.reason("fake"))

    def test_twistedsMemory(self) -> None:
        """Twisted's own checkers, in Python, compare by our credentials."""
        database = InMemoryUsernamePasswordDatabaseDontUse(alice=b"secret")
        self.assertKnows(database, b"alice", b"secret")
        self.assertDenies(database, b"alice", b"x")
