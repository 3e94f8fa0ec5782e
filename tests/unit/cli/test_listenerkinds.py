"""The kinds of listeners, and what is derived from them."""

from __future__ import annotations

from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from echo_app.cli.listenerkinds import (
    KINDS,
    ListenerKind,
    isAsked,
    isBoundAsked,
    isProxiedAsked,
    listed,
)
from echo_app.cli.settings import SETTINGS
from echo_app.service.endpoints import BadDescription


def made(*arguments: object) -> object:
    """Makes an endpoint, as an entry's function."""
    if "bad" in arguments:
        raise BadDescription("wrong")
    return arguments


class ListenerKindTests(SynchronousTestCase):
    OPTIONS = {"one": [1, 2], "other": ["here"], "interface": ["127.0.0.1", "::1"]}
    BOUND = ListenerKind("one", made, isPrivate=lambda place: place == "::1")
    FREE = ListenerKind("other", made, isBound=False)

    def names(self, kind: ListenerKind) -> list[str]:
        """Returns the names of a kind's endpoints."""
        return [each._name for each, _ in kind.endpoints(self.OPTIONS, None)]

    def test_settings(self) -> None:
        """Each kind has a setting, which is repeatable."""
        for kind in KINDS:
            self.assertTrue(SETTINGS[kind.option].isRepeatable, kind.option)

    def test_endpoints(self) -> None:
        """A bound kind opens each value on each interface, another kind each value; names are as typed."""
        bound = [f"--one {value} on {place}" for value in (1, 2) for place in ("127.0.0.1", "::1")]
        self.assertEqual(self.names(self.BOUND), bound)
        self.assertEqual(self.names(self.FREE), ["--other 'here'"])

    def test_mixed(self) -> None:
        """A text among the values of a bound kind is a place of its own."""
        options = {**self.OPTIONS, "one": [1, "there"]}
        names = [each._name for each, _ in self.BOUND.endpoints(options, None)]
        self.assertEqual(names, ["--one 1 on 127.0.0.1", "--one 1 on ::1", "--one 'there'"])
        self.assertEqual(list(self.BOUND.exposed(options)), ["--interface '127.0.0.1'", "--one 'there'"])
        self.assertEqual(list(self.BOUND.exposed({**options, "one": ["::1"]})), [])

    def test_proxied(self) -> None:
        """A PROXY header comes to ports, TLS and UNIX and systemd sockets, and to no other endpoint."""
        places = ("unix:/x", "systemd:0", "tcp:1", "haproxy:unix:/x")
        listen = next(each for each in KINDS if each.option == "listen")
        self.assertEqual([listen.isProxied(each) for each in places], [True, True, False, False])
        self.assertTrue(KINDS[0].isProxied(8080))
        options: dict[str, list[object]] = {each.option: [] for each in KINDS}
        self.assertFalse(isProxiedAsked({**options, "udp": [1], "listen": ["tcp:1"]}))
        self.assertTrue(isProxiedAsked({**options, "listen": ["tcp:1", "unix:/x"]}))
        self.assertFalse(isBoundAsked({**options, "tls": ["unix:/x"], "listen": ["tcp:1"]}))
        self.assertTrue(isBoundAsked({**options, "tls": ["unix:/x", 0]}))

    def test_bad(self) -> None:
        """The error of a value of which no endpoint can be made has the option, the value and the reason."""
        error = self.assertRaises(UsageError, list, self.FREE.endpoints({"other": ["bad"]}, None))
        self.assertEqual(str(error), "--other 'bad': wrong")

    def test_exposed(self) -> None:
        """What others can read is named by the option that says where the listener is."""
        self.assertEqual(list(self.BOUND.exposed(self.OPTIONS)), ["--interface '127.0.0.1'"])
        self.assertEqual(list(self.FREE.exposed(self.OPTIONS)), ["--other 'here'"])
        self.assertEqual(list(self.BOUND.exposed({**self.OPTIONS, "one": []})), [])

    def test_isAsked(self) -> None:
        """A kind is asked for if its option has a value."""
        self.assertTrue(isAsked([self.BOUND, self.FREE], {"one": [], "other": ["here"]}))
        self.assertFalse(isAsked([self.BOUND], {"one": []}))

    def test_listed(self) -> None:
        """The options of kinds are listed as in a sentence."""
        three = [self.BOUND, self.FREE, self.BOUND]
        self.assertEqual(listed(three), "--one, --other or --one")
        self.assertEqual((listed(three[:2], "and"), listed(three[:1])), ("--one and --other", "--one"))
