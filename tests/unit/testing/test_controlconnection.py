"""Control connection: the lines between a test and its service."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from echo_app.testing import child
from echo_app.testing.childservice import ChildOptions
from echo_app.testing.controlconnection import ControlConnection, ControlError


class ControlTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.control = ControlConnection()
        self.theirs = self.control.theirs.dup()
        self.theirs.settimeout(10)
        self.addCleanup(self.theirs.close)
        self.addCleanup(self.control.close)
        self.control.theirs.close()

    def test_begin(self) -> None:
        """The first line has the test's import path and the service's settings."""
        self.patch(sys, "path", ["", "/somewhere", Path("/elsewhere")])
        self.control.begin({"faults": True})
        said = json.loads(self.theirs.recv(10000))
        self.assertEqual(said["path"], [os.getcwd(), "/somewhere", "/elsewhere"])
        self.assertEqual(said["settings"], {"faults": True})

    def test_ask(self) -> None:
        """A request is a line, and so is its answer, in any pieces."""
        self.theirs.sendall(b'{"one": 1}\n{"tw')
        self.assertEqual(self.control.ask({"faults": []}, 10), {"one": 1})
        self.theirs.sendall(b'o": 2}\n')
        self.assertEqual(self.control.ask({"faults": []}, 10), {"two": 2})
        self.assertEqual(self.theirs.recv(100), b'{"faults": []}\n' * 2)

    def test_silence(self) -> None:
        """A silent service, and one that is gone, is a ControlError."""
        error = self.assertRaises(ControlError, self.control.listen, 0.01)
        self.assertEqual(str(error), "no answer within 0.01 s")
        self.theirs.close()
        error = self.assertRaises(ControlError, self.control.listen, 10)
        self.assertEqual(str(error), "it has ended")
        self.assertRaises(ControlError, self.control.ask, {}, 10)

    def test_reset(self) -> None:
        """A service that is killed with something unread is gone, too."""
        self.control.begin({})
        self.theirs.close()
        self.assertRaises(ControlError, self.control.listen, 10)


class ChildTests(SynchronousTestCase):
    def test_plain(self) -> None:
        """A service that may have TLS, or other people's code, needs OpenSSL."""
        for options in (
            *((), ("--port", "0", "--udp", "0"), ("--responder", "lines"), ("--log-connections",)),
            *(("--forward", "127.0.0.1:5432"), ("--forward", "[::1]:5432"), ("--forward", "unix:///a:b")),
        ):
            self.assertTrue(child.isPlain(options), options)
        for options in (
            *(("--tls", "0"), ("--tls=0",), ("-lssl:0",), ("--listen", "x"), ("--auth", "x")),
            *(("--forward", "tls:host:1"), ("--forward", "tls:host=a:port=1"), ("--forward", "haproxy:x:1")),
        ):
            self.assertFalse(child.isPlain(options), options)
        self.assertFalse(child.isPlain(("--responder", "package.module:name")))

    def test_withoutOpenSSL(self) -> None:
        """OpenSSL is hidden for a while, unless it is loaded already."""
        modules = {name: module for name, module in sys.modules.items() if name != "OpenSSL"}
        with mock.patch.object(sys, "modules", modules):
            with child.withoutOpenSSL():
                self.assertIsNone(modules["OpenSSL"])
            self.assertNotIn("OpenSSL", modules)
        with child.withoutOpenSSL():
            self.assertIsNotNone(sys.modules.get("OpenSSL", sys))

    def test_lines(self) -> None:
        """Requests come line by line; at their end the folder goes, and then the process."""
        ended: list[str] = []
        self.patch(child, "end", self._raise(ended))
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.sendall(b'{"one": 1}\n{"two": 2}\n')
            told = child.lines(theirs.fileno(), "folder")
            self.assertEqual([next(told), next(told)], [{"one": 1}, {"two": 2}])
            ours.close()
            self.assertRaises(SystemExit, next, told)
        self.assertEqual(ended, ["folder"])

    def _raise(self, ended: list[str]) -> Any:
        def end(folder: str) -> None:
            ended.append(folder)
            raise SystemExit

        return end

    def test_starter(self) -> None:
        """The process that made the sockets is watched if possible; one that is gone counts as ended."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            for error, isSeen in ((ProcessLookupError, True), (OSError, False)):
                with mock.patch.object(os, "pidfd_open", side_effect=error):
                    descriptor = child.openStarter(theirs.fileno())
                self.assertEqual(descriptor is not None, isSeen)
                if descriptor is not None:
                    os.close(descriptor)

    def test_end(self) -> None:
        """The end takes the folder along."""
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "log").touch()
        with mock.patch.object(os, "_exit") as leave:
            child.end(str(folder))
        leave.assert_called_once_with(1)
        self.assertFalse(folder.exists())

    def test_say(self) -> None:
        """A line to a closed connection is lost."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            child.say(theirs.fileno(), {"one": 1})
            self.assertEqual(ours.recv(100), b'{"one": 1}\n')
            ours.close()
            child.say(theirs.fileno(), {"two": 2})


class ChildOptionsTests(SynchronousTestCase):
    def options(self, *arguments: str, **settings: Any) -> ChildOptions:
        options = ChildOptions(settings)
        options.parseOptions(arguments)
        return options

    def test_port(self) -> None:
        """Without a listener the port is any free one; with one there is no other."""
        self.assertEqual(self.options("--idle-timeout", "3")["port"], [0])
        self.assertEqual(self.options("--udp", "0")["port"], [])

    def test_plan(self) -> None:
        """A service whose faults may change has an empty plan; any other has no plan."""
        plan = self.options(faults=True).faultPlan()
        assert plan is not None
        self.assertEqual(plan.faults, ())
        self.assertIsNone(self.options().faultPlan())
        plan = self.options("--fault", "stall", faults=True).faultPlan()
        assert plan is not None
        self.assertEqual(list(map(str, plan.faults)), ["stall"])

    def test_certificate(self) -> None:
        """The authority is written to the given file, unless the options have a certificate."""
        ca = Path(self.mktemp())
        options = self.options("--tls", "0", ca=str(ca))
        self.assertIn("BEGIN CERTIFICATE", ca.read_text())
        self.assertIn("PRIVATE KEY", Path(options["certificate"]).read_text())
        self.assertEqual(self.options("--tls", "0", "--certificate", "own", ca="x")["certificate"], "own")
        self.assertFalse(Path("x").exists())
