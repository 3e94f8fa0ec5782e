"""The command line of ``echo-probe``: arguments become values, or one line."""

from __future__ import annotations

import io
import socket
import sys
from pathlib import Path

from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase

from echo_app import __version__
from echo_app.probe.checks.evidence import CheckSettings
from echo_app.probe.cli.command import NOT_STARTED, main
from echo_app.probe.cli.options import CheckOptions, Options, PingOptions
from echo_app.probe.cli.ping import Pings
from echo_app.probe.net.connecting import ConnectionSettings
from echo_app.probe.net.proxyheader import ProxyHeader
from tests.support.certificates import Authority


def parsed(*arguments: str) -> Options:
    options = Options()
    options.parseOptions(arguments)
    return options


class GoodTests(SynchronousTestCase):
    def ping(self, *arguments: str) -> PingOptions:
        options = parsed("ping", *arguments).subOptions
        assert isinstance(options, PingOptions)
        return options

    def check(self, *arguments: str) -> CheckOptions:
        options = parsed("check", *arguments).subOptions
        assert isinstance(options, CheckOptions)
        return options

    def test_ping(self) -> None:
        """Several targets, with options before, between and behind them."""
        options = self.ping("-c", "3", "a:1", "-i", "0.2", "udp://b:2", "--size=100", "-W1")
        self.assertEqual([str(target) for target in options.targets], ["tcp a:1", "udp b:2"])
        self.assertEqual(options.pings, Pings(3, 0.2, 100, 1.0))
        self.assertEqual(self.ping("a:1").pings, Pings())

    def test_connecting(self) -> None:
        """The settings of our own end."""
        source = ("-4", "--source", "127.0.0.1", "--tos", "0xb8")
        self.assertEqual(
            self.ping("a:1", *source).pings.connecting,
            ConnectionSettings(socket.AF_INET, "127.0.0.1", 184),
        )
        self.assertEqual(self.ping("a:1", "-6").pings.connecting, ConnectionSettings(socket.AF_INET6))
        self.assertEqual(self.ping("a:1", "--tos", "184").pings.connecting, ConnectionSettings(tos=184))

    def test_proxyHeader(self) -> None:
        """A PROXY header, with and without the client that it names."""
        for source, expected in (
            (None, ProxyHeader("v2")),
            ("192.0.2.1", ProxyHeader("v2", "192.0.2.1")),
            ("192.0.2.1:50", ProxyHeader("v2", "192.0.2.1", 50)),
            ("2001:db8::1", ProxyHeader("v2", "2001:db8::1")),
            ("[2001:db8::1]", ProxyHeader("v2", "2001:db8::1")),
            ("[2001:db8::1]:50", ProxyHeader("v2", "2001:db8::1", 50)),
        ):
            more = ("--proxy-source", source) if source else ()
            options = self.ping("a:1", "--send-proxy", "v2", *more)
            self.assertEqual(options.pings.connecting, ConnectionSettings(proxy=expected))

    def test_check(self) -> None:
        """The chosen checks run in their usual order."""
        options = self.check("a:1", "--quick", "--only", "half-close,identity", "--baseline", "b:1")
        self.assertEqual(options.settings, CheckSettings(isQuick=True))
        self.assertEqual([check.name for check in options.checks], ["identity", "half-close"])
        self.assertEqual([str(target) for target in options.targets], ["tcp a:1", "tcp b:1"])
        self.assertEqual(
            self.check("a:1", "--thorough", "--idle", "60").settings, CheckSettings(False, True, 60.0)
        )

    def test_tls(self) -> None:
        """The settings of TLS are part of the targets."""
        certificate, key = Authority(Path(self.mktemp())).issue("client")
        authority = str(Path(certificate).parent / "authority.pem")
        options = self.check(
            *("tls://a:1", "--ca", authority, "--cert", certificate, "--key", key),
            *("--sni", "b", "--alpn", "h2,http/1.1"),
        )
        tls = options.targets[0].tls
        self.assertEqual((tls.authority, tls.certificate, tls.key), (authority, certificate, key))
        self.assertEqual((options.targets[0].serverName, tls.protocols), ("b", ("h2", "http/1.1")))

    def test_version(self) -> None:
        """The version is the distribution's, under every command."""
        for arguments in (["--version"], ["ping", "--version"], ["check", "--version"]):
            output = io.StringIO()
            self.patch(sys, "stdout", output)
            self.assertEqual(self.assertRaises(SystemExit, main, arguments).code, 0)
            self.assertEqual(output.getvalue(), f"echo-probe {__version__}\n")


