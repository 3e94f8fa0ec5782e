"""From a word to a target, and to an endpoint."""

from __future__ import annotations

from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    UNIXClientEndpoint,
)
from twisted.trial.unittest import SynchronousTestCase

from echo_app.targets import BadTarget, ClientTLS, Target, parseTarget


class ParseTests(SynchronousTestCase):
    def where(self, text: str) -> tuple[str, str, int, str]:
        """Returns what a word is taken for."""
        target = parseTarget(text)
        self.assertEqual(target.text, text)
        return target.kind, target.host, target.port, target.path

    def test_hosts(self) -> None:
        """HOST:PORT, with a scheme or not, is a host and a port; IPv6 is in brackets."""
        for text, expected in {
            "lb.example:8080": ("tcp", "lb.example", 8080, ""),
            "127.0.0.1:7": ("tcp", "127.0.0.1", 7, ""),
            "[::1]:7": ("tcp", "::1", 7, ""),
            "tcp://lb.example:8080": ("tcp", "lb.example", 8080, ""),
            "TLS://lb.example:8443": ("tls", "lb.example", 8443, ""),
            "tls://[::1]:8443": ("tls", "::1", 8443, ""),
            "udp://lb.example:7": ("udp", "lb.example", 7, ""),
        }.items():
            self.assertEqual(self.where(text), expected)

    def test_paths(self) -> None:
        """UNIX sockets have a path, and Twisted's descriptions are left to Twisted."""
        self.assertEqual(self.where("unix:///run/echo.sock"), ("unix", "", 0, "/run/echo.sock"))
        for text in ("tcp:127.0.0.1:7", "unix:/run/echo.sock", "tcp:host=127.0.0.1:port=7"):
            self.assertEqual(self.where(text), ("endpoint", "", 0, text))

    def test_wrong(self) -> None:
        """A wrong target is refused in one line."""
        for text in (
            *("", "lb.example", "lb.example:", "lb.example:0", "lb.example:65536", "lb.example:http", ":80"),
            *("::1:80", "[::1]", "[127.0.0.1]:80", "[nonsense]:80", "http://lb.example:80", "a b:80"),
            *("a..b:80", ".a:80", f"{'a' * 64}:80", "tls://.a:443", "udp://:7"),
            *(
                "unix://run/echo.sock",
                "tcp://lb.example",
                "tcp://lb.example:80/path",
                "tcp://me@lb.example:80",
            ),
            *("tcp://[::1", "tcp://[nonsense]:80", "tcp://[v1.x]:80", "tcp://lb.\texample:80"),
            *("nosuch:host:80", "lb.example:80\x1b[2J"),
        ):
            error = self.assertRaises(BadTarget, parseTarget, text)
            self.assertNotIn("\n", str(error))

    def test_words(self) -> None:
        """A target says itself as it may be typed again."""
        self.assertEqual(str(parseTarget("[::1]:7")), "tcp [::1]:7")
        self.assertEqual(str(parseTarget("unix:///run/echo.sock")), "unix /run/echo.sock")


class EndpointTests(SynchronousTestCase):
    def endpoint(self, text: str) -> object:
        from twisted.internet import reactor

        return parseTarget(text).endpoint(reactor, 1.0)

    def test_kinds(self) -> None:
        """Literals are connected to directly, names by Twisted's own endpoint."""
        for text, kind in {
            "127.0.0.1:7": TCP4ClientEndpoint,
            "[::1]:7": TCP6ClientEndpoint,
            "lb.example:7": HostnameEndpoint,
            "tls://127.0.0.1:7": TCP4ClientEndpoint,
            "unix:///run/echo.sock": UNIXClientEndpoint,
            "tcp:127.0.0.1:7": TCP4ClientEndpoint,
        }.items():
            self.assertIsInstance(self.endpoint(text), kind)

    def test_atAnAddress(self) -> None:
        """At one of its addresses a target keeps the name that its certificate must have."""
        target = parseTarget("tls://lb.example:8443").at("203.0.113.9")
        self.assertEqual((target.host, target.serverName), ("203.0.113.9", "lb.example"))
        named = parseTarget("tls://lb.example:8443", ClientTLS(serverName="other.example"))
        self.assertEqual(named.at("203.0.113.9").serverName, "other.example")

    def test_badDescription(self) -> None:
        """A description that Twisted makes no endpoint of is refused in one line."""
        for text in ("tcp:", "tcp:127.0.0.1", "tcp:127.0.0.1:7:nosuch=1", "ssl:127.0.0.1:7:caCertsDir=/nope"):
            error = self.assertRaises(BadTarget, self.endpoint, text)
            self.assertNotIn("\n", str(error))

    def test_frozen(self) -> None:
        """A target is a value."""
        self.assertEqual(parseTarget("a:1"), Target("a:1", "tcp", "a", 1))
        self.assertEqual(len({parseTarget("a:1"), parseTarget("a:1")}), 1)
