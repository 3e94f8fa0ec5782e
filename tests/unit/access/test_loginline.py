"""The line by which a peer logs in."""

from __future__ import annotations

from hypothesis import strategies as st
from twisted.cred.credentials import IUsernamePassword
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from echo_app.access.loginline import COMMAND, MAX_LINE, BadLogin, Login, parseLogin
from tests.support.properties import example, given


class ParseTests(SynchronousTestCase):
    def test_line(self) -> None:
        """A user, and all the rest of the line as the password; LF or CR LF ends it, and more may follow."""
        for stream, user, password, size in (
            (b"login alice secret\n", b"alice", b"secret", 19),
            (b"login alice secret\r\nhello", b"alice", b"secret", 20),
            (b"login alice open  sesame \nlogin b c\n", b"alice", b"open  sesame ", 26),
            (b"login alice  \n", b"alice", b" ", 14),
            ("login žofie heslo\n".encode(), "žofie".encode(), b"heslo", 19),
        ):
            self.assertEqual(parseLogin(stream), (Login(user, password), size))
            self.assertEqual(parseLogin(bytearray(stream)), (Login(user, password), size))

    def test_incomplete(self) -> None:
        """A beginning of a line waits for more bytes, up to the longest line."""
        line = b"login alice ".ljust(MAX_LINE - 1, b"x")
        for size in (0, 1, 5, 6, 7, len(line)):
            self.assertIsNone(parseLogin(line[:size]))
        self.assertIsNotNone(parseLogin(line + b"\n"))
        self.assertRaises(BadLogin, parseLogin, line + b"x")
        self.assertRaises(BadLogin, parseLogin, line + b"x\n")

    def test_bad(self) -> None:
        """Anything else is no login line, and says nothing of itself."""
        for stream in (
            *(b"\n", b"\r\n", b"login\n", b"login \n", b"login alice\n", b"login alice \n"),
            *(
                b"login  secret\n",
                b"Login alice secret\n",
                b" login alice secret\n",
                b"login\talice secret\n",
            ),
            *(b"hello\n", b"x", b"lagin", b"\0", b"\x16\x03\x01\x02\0", b"GET / HTTP/1.1\r\n"),
            *(b"login alice \xff\n", b"login \xc3 \xa9\n", b"login \xed\xa0\x80 x\n"),
            *(b"login al\0ice x\n", b"login alice \x1b[2J\n", b"login alice a\rb\n", b"login alice \x7f\n"),
        ):
            error = self.assertRaises(BadLogin, parseLogin, stream)
            self.assertEqual(str(error), "")

    @given(st.binary(max_size=2 * MAX_LINE) | st.binary(max_size=MAX_LINE).map(lambda rest: COMMAND + rest))
    @example(b"login a b\n")
    @example(b"login a b\r\n\n")
    def test_anything(self, stream: bytes) -> None:
        """The result for any bytes stays the same when more bytes come."""
        said: list[object] = []
        for size in range(len(stream) + 1):
            try:
                found: object = parseLogin(stream[:size])
            except BadLogin:
                found = BadLogin
            if said:
                self.assertEqual(found, said[0])
            elif found is not None:
                said.append(found)
                self.assertLessEqual(size, MAX_LINE)
        self.assertTrue(said or len(stream) < MAX_LINE)


class LoginTests(SynchronousTestCase):
    def test_credentials(self) -> None:
        """A login is the credentials that a checker of passwords asks for, and compares passwords itself."""
        login = Login(b"alice", b"secret")
        verifyObject(IUsernamePassword, login)
        self.assertEqual(
            [login.checkPassword(each) for each in (b"secret", b"Secret", b"")], [True, False, False]
        )

    def test_texts(self) -> None:
        """The password is in no text of it."""
        login = Login(b"alice", b"secret")
        for text in (repr(login), str(login), f"{login}", f"{login!r:>80}"):
            self.assertNotIn("secret", text)
            self.assertIn("alice", text)