class WrongTests(SynchronousTestCase):
    def test_oneLine(self) -> None:
        """A wrong command line is status 2 and one line with the error, escaped."""
        here = str(Path(__file__))
        for arguments, part in (
            ([], "no command"),
            (["nosuch"], "nosuch; there are ping, check"),
            (["pnig", "a:1"], "did you mean ping?"),
            (["ping", "a", "1"], "did you mean a:1?"),
            (["ping", "127.0.0.1"], "did you mean 127.0.0.1:8080?"),
            (["ping", "::1:8080"], "did you mean [::1]:8080?"),
            (["ping", "http://"], "did you mean tcp://HOST:PORT?"),
            (["ping", "https://a/b"], "did you mean tls://a:443?"),
            (["ping", "tpc://a:1"], "did you mean tcp://a:1?"),
            (["ping", "a:1", "-size", "64"], "did you mean --size?"),
            (["ping", "a:1", "--szie", "64"], "did you mean --size?"),
            (["ping", "a:1", "-c"], "--help lists all options"),
            (["check", "a:1", "--only", "idle"], "--only 'idle': idle needs --idle"),
            (["check", "a:1", "--only", "tls"], "tls needs a target tls://HOST:PORT"),
            (["check", "a:1", "--only", "idnetity"], "did you mean identity?"),
            (["ping"], "no target"),
            (["ping", "a"], "'a'"),
            (["ping", "a:1", "-c", "0"], "--count '0'"),
            (["ping", "a:1", "-i", "nan"], "--interval 'nan'"),
            (["ping", "a:1", "-s", "7"], "--size '7'"),
            (["ping", "udp://a:1", "-s", "65508"], "--size '65508'"),
            (["ping", "a:1", "-4", "-6"], "--ipv4 and --ipv6 exclude each other"),
            (["ping", "127.0.0.1:1", "-6"], "--ipv6: '127.0.0.1:1' has an address of the other family"),
            (["ping", "unix:///a", "-6"], "--ipv6: 'unix:///a' has no IP address"),
            (["ping", "unix:///a", "--tos", "1"], "--tos '1': 'unix:///a' has no IP address"),
            (["ping", "a:1", "--tos", "256"], "--tos '256': not a byte from 0 to 255"),
            (["ping", "a:1", "--tos", "-1"], "--tos '-1'"),
            (["ping", "a:1", "--tos", "0x"], "--tos '0x'"),
            (["ping", "a:1", "--source", "b"], "--source 'b': not an IPv4 or IPv6 address"),
            (["ping", "a:1", "--source", "192.0.2.1"], "not an address of this machine"),
            (["ping", "[::1]:1", "--source", "127.0.0.1"], "'[::1]:1' has an address of the other family"),
            (["ping", "a:1", "-6", "--source", "127.0.0.1"], "are of different families"),
            (["ping", "a:1", "-D", "--json"], "--timestamps"),
            (["ping", "a:1", "--send-proxy", "v"], "did you mean v1 or v2?"),
            (["ping", "udp://a:1", "--send-proxy", "v1"], "'udp://a:1' is no stream"),
            (["ping", "a:1", "--proxy-source", "192.0.2.1"], "no --send-proxy"),
            (["ping", "a:1", "--send-proxy", "v1", "--proxy-source", "b:1"], "--proxy-source 'b:1': neither"),
            (["ping", "a:1", "--send-proxy", "v1", "--proxy-source", "192.0.2.1:0"], "--proxy-source"),
            (["ping", "a:1", "--send-proxy", "v1", "--proxy-source", ""], "--proxy-source ''"),
            (["check"], "no target"),
            (["check", "a:1", "b:1"], "'b:1'"),
            (["check", "a:1", "--quick", "--thorough"], "--thorough"),
            (["check", "a:1", "--only", "nosuch"], "--only 'nosuch'"),
            (["check", "a:1", "--baseline", "b"], "'b'"),
            (["check", "a:1", "--nosuch\x1b[2J"], r"--nosuch\x1b[2J"),
            (["check", "a:1", "--insecure"], "--insecure"),
            (["check", "tls://a:1", "--ca", "/nosuch"], "--ca '/nosuch': No such file"),
            (["check", "tls://a:1", "--ca", here], f"--ca '{here}'"),
            (["check", "tls://a:1", "--cert", here], f"--cert '{here}'"),
            (["check", "tls://a:1", "--key", here], f"--key '{here}'"),
            (["check", "tls://a:1", "--alpn", ","], "--alpn ','"),
            (["check", "tls://a:1", "--sni", ".b"], "--sni '.b'"),
        ):
            output = io.StringIO()
            self.patch(sys, "stderr", output)
            self.assertEqual(self.assertRaises(SystemExit, main, arguments).code, NOT_STARTED)
            line = output.getvalue()
            self.assertTrue(line.startswith("echo-probe: ") and line.count("\n") == 1, line)
            self.assertIn(part, line)
            self.assertTrue(line.rstrip("\n").isprintable(), line)

    def test_usageError(self) -> None:
        """A wrong command line is Twisted's UsageError to a caller that parses."""
        self.assertRaises(UsageError, parsed, "ping")
