"""A service in a process of its own is there when it is said to be, and leaves nothing when it ends."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from echo_app.testing import EchoProcess, EchoProcessError
from tests import ROOT
from tests.support import programs, warm
from tests.support.kernel import waitUntil
from tests.support.service import PATIENCE, ServiceTestCase, exchanged, reactorName

# A test's own process: it starts a service in $TMPDIR, says so, and waits for what is done to it.
USER = """
import sys
from echo_app.testing import EchoProcess
print("starting", flush=True)
with EchoProcess() as server:
    print(server.pid, flush=True)
    sys.stdin.read()
"""

# The same without a `with`: nothing stops the service but the end of this process.
FORGETFUL = """
from echo_app.testing import EchoProcess
print("starting", flush=True)
print(EchoProcess().start().pid, flush=True)
"""


def hasEnded(pid: int) -> bool:
    """Says whether a process is gone, or is only waited for by its parent."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] in "ZX"


def processesIn(folder: Path) -> list[int]:
    """Returns the processes whose working directory is below a folder, or was until it was removed."""
    inside = []
    for entry in os.listdir("/proc"):
        try:
            where = os.readlink(f"/proc/{entry}/cwd") if entry.isdecimal() else ""
        except OSError:
            continue
        if where.startswith(f"{folder}/"):
            inside.append(int(entry))
    return inside


