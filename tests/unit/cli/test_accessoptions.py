"""Options for access rules and logins, as the user types them."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO

from twisted.cred.strcred import AuthOptionMixin

from echo_app.access.checkers import PasswordFile
from echo_app.access.loginline import Login
from echo_app.access.networks import Access
from echo_app.interfaces import IEchoUser
from tests.unit.cli.commandline import OptionsTestCase, parsed


class AccessTests(OptionsTestCase):
    def test_networks(self) -> None:
        """Networks and addresses of both families, as often as is liked; none is no rule."""
        self.assertIsNone(parsed().access())
        options = parsed("--allow", "10.0.0.0/8", "--deny", "::1", "--allow", "::ffff:192.0.2.1")
        self.assertEqual(options.access(), Access(["10.0.0.0/8", "192.0.2.1"], ["::1"]))

    def test_wrong(self) -> None:
        """A wrong network is named with its option."""
        for option in ("allow", "deny"):
            for text in ("", "localhost", "10.0.0.1/8", "10.0.0.0/33", "::1/129"):
                self.assertIn(f"--{option} {text!r}: ", self.refusal(f"--{option}={text}"))


class AuthTests(OptionsTestCase):
    MEMORY = ("--auth", "memory:alice:secret")

    def test_checkers(self) -> None:
        """Users of any checker may log in; without one there is no login."""
        self.assertIsNone(parsed().portal())
        portal = parsed(*self.MEMORY, "--auth", "memory:bob:x").portal()
        assert portal is not None
        for login in (Login(b"alice", b"secret"), Login(b"bob", b"x")):
            self.successResultOf(portal.login(login, None, IEchoUser))

    def test_passwordFile(self) -> None:
        """The service knows the password files that it can read again."""
        path: str = self.mktemp()
        with open(path, "wb") as file:
            file.write(b"alice:secret\n")
        options = parsed("--auth", f"file:{path}")
        self.assertTrue(options.hasPasswordFile())
        self.assertIsInstance(options["auth"][0], PasswordFile)
        self.assertFalse(parsed(*self.MEMORY).hasPasswordFile())

    def test_wrong(self) -> None:
        """A wrong checker is one line, with the kinds that there are, and without a password."""
        for text in ("memory:alice:secret:bob", "ldap:alice:secret", "anonymous:secret"):
            refusal = self.refusal("--auth", text)
            self.assertIn(f"--auth {text.partition(':')[0]!r}: ", refusal)
            self.assertNotIn("secret", refusal)
        self.assertIn("file, memory, unix", self.refusal("--auth", "ldap"))
        self.assertIn("'/none': No such file", self.refusal("--auth", "file:/none"))

    def test_cleartext(self) -> None:
        """Passwords that others could read are refused, unless that is asked for."""
        for options in (
            ("--interface", "0.0.0.0"),
            ("-i", "127.0.0.1", "--interface", "192.0.2.1"),
            ("--tls", "2", "--port", "1", "--interface", "::"),
            ("--listen", "tcp:1"),
            ("--listen", "tcp6:1"),
            ("--listen", "tcp:1:interface=192.0.2.1"),
            ("--listen", "systemd:domain=INET:index=0"),
            ("--tls", "2", "--listen", "haproxy:tcp:1"),
        ):
            self.assertIn(f"{options[-2]} {options[-1]!r}; ", self.refusal(*self.MEMORY, *options))
            parsed(*self.MEMORY, "--auth-cleartext", *options)

    def test_private(self) -> None:
        """TLS, UNIX sockets and loopback addresses are fine."""
        for options in (
            (),
            ("--interface", "::1", "-i", "127.0.0.2"),
            ("--tls", "1", "--interface", "0.0.0.0"),
            ("--listen", "unix:/run/echo"),
            ("--listen", "ssl:1"),
        ):
            parsed(*self.MEMORY, *options)

    def test_datagrams(self) -> None:
        """A login is refused together with datagrams."""
        for options in ((), ("--auth-cleartext",)):
            self.assertIn("--udp 7", self.refusal(*self.MEMORY, "--udp", "7", *options))

    def test_cleartextWithoutUse(self) -> None:
        """--auth-cleartext without a login is an error."""
        self.assertIn("--auth-cleartext: ", self.refusal("--auth-cleartext"))

    def test_help(self) -> None:
        """--help-auth lists the checkers of passwords, and no others."""
        for arguments, word in (
            (["--help-auth"], "memory"),
            (["--help-auth-type", "file"], "username:password"),
        ):
            with redirect_stdout(StringIO()) as printed:
                self.patch(AuthOptionMixin, "authOutput", printed)
                self.assertEqual(self.assertRaises(SystemExit, parsed, *arguments).code, 0)
            self.assertIn(word, printed.getvalue())
            self.assertNotIn("anonymous", printed.getvalue())
        self.assertIn("none", self.refusal("--help-auth-type", "none"))
