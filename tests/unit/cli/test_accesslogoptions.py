"""--access-log, from the command line to an open file."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.usage import Options as BaseOptions
from twisted.trial.unittest import SynchronousTestCase

from echo_app.cli.tap import makeService
from echo_app.service.echoservice import EchoService
from tests.unit.cli.commandline import OptionsTestCase, parsed
from tests.unit.service.test_echoservice import FakeEndpoint, FakePort


class OptionsTests(OptionsTestCase):
    def test_values(self) -> None:
        """A file is meant from where the command was typed, and a dash is no file."""
        self.assertEqual(parsed()["access-log"], None)
        self.assertEqual(parsed("--access-log", "a.log")["access-log"], os.path.abspath("a.log"))
        self.assertEqual(parsed("--access-log", "-")["access-log"], "-")

    def test_wrong(self) -> None:
        """A wrong file is named, with the option and the reason."""
        for value in ("", "."):
            self.assertIn(f"--access-log {value!r}: neither", self.refusal(f"--access-log={value}"))

    def test_daemon(self) -> None:
        """A daemon has no standard output; a process in the foreground has."""
        daemon, foreground, debugged, twist = (BaseOptions() for _ in range(4))
        daemon.update(nodaemon=0, debug=0)
        foreground.update(nodaemon=1, debug=0)
        debugged.update(nodaemon=0, debug=1)
        self.assertIn("--access-log '-': a daemon", self.refusal("--access-log", "-", parent=daemon))
        for parent in (foreground, debugged, twist, None):
            self.assertEqual(parsed("--access-log", "-", parent=parent)["access-log"], "-")
        self.assertTrue(parsed("--access-log", "a.log", parent=daemon)["access-log"])


class ServiceTests(SynchronousTestCase):
    def test_cannotOpen(self) -> None:
        """A file that can't be opened ends the command with one line, before anything listens."""
        reactor: Any = MemoryReactorClock()
        reactor.iterate = lambda delay: None
        path = os.path.abspath("none/a.log")
        error = self.assertRaises(SystemExit, makeService, parsed("--access-log", path), reactor)
        self.assertEqual(error.code, f"echo: --access-log {path!r}: No such file or directory")
        self.assertEqual(reactor.tcpServers, [])

    def test_cannotListen(self) -> None:
        """When something else can't be opened, the file does not stay open."""
        path = self.mktemp()
        before = os.listdir("/proc/self/fd")
        service = EchoService(Clock(), [FakeEndpoint(CannotListenError(None, 1, OSError()))], accessLog=path)
        self.failureResultOf(service.listen(), CannotListenError)
        self.assertEqual(os.listdir("/proc/self/fd"), before)

    def test_reload(self) -> None:
        """A reload opens the file again, and a stop closes it."""
        path = Path(self.mktemp())
        before = len(os.listdir("/proc/self/fd"))
        service = EchoService(Clock(), [FakeEndpoint(FakePort())], accessLog=str(path))
        service.startService()
        path.unlink()
        service.reload()
        self.assertTrue(path.exists())
        self.assertEqual(len(os.listdir("/proc/self/fd")), before + 1)
        self.successResultOf(service.stopService())
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)
        service.reload()

    def test_hangup(self) -> None:
        """SIGHUP is taken, with a file to read again or without."""
        self.addCleanup(signal.signal, signal.SIGHUP, signal.getsignal(signal.SIGHUP))
        reactor = MemoryReactorClock()
        for arguments in ((), ("--access-log", self.mktemp())):
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            makeService(parsed(*arguments), reactor)
            self.assertTrue(callable(signal.getsignal(signal.SIGHUP)))