class EchoProcessTests(ServiceTestCase):
    """From its start to its stop."""

    process = EchoProcess

    def _assertGone(self, server: EchoProcess, pid: int, folder: Path) -> None:
        self.assertTrue(hasEnded(pid))
        self.assertFalse(folder.exists())
        with self.assertRaises(EchoProcessError):
            _ = server.pid

    def test_options(self) -> None:
        """An echo process takes any options; every listener is bound, in their order, and echoes."""
        server = self.serve(
            *("--port", "0", "--port", "0", "--udp", "0", "--listen", "unix:echo.sock"),
            *("--idle-timeout", "60", "--log-connections"),
        )
        self.assertEqual([each.transport for each in server.listeners], ["tcp", "tcp", "unix", "udp"])
        self.assertNotEqual(server.address("tcp"), server.address("tcp", 1))
        for address in (server.address("tcp"), server.address("tcp", 1), server.address("unix")):
            self.assertEqual(exchanged(self.connect(address), b"hello"), b"hello")
        self.assertEchoes(self.connect(server.address("udp"), socket.SOCK_DGRAM), b"hello")
        with self.assertRaises(LookupError):
            server.address("tcp", 2)

    def test_environment(self) -> None:
        """The service has the caller's environment, with its additions, in its own folder."""
        server = self.serve(env={"ECHO_APP_TEST": "added"})
        environment = Path(f"/proc/{server.pid}/environ").read_bytes().split(b"\0")
        self.assertIn(b"ECHO_APP_TEST=added", environment)
        self.assertIn(b"PATH=" + os.environb[b"PATH"], environment)
        self.assertEqual(os.readlink(f"/proc/{server.pid}/cwd"), str(server.folder))

    def test_reactor(self) -> None:
        """The reactor is the one that was chosen: only one of these two has an epoll, off the direct path."""
        for reactor, hasEpoll in (("epoll", True), ("select", False)):
            server = self.serve("--port", "0", "--no-direct", reactor=reactor)
            files = Path(f"/proc/{server.pid}/fd")
            targets = [os.readlink(file) for file in files.iterdir()]
            self.assertEqual("anon_inode:[eventpoll]" in targets, hasEpoll, reactor)
            server.kill()

    def test_log(self) -> None:
        """The log is there while it runs, and after its end, the last line included."""
        server = self.serve()
        self.assertIn("listening on 127.0.0.1:", server.log())
        self.assertNotIn("stopped", server.log())
        self.assertEqual(exchanged(self.connect(server.address()), b"hello"), b"hello")
        server.stop()
        self.assertIn("echo_app stopped", server.log())

    def test_stop(self) -> None:
        """A stop ends it by SIGTERM and removes its folder; a second stop, or a kill, is harmless."""
        server = self.serve()
        pid, folder = server.pid, server.folder
        self.assertEqual(server.stop(), -signal.SIGTERM)
        self._assertGone(server, pid, folder)
        self.assertEqual(server.stop(), 0)
        server.kill()

    def test_kill(self) -> None:
        """A kill ends it at once, and removes its folder; a second kill, or a stop, is harmless."""
        server = self.serve()
        pid, folder = server.pid, server.folder
        server.kill()
        self._assertGone(server, pid, folder)
        server.kill()
        self.assertEqual(server.stop(), 0)

    def test_stopWhenReady(self) -> None:
        """A stop in the very moment of the ready line takes effect: the files go."""
        folder = self.makeFolder()
        ready = folder / "ready"
        python = (sys.executable, "-m", "echo_app.testing", f"--reactor={reactorName()}")
        twistd = (*python, "-n", "--pidfile=pid", "echo", "--port", "0", "--listen", "unix:x.sock")
        output = os.open(os.devnull, os.O_WRONLY)
        self.addCleanup(os.close, output)
        for _ in range(8):
            server = warm.start((*twistd, "--ready-file", "ready"), str(folder), output, output)
            assert server.stdin is not None
            self.addCleanup(server.stdin.close)
            self.addCleanup(server.kill)
            deadline = time.monotonic() + PATIENCE
            # Without a pause: a slower loop comes too late to see it fail.
            while not ready.exists() and time.monotonic() < deadline:
                pass
            server.send_signal(signal.SIGTERM)
            self.assertEqual(server.wait(PATIENCE), -signal.SIGTERM)
            self.assertEqual(os.listdir(folder), [])

    def test_startAgain(self) -> None:
        """After a stop it can be started again."""
        server = self.serve()
        first = server.pid
        server.stop()
        server.start()
        self.assertNotEqual(server.pid, first)
        self.connect(server.address())

    def test_startTwice(self) -> None:
        """While it runs it is not started once more, and a with-block takes it as it is."""
        server = self.serve()
        first = server.pid
        self.assertRaises(EchoProcessError, server.start)
        with server:
            self.assertEqual(server.pid, first)
            self.connect(server.address())
        self.assertTrue(hasEnded(first))

    def test_wait(self) -> None:
        """Waiting returns the exit status; a wait in vain is an error, and the service is killed."""
        server = self.serve()
        server.signal(signal.SIGINT)
        self.assertEqual(server.wait(), -signal.SIGINT)
        server.start()
        pid, folder = server.pid, server.folder
        error = self.assertRaises(EchoProcessError, server.wait, 0.1)
        self.assertIn("listening on 127.0.0.1:", str(error))
        self._assertGone(server, pid, folder)

    def test_block(self) -> None:
        """The end of a with-block stops it cleanly."""
        with EchoProcess() as server:
            self.addCleanup(server.kill)
            pid, folder = server.pid, server.folder
            self.assertEqual(exchanged(self.connect(server.address()), b"hello"), b"hello")
        self._assertGone(server, pid, folder)
        self.assertIn("echo_app stopped: 1 connections", server.log())

    def test_failedBlock(self) -> None:
        """An exception in the with-block comes out, and kills it without waiting for its drain."""
        start = time.monotonic()
        with (
            self.assertRaises(ZeroDivisionError),
            EchoProcess("--port", "0", "--drain-timeout", "60") as server,
        ):
            self.addCleanup(server.kill)
            pid, folder = server.pid, server.folder
            peer = self.connect(server.address())
            peer.setblocking(False)
            while select.select([], [peer], [], 0.2)[1]:
                peer.send(bytes(1 << 16))
            raise ZeroDivisionError
        self.assertLess(time.monotonic() - start, PATIENCE)
        self._assertGone(server, pid, folder)
        self.assertNotIn("stopped", server.log())


