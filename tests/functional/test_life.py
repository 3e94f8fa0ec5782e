"""Starts, signals and ends, and the files of a service: docs/dev/contract.rst, 6, 7."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import shutil
import signal
import socket
import stat
import subprocess
import sys
import unittest
import warnings
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from echo_app.testing import EchoProcess
from tests.support import programs, warm
from tests.support.kernel import waitUntil
from tests.support.service import (
    COMMANDS,
    PATIENCE,
    SCRIPTS,
    ServiceTestCase,
    needs,
    receiveAll,
    sendAndEnd,
)

TWISTD = str(SCRIPTS / "twistd")

# Starts a program with the standard streams closed that the first argument names by their numbers.
CLOSING = """
import os, sys
for number in sys.argv[1]:
    os.close(int(number))
os.execv(sys.argv[2], sys.argv[2:])
"""


# Blocks the signals that a service handles, says so, and starts a program.
BLOCKING = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
print("blocked", flush=True)
os.execv(sys.argv[1], sys.argv[1:])
"""


def isLocked(path: Path) -> bool:
    """Returns whether a living service has a ready file, as ``flock --shared --nonblock`` does."""
    with open(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


class LifeTestCase(ServiceTestCase):
    def setUp(self) -> None:
        self.folder = self.makeFolder()
        self.ready = self.folder / "ready"

    def run_(self, command: str, *options: str) -> CompletedProcess[str]:
        """Runs a command that ends by itself."""
        return warm.run((*COMMANDS[command], *options), str(self.folder), PATIENCE)

    def daemon(self, *options: str, streams: str = "") -> int:
        """Starts a daemon, which is killed at the test's end; returns its process id.

        :param streams: the numbers of the standard streams that are closed.
        """
        command = (
            TWISTD,
            "--pidfile=twistd.pid",
            "--logfile=twistd.log",
            "echo",
            "--ready-file",
            "ready",
            *options,
        )
        programs.run(sys.executable, "-c", CLOSING, streams, *command, cwd=self.folder, check=True)
        pid = int((self.folder / "twistd.pid").read_text())

        def kill() -> None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

        self.addCleanup(kill)
        return pid

    def address(self) -> tuple[str, int]:
        """Returns the address in the ready file."""
        host, _, port = self.ready.read_text().split()[1].rpartition(":")
        return host, int(port)

    def assertServes(self, address: tuple[str, int]) -> None:
        """Exchanges some bytes with a service."""
        peer = self.connect(address)
        sendAndEnd(peer, b"hello")
        self.assertEqual(receiveAll(peer), b"hello")


class HangupTests(LifeTestCase):
    def test_nothingToReload(self) -> None:
        """SIGHUP is logged by a service without any file to read again, which goes on."""
        server = self.serve("--port", "0")
        server.signal(signal.SIGHUP)
        self.assertTrue(waitUntil(lambda: "no file to read again" in server.log()))
        self.assertServes(server.address())
        self.assertEqual(server.stop(), -signal.SIGTERM)

    def atTerminal(self, *prefix: str) -> tuple[int, int]:
        """Starts a service, with a file to reload, at a terminal; returns its process id and the terminal."""
        (self.folder / "users").write_text("alice:secret\n")
        command = (*prefix, *COMMANDS["twistd -n"], "--port", "0", "--ready-file", "ready")
        with warnings.catch_warnings():
            # Python 3.12 warns of a fork beside threads; here the child runs another program at once.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid, terminal = pty.fork()
        if not pid:
            os.chdir(self.folder)
            os.execv(command[0], (*command, "--auth", "file:users", "--listen", "unix:s"))
        self.addCleanup(self.reap, pid)
        self.assertTrue(waitUntil(self.ready.exists))
        return pid, terminal

    def reap(self, pid: int) -> None:
        """Kills a process that still runs."""
        with contextlib.suppress(ChildProcessError, ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def test_terminalCloses(self) -> None:
        """When its terminal closes, ``twistd -n`` ends as by Ctrl-C: it removes its files."""
        pid, terminal = self.atTerminal()
        os.close(terminal)
        _, status = os.waitpid(pid, 0)
        self.assertEqual(os.waitstatus_to_exitcode(status), -signal.SIGINT)
        self.assertEqual(os.listdir(self.folder), ["users"])

    def test_reloadAtTerminal(self) -> None:
        """SIGHUP from an administrator, while the terminal is there, only reloads."""
        pid, terminal = self.atTerminal()
        os.kill(pid, signal.SIGHUP)
        output = b""
        while b"users read again" not in output:
            output += os.read(terminal, 4096)
        self.assertTrue(isLocked(self.ready))
        os.close(terminal)

    def test_nohup(self) -> None:
        """Under ``nohup`` it survives its terminal."""
        needs("nohup")
        _, terminal = self.atTerminal(shutil.which("nohup") or "")
        os.close(terminal)
        log = self.folder / "nohup.out"
        self.assertTrue(waitUntil(lambda: "users read again" in log.read_text()))
        self.assertTrue(isLocked(self.ready))


class ReadyFileTests(LifeTestCase):
    process = EchoProcess

    def start(self, *options: str) -> Any:
        """Starts ``twistd -n`` with the ready file of this test, and waits until that is its own."""
        command = (TWISTD, "-n", "--pidfile=", "echo", "--ready-file", "ready", *options)
        process = programs.start(self, *command, cwd=self.folder, stdout=subprocess.PIPE)
        self.assertTrue(waitUntil(lambda: self.ready.exists() and isLocked(self.ready)))
        return process

    def test_killed(self) -> None:
        """The lock ends with a killed service, and the next start has the file for itself."""
        killed = self.start("--port", "0")
        killed.kill()
        killed.wait()
        self.assertFalse(isLocked(self.ready))
        lines = self.ready.read_text()
        self.start("--port", "0")
        self.assertNotEqual(self.ready.read_text(), lines)

    def test_failedStarts(self) -> None:
        """Starts that fail, early or late, remove a file that was left behind."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            for options in (("--port", port), ("--port", "99999"), ("--frob",)):
                for command in COMMANDS:
                    self.ready.write_text("tcp 127.0.0.1:1\n")
                    ended = self.run_(command, *options, "--ready-file=ready")
                    self.assertEqual((ended.returncode, self.ready.exists()), (1, False), ended)

    def test_running(self) -> None:
        """Starts that fail, and stops of others, leave the file of the service that runs."""
        self.start("--port", "0")
        lines = self.ready.read_text()
        port = str(self.address()[1])
        for options in (("--port", port), ("--port", "0"), ("--frob",)):
            ended = self.run_("twistd -n", *options, "--ready-file", "ready")
            self.assertEqual(ended.returncode, 1)
            self.assertRegex(ended.stderr, r"\Aecho: .*\n\Z")
            self.assertEqual(self.ready.read_text(), lines)

    def test_user(self) -> None:
        """It is written before privileges are shed, and emptied where it can't be removed after that."""
        if os.getuid() != 0:
            raise unittest.SkipTest("only root can become another user")
        command = (TWISTD, "-n", "--pidfile=", "--uid=nobody", "echo", "--ready-file", "ready", "--port", "0")
        process = programs.start(self, *command, cwd=self.folder, stdout=subprocess.PIPE, text=True)
        self.assertTrue(waitUntil(self.ready.exists))
        self.assertServes(self.address())
        process.terminate()
        log, _ = process.communicate(timeout=PATIENCE)
        self.assertNotIn("Traceback", log)
        self.assertIn("can't be removed: Permission denied", log)
        self.assertEqual(self.ready.read_text(), "")

    def test_otherKind(self) -> None:
        """A FIFO or a device is not replaced; the start fails, with one line."""
        os.mkfifo(self.ready)
        ended = self.run_("twistd -n", "--port", "0", "--ready-file", "ready")
        self.assertEqual(ended.returncode, 1)
        self.assertRegex(ended.stderr, r"\Aecho: --ready-file '.*/ready': It is no ready file: .*\n\Z")
        self.assertTrue(stat.S_ISFIFO(self.ready.stat().st_mode))

    def test_wrongPath(self) -> None:
        """A start whose ``--ready-file`` names another file, such as that of ``--auth``, leaves the file."""
        users = self.folder / "users"
        users.write_text("alice:secret\n")
        options = ("--port", "0", "--auth", "file:users", "--ready-file", "users")
        for command in COMMANDS:
            ended = self.run_(command, *options)
            self.assertEqual(ended.returncode, 1)
            self.assertRegex(ended.stderr, r"\Aecho: --ready-file '.*': It is no ready file: .*\n\Z")
            self.assertEqual(users.read_text(), "alice:secret\n")


class ProcessOneTests(LifeTestCase):
    """The process with the id 1 of a container, for which the kernel ignores what has no handler."""

    def test_status(self) -> None:
        """SIGTERM and SIGINT end it with the status that a shell shows elsewhere."""
        needs("unshare")
        unshare = ("unshare", "--pid", "--fork", "--kill-child")
        if programs.run(*unshare, "true").returncode:
            raise unittest.SkipTest("this user can't make a PID namespace")
        for command in ("twistd -n", "twist"):
            for number in (signal.SIGTERM, signal.SIGINT):
                options = ("--port", "0", "--ready-file", "ready")
                process = programs.start(
                    self, *unshare, *COMMANDS[command], *options, cwd=self.folder, stdout=subprocess.DEVNULL
                )
                self.assertTrue(waitUntil(self.ready.exists))
                children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
                os.kill(int(children), number)
                self.assertEqual(process.wait(PATIENCE), 128 + number)
                self.assertEqual(os.listdir(self.folder), [])

    def test_blocked(self) -> None:
        """Where its parent has blocked them, signals count from the first moment, before Python has begun."""
        needs("unshare")
        unshare = ("unshare", "--pid", "--fork", "--kill-child")
        if programs.run(*unshare, "true").returncode:
            raise unittest.SkipTest("this user can't make a PID namespace")
        command = (*unshare, sys.executable, "-c", BLOCKING, *COMMANDS["twistd -n"], "--port", "0")
        for number in (signal.SIGTERM, signal.SIGINT):
            process = programs.start(self, *command, cwd=self.folder, stdout=subprocess.PIPE, text=True)
            assert process.stdout is not None
            self.assertEqual(process.stdout.readline(), "blocked\n")
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
            os.kill(int(children), number)
            self.assertEqual(process.wait(PATIENCE), 128 + number)
            self.assertEqual(os.listdir(self.folder), [])


class EarlySignalTests(LifeTestCase):
    def start(self) -> subprocess.Popen[str]:
        """Starts a service whose parent has blocked its signals; returns it when that is done."""
        command = (sys.executable, "-c", BLOCKING, *COMMANDS["twistd -n"], "--port", "0")
        process = programs.start(
            self, *command, "--ready-file", "ready", cwd=self.folder, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        self.assertEqual(process.stdout.readline(), "blocked\n")
        return process

    def test_unblocked(self) -> None:
        """A service whose parent had blocked its signals stops by them."""
        process = self.start()
        self.assertTrue(waitUntil(self.ready.exists))
        process.terminate()
        self.assertEqual(process.wait(PATIENCE), -signal.SIGTERM)
        self.assertEqual(os.listdir(self.folder), [])

    def test_hangup(self) -> None:
        """SIGHUP during the start reloads when the service runs, and does not end it."""
        process = self.start()
        process.send_signal(signal.SIGHUP)
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        self.assertTrue(any("no file to read again" in line for line in lines))
        self.assertServes(self.address())


class StreamTests(LifeTestCase):
    def test_daemon(self) -> None:
        """A daemon that was started without standard streams serves, and its log is short."""
        pid = self.daemon("--port", "0", streams="012")
        self.assertTrue(waitUntil(self.ready.exists))
        self.assertServes(self.address())
        os.kill(pid, signal.SIGTERM)
        self.assertTrue(waitUntil(lambda: not (self.folder / "twistd.pid").exists()))
        self.assertLess((self.folder / "twistd.log").stat().st_size, 10_000)

    def test_accessLog(self) -> None:
        """``--access-log -`` needs a standard output."""
        command = (TWISTD, "-n", "--pidfile=", "echo", "--port", "0", "--access-log", "-")
        ended = programs.run(sys.executable, "-c", CLOSING, "1", *command, cwd=self.folder, text=True)
        self.assertEqual(ended.returncode, 1)
        self.assertEqual(ended.stderr, "echo: --access-log '-': standard output is closed\n")

    def test_lost(self) -> None:
        """A descriptor that a reactor has already taken is no standard stream: a daemon would close it."""
        command = (TWISTD, "--reactor=epoll", "--pidfile=twistd.pid", "echo", "--port", "0")
        ended = programs.run(sys.executable, "-c", CLOSING, "0", *command, cwd=self.folder, text=True)
        self.assertEqual(ended.returncode, 1)
        self.assertRegex(ended.stderr, r"\Aecho: standard input is closed.*\n\Z")

    def test_ASCII(self) -> None:
        """A log to an ASCII terminal has all lines, with other characters escaped."""
        path = self.folder / "\xe9"
        server = self.serve(
            *("--listen", f"unix:{path}"),
            command=(TWISTD, "-n", "--pidfile=", "echo"),
            env={"PYTHONIOENCODING": "ascii"},
        )
        server.stop()
        self.assertIn(f"listening on {self.folder}/\\xe9 (unix)", server.log())

    def test_rotation(self) -> None:
        """After a rotation a daemon's access log has the permissions that it had before."""
        pid = self.daemon("--port", "0", "--access-log", "log")
        log = self.folder / "log"
        log.chmod(0o640)
        log.rename(self.folder / "log.1")
        os.kill(pid, signal.SIGHUP)
        self.assertTrue(waitUntil(log.exists))
        self.assertEqual(stat.S_IMODE(log.stat().st_mode), 0o640)


class PidFileTests(LifeTestCase):
    def test_refused(self) -> None:
        """``twistd -n`` says in one line what is wrong with its pid file, and what to do."""
        pidFile = self.folder / "twistd.pid"
        for content, reason in ((str(os.getpid()), "which runs"), ("", "no number"), ("x", "no number")):
            pidFile.write_text(content)
            ended = self.run_("twistd -n", "--port", "0")
            self.assertEqual(ended.returncode, 1)
            self.assertRegex(ended.stderr, rf"\Aecho: pid file .*{reason}.* twistd -n --pidfile= .*\n\Z")
            self.assertEqual((ended.stdout, pidFile.read_text()), ("", content))


class DescriptorTests(LifeTestCase):
    def test_tooFew(self) -> None:
        """A limit that leaves no descriptor for a connection is refused, and leaves no file."""
        needs("prlimit")
        for limit in (16, 24):
            command = ("prlimit", f"--nofile={limit}:{limit}", *COMMANDS["twistd -n"])
            options = ("--port", "0", "--listen", "unix:s", "--ready-file", "ready")
            ended = programs.run(*command, *options, cwd=self.folder, text=True)
            self.assertEqual((ended.returncode, ended.stdout), (1, ""))
            self.assertRegex(ended.stderr, rf"\Aecho: .*limit {limit} .*ulimit -n\n\Z")
            self.assertEqual(os.listdir(self.folder), [])
