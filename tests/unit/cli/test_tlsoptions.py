"""TLS on the command line, and in a service."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from echo_app.access.checkers import PasswordFile, portalFor
from echo_app.cli import process
from echo_app.service.echoservice import EchoService
from echo_app.service.listeners import Listener
from echo_app.service.snapshot import Snapshot
from echo_app.tls import certificates, server
from echo_app.tls.server import ServerTLS
from tests.support.certificates import Authority
from tests.unit.cli.commandline import MakeServiceTestCase, OptionsTestCase, parsed


class OptionsTests(OptionsTestCase):
    def test_ports(self) -> None:
        """--tls is repeatable, and a listener like any other: 8080 is not there beside it."""
        options = parsed("--tls", "0", "--tls", "8443", "--interface", "::1")
        self.assertEqual((options["tls"], options["port"]), ([0, 8443], []))
        self.assertEqual(options["handshake-timeout"], 30)

    def test_sockets(self) -> None:
        """--tls takes UNIX and systemd sockets beside ports; --interface needs a port."""
        options = parsed("--tls", "unix:/run/echo", "--tls", "7-8", "--tls", "systemd:web")
        self.assertEqual(options["tls"], ["unix:/run/echo", 7, 8, "systemd:web"])
        self.assertIn("or a socket such as unix:", self.refusal("--tls", "/run/echo"))
        line = self.refusal("--tls", "unix:/run/echo", "--interface", "::1")
        self.assertIn("--interface '::1': there is no --port, --tls or --udp", line)
        self.assertEqual(parsed("--tls", "unix:/run/echo", "--auth", "memory:a:b")["port"], [])

    def test_values(self) -> None:
        """A value that an option can't have is named, with the option and the reason."""
        for option, values in {
            "tls": ("-1", "65536", "abc", ""),
            "handshake-timeout": ("0", "-1", "nan", "inf", "x", ""),
        }.items():
            for value in values:
                self.assertIn(f"--{option} {value!r}: ", self.refusal(f"--{option}={value}"))

    def test_withoutUse(self) -> None:
        """Files without a --tls, and a key without a certificate, apply to nothing."""
        for option in ("certificate", "key", "client-ca", "client-crl"):
            self.assertIn(
                f"--{option} 'x': there is no --tls", self.refusal(f"--{option}", "x", "--port", "0")
            )
        self.assertIn("--key 'x': there is no --certificate", self.refusal("--key", "x", "--tls", "0"))
        line = self.refusal("--client-crl", "x", "--tls", "0")
        self.assertIn("--client-crl 'x': there is no --client-ca", line)


class MakeServiceTests(MakeServiceTestCase):
    def test_listens(self) -> None:
        """Each port listens at each interface, beside the others, in the order of the help."""
        service = self.make(
            *("--port", "0", "--tls", "0", "-i", "127.0.0.1", "-i", "::1", "-l", "tcp:0:interface=127.0.0.2")
        )
        hosts = [host.host for host in service.getHosts()]  # type: ignore[attr-defined]
        self.assertEqual(hosts, ["127.0.0.1", "::1", "127.0.0.1", "::1", "127.0.0.2"])
        self.assertEqual(self.called, ["holdSignals", "abortOnSecondSignal", "reloadOnHangup"])

    def test_settings(self) -> None:
        """Every setting arrives, once for all ports."""
        made: list[tuple[Any, ...]] = []

        class Recorded(ServerTLS):
            def __init__(self, *arguments: Any, handshakeTimeout: float) -> None:
                made.append((*arguments[1:], handshakeTimeout))
                super().__init__(*arguments, handshakeTimeout=handshakeTimeout)

        self.patch(server, "ServerTLS", Recorded)
        self.make("--tls", "0", "--tls", "0")
        authority = Authority(Path(self.mktemp()))
        issued = (*authority.issue("server"), authority.revoke())
        certificate, key, crl = (os.path.relpath(path) for path in issued)
        self.make(
            *("--tls", "0", "--certificate", certificate, "--key", key),
            *("--client-ca", authority.path, "--client-crl", crl, "--handshake-timeout", "1.5"),
        )
        paths = (os.path.abspath(certificate), os.path.abspath(key), authority.path, os.path.abspath(crl))
        self.assertEqual(made, [(None, None, None, None, 30), (*paths, 1.5)])

    def test_wrongFile(self) -> None:
        """A file that can't be used ends the command with its option, its name as typed, and the reason."""
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "junk.pem").write_text("junk")
        junk = os.path.relpath(folder / "junk.pem")
        for option in ("certificate", "client-ca"):
            line = f"echo: --{option} {junk!r}: no usable certificate in PEM form"
            self.assertEqual(self.failure("--tls", "0", f"--{option}", junk), line)

    def test_withoutProc(self) -> None:
        """A throw-away certificate without /proc ends the command with a line that names no file."""
        self.patch(certificates, "_DESCRIPTORS", "/nonexistent")
        line = "echo: --certificate: a throw-away certificate needs /proc"
        self.assertEqual(self.failure("--tls", "0"), line)


class HangupTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.addCleanup(signal.signal, signal.SIGHUP, signal.getsignal(signal.SIGHUP))
        self.reloads = 0

    def callFromThread(self, function: Callable[[], None]) -> None:
        """The reactor's."""
        function()

    def reload(self) -> None:
        """The service's."""
        self.reloads += 1

    def test_hangup(self) -> None:
        """SIGHUP, each time, has the service read its files again."""
        process.reloadOnHangup(self, self, True)  # type: ignore[arg-type]
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
        self.assertEqual(self.reloads, 2)

    def test_many(self) -> None:
        """Signals that come before the reload begins cause one reload; a later one causes another."""
        waiting: list[Callable[[], None]] = []
        self.callFromThread = waiting.append  # type: ignore[assignment]
        process.reloadOnHangup(self, self, True)  # type: ignore[arg-type]
        for expected in (1, 2):
            for _ in range(5):
                os.kill(os.getpid(), signal.SIGHUP)
            (answer,) = waiting
            waiting.clear()
            answer()
            self.assertEqual(self.reloads, expected)

    def test_terminal(self) -> None:
        """It stops, once, when its terminal is gone; without one at the start, or as a daemon, it reloads."""
        stops: list[int] = []
        self.sigInt = stops.append
        for atStart, hasLeft, stopped in ((True, False, 1), (False, False, 0), (True, True, 0)):
            self.patch(os, "getsid", lambda pid: 1)
            self.patch(process, "hasTerminal", lambda atStart=atStart: atStart)
            process.reloadOnHangup(self, self, True)  # type: ignore[arg-type]
            self.patch(process, "hasTerminal", lambda: False)
            if hasLeft:
                self.patch(os, "getsid", lambda pid: 2)
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGHUP)
            self.assertEqual((len(stops), self.reloads), (stopped, 2 - stopped))
            stops.clear()
            self.reloads = 0

    def test_otherThread(self) -> None:
        """Off the main thread, where Python allows no handlers, there is none."""
        before = signal.getsignal(signal.SIGHUP)
        thread = threading.Thread(target=process.reloadOnHangup, args=(self, self, True))
        thread.start()
        thread.join()
        self.assertIs(signal.getsignal(signal.SIGHUP), before)


class ServiceTests(SynchronousTestCase):
    def test_snapshot(self) -> None:
        """The counts of several certificates are added up."""
        one, two = ServerTLS(Clock()), ServerTLS(Clock())
        endpoint = TCP4ServerEndpoint(reactor, 0)
        service = EchoService(Clock(), [Listener(endpoint, each) for each in (one, one, two)])
        one.failures.add("http-request")
        two.failures.add("http-request")
        two.failures.add("handshake-timeout")
        one.truncated, two.truncated = 2, 1
        self.assertEqual(
            service.snapshot(), Snapshot(failed={"http-request": 2, "handshake-timeout": 1}, truncated=3)
        )

    def test_reloadFails(self) -> None:
        """An error in one part is logged, and the other parts are read again."""
        tls = ServerTLS(Clock())
        endpoint = TCP4ServerEndpoint(reactor, 0)
        path = Path(self.mktemp())
        path.write_text("alice:secret\n")
        checker = PasswordFile(str(path))
        service = EchoService(Clock(), [Listener(endpoint, tls)], portal=portalFor([checker]))
        path.write_text("bob:secret\n")
        tls.reload = lambda: 1 // 0  # type: ignore[assignment, method-assign]
        service.reload()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        removed = checker.requestAvatarId(UsernamePassword(b"alice", b"secret"))
        self.failureResultOf(removed, UnauthorizedLogin)

    def test_reload(self) -> None:
        """Each certificate is read again, once."""
        authority = Authority(Path(self.mktemp()))
        tls = ServerTLS(Clock(), *authority.issue("server"))
        endpoint = TCP4ServerEndpoint(reactor, 0)
        service = EchoService(Clock(), [Listener(endpoint, tls)] * 2)
        reloads: list[None] = []
        tls.reload = lambda: reloads.append(None)  # type: ignore[method-assign]
        service.reload()
        self.assertEqual(len(reloads), 1)