class RefusedTests(ServiceTestCase):
    """Services that can't be started."""

    def test_wrongOptions(self) -> None:
        """The error has the service's output, and no folder and no process stays."""
        server = EchoProcess("--port", "70000")
        error = self.assertRaises(EchoProcessError, server.start)
        self.assertIn("echo: --port '70000'", str(error))
        self.assertFalse(server.folder.exists())
        with self.assertRaises(EchoProcessError):
            _ = server.pid

    def test_noProgram(self) -> None:
        """A command that isn't there is an OSError, and no folder stays."""
        server = EchoProcess(command=("/nowhere/twistd", "echo"))
        self.assertRaises(FileNotFoundError, server.start)
        self.assertFalse(server.folder.exists())

    def test_interruptedWhenMade(self) -> None:
        """An interrupt that comes just when the folder is made leaves none."""
        within = programs.newFolder(self)
        make = os.mkdir

        def interrupted(path: str | Path, mode: int = 0o777) -> None:
            make(path, mode)
            raise KeyboardInterrupt

        self.patch(os, "mkdir", interrupted)
        self.assertRaises(KeyboardInterrupt, EchoProcess(within=within).start)
        self.assertEqual(os.listdir(within), [])

    def test_killBeforeStart(self) -> None:
        """A kill before the start removes nothing: least of all where the test runs."""
        # In a process and a folder of its own, where it may be wrong about that.
        folder = programs.newFolder(self)
        (folder / "precious").touch()
        script = "from echo_app.testing import EchoProcess; EchoProcess().kill()"
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        programs.run(sys.executable, "-c", script, cwd=folder, env=environment, check=True)
        self.assertEqual(os.listdir(folder), ["precious"])


class OrphanTests(ServiceTestCase):
    """The rest of a service whose caller's process ends: the service's process never stays."""

    if reactorName() != "epoll":
        skip = "its services have the default reactor: the tests' own does not matter"

    def _user(self, script: str) -> tuple[subprocess.Popen[str], Path]:
        """Starts a process that starts a service; returns it, and where all folders are made."""
        folder = programs.newFolder(self)
        user = programs.start(
            self,
            *(sys.executable, "-c", script),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)},
        )
        self.addCleanup(self._end, user, folder)
        assert user.stdout is not None
        self.assertEqual(user.stdout.readline(), "starting\n")
        return user, folder

    def _end(self, user: subprocess.Popen[str], folder: Path) -> None:
        user.kill()
        user.communicate()
        for pid in processesIn(folder):
            # It may end by itself at the same time.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _serverOf(self, user: subprocess.Popen[str]) -> int:
        assert user.stdout is not None
        return int(user.stdout.readline())

    def _assertNobody(self, folder: Path) -> None:
        self.assertTrue(waitUntil(lambda: not processesIn(folder)), processesIn(folder))

    def test_killed(self) -> None:
        """When the user's process is killed by SIGKILL, the service ends."""
        user, folder = self._user(USER)
        pid = self._serverOf(user)
        self.assertEqual(processesIn(folder), [pid])
        user.kill()
        user.wait()
        self._assertNobody(folder)
        # A process has no folder for a moment before it has ended.
        self.assertTrue(waitUntil(lambda: hasEnded(pid)))

    def test_killedInStart(self) -> None:
        """When the user's process is killed while the service starts, the service ends too."""
        user, folder = self._user(USER)
        self.assertTrue(waitUntil(lambda: bool(processesIn(folder))))
        user.kill()
        user.wait()
        self._assertNobody(folder)

    def test_forgotten(self) -> None:
        """When the user's process ends without a stop, the service ends."""
        user, folder = self._user(FORGETFUL)
        pid = self._serverOf(user)
        self.assertEqual(user.wait(PATIENCE), 0)
        self._assertNobody(folder)
        self.assertTrue(waitUntil(lambda: hasEnded(pid)))

    def test_interrupted(self) -> None:
        """SIGINT in the user's process ends the service, and removes its folder."""
        user, folder = self._user(USER)
        pid = self._serverOf(user)
        user.send_signal(signal.SIGINT)
        self.assertEqual(user.wait(PATIENCE), -signal.SIGINT)
        self.assertTrue(hasEnded(pid))
        self.assertEqual(os.listdir(folder), [])

    def test_interruptedGroup(self) -> None:
        """SIGINT to both processes, as a terminal sends it, ends the service too."""
        user, folder = self._user(USER)
        pid = self._serverOf(user)
        os.killpg(user.pid, signal.SIGINT)
        self.assertEqual(user.wait(PATIENCE), -signal.SIGINT)
        self.assertTrue(hasEnded(pid))
        self.assertEqual(os.listdir(folder), [])

    def test_interruptedInStart(self) -> None:
        """SIGINT while the service starts leaves neither a process nor a folder."""
        user, folder = self._user(USER)
        self.assertTrue(waitUntil(lambda: bool(processesIn(folder))))
        user.send_signal(signal.SIGINT)
        self.assertEqual(user.wait(PATIENCE), -signal.SIGINT)
        self._assertNobody(folder)
        self.assertEqual(os.listdir(folder), [])
