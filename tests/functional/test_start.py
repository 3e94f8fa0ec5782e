"""Everything that was asked for listens, and says so: docs/dev/contract.rst, 6, 9."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from pathlib import Path

from echo_app.testing import EchoProcess
from tests.support import programs
from tests.support.kernel import waitUntil
from tests.support.service import COMMANDS, ServiceTestCase, exchanged


class StartTests(ServiceTestCase):
    """The log of a start, from the first line of the command."""

    process = EchoProcess

    def test_readyFile(self) -> None:
        """The ready file has a line for each listener, as it was bound, and goes at the stop."""
        server = self.serve(
            *("--port", "0", "--interface", "127.0.0.1", "--interface", "::1", "--udp", "0"),
            *("--listen", "unix:echo.sock"),
        )
        lines = (server.folder / "ready").read_text().splitlines()
        kinds = [re.sub(r":\d+$", ":N", line) for line in lines]
        self.assertEqual(
            kinds,
            ["tcp 127.0.0.1:N", "tcp [::1]:N", "unix echo.sock", "udp 127.0.0.1:N", "udp [::1]:N"],
        )
        for listener in server.listeners[:3]:
            self.assertEqual(exchanged(self.connect((listener.host, listener.port)), b"hello"), b"hello")
        server.signal(signal.SIGTERM)
        ready = server.folder / "ready"
        self.assertTrue(waitUntil(lambda: not ready.exists()))
        server.wait()

    def test_staleReadyFile(self) -> None:
        """A ready file that a killed service left behind does not speak for one that fails."""
        stale = Path(self.mktemp())
        stale.write_text("tcp 127.0.0.1:1\n")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            command = [*COMMANDS["twist"], "--ready-file", str(stale), "--port", port]
            programs.run(*command)
        self.assertFalse(stale.exists())

    def test_log(self) -> None:
        """The log has one line of ours for each listener, one for the start, and one for the stop."""
        server = self.serve("--port", "0", "--udp", "0", "--interface", "0.0.0.0")
        server.stop()
        ours = re.findall(r"echo_app\.[\w.]+#info\] (.*)", server.log())
        self.assertEqual(
            [re.sub(r"\d+", "N", line) for line in ours[:-1]],
            [
                "listening on N.N.N.N:N (tcp), on every interface",
                "listening on N.N.N.N:N (udp), on every interface",
                "echo_app N.N.N started",
            ],
        )
        self.assertTrue(ours[-1].startswith("echo_app stopped: 0 connections"), ours[-1])

    def test_loopbackOnly(self) -> None:
        """Without --interface, only 127.0.0.1 is bound; --udp has to be asked for."""
        server = self.serve("--port", "0")
        self.assertEqual([(each.transport, each.host) for each in server.listeners], [("tcp", "127.0.0.1")])

    def test_daemon(self) -> None:
        """``twistd`` without -n echoes from the background, and its pid file goes at the stop."""
        folder = programs.newFolder(self)
        command = [*COMMANDS["twistd"], "--port", "0", "--ready-file", "ready"]
        programs.run(*command, cwd=folder, check=True)
        self.assertTrue(waitUntil((folder / "ready").exists))
        pid = int((folder / "twistd.pid").read_text())
        try:
            host, _, port = (folder / "ready").read_text().split()[1].rpartition(":")
            self.assertEqual(exchanged(self.connect((host, int(port))), b"hello"), b"hello")
        finally:
            os.kill(pid, signal.SIGTERM)
        self.assertTrue(waitUntil(lambda: not (folder / "twistd.pid").exists()))

    def test_twist(self) -> None:
        """``twist`` serves the same, and ends with the same status."""
        server = self.serve("--port", "0", command=COMMANDS["twist"])
        self.assertEqual(exchanged(self.connect(server.address()), b"hello"), b"hello")
        self.assertEqual(server.stop(), -signal.SIGTERM)

    def test_module(self) -> None:
        """``python -m echo_app`` serves the same, without a pid file, and ends with the same statuses."""
        for number in (signal.SIGTERM, signal.SIGINT):
            server = self.serve("--port", "0", command=COMMANDS["module"])
            self.assertEqual(exchanged(self.connect(server.address()), b"hello"), b"hello")
            self.assertFalse((server.folder / "twistd.pid").exists())
            server.signal(number)
            self.assertEqual(server.wait(), -number)
            self.assertNotIn("Traceback", server.log())
        ended = programs.run(*COMMANDS["module"], "--port", "x", text=True)
        self.assertEqual((ended.returncode, ended.stdout), (1, ""))
        self.assertRegex(ended.stderr, r"\Aecho: --port 'x': .*\n\Z")
        ended = programs.run(*COMMANDS["module"], "--help", text=True)
        self.assertTrue(ended.stdout.startswith("Usage: python -m echo_app [options]\n"), ended.stdout)

    def test_help(self) -> None:
        """--help fits 80 columns, and --version says ours."""
        env = {**os.environ, "COLUMNS": "80"}
        for command in ("twistd", "twist", "module"):
            for option, expected in (("--help", "--stall-timeout"), ("--version", "echo_app 0")):
                ended = programs.run(*COMMANDS[command], option, text=True, env=env)
                self.assertEqual((ended.returncode, ended.stderr), (0, ""))
                self.assertIn(expected, ended.stdout)
                self.assertLessEqual(max(map(len, ended.stdout.splitlines())), 80)

    def test_descriptorLimit(self) -> None:
        """The soft descriptor limit is raised to the hard one, but not under select."""
        for reactor, soft in (("epoll", "2000"), ("select", "500")):
            start = ("prlimit", "--nofile=500:2000", sys.executable, "-m", "echo_app.testing")
            twistd = ("--reactor", reactor, "-n", "--pidfile=", "echo")
            server = self.serve("--port", "0", command=start + twistd)
            limits = Path(f"/proc/{server.pid}/limits").read_text()
            self.assertIn(soft, re.findall(r"Max open files +(\d+)", limits))
            server.stop()
