"""A real echo service in a process of its own, for tests.

The caller needs no reactor and no event loop, so plain sockets, threads, asyncio and Twisted can all use it::

    with EchoProcess("--port", "0", "--udp", "0") as server:
        with socket.create_connection(server.address("tcp")) as client:
            ...

The service's process ends with the block. If the test's process is killed before that, the service's process
removes its folder, and ends too.
"""

from __future__ import annotations

import atexit
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

from echo_app.testing.controlconnection import CHILD, ControlConnection, ControlError, now

# Seconds that a start or a stop may take: less than half a second on a quiet machine, many on a busy one. The
# end of the process is noticed at once.
TIMEOUT = 60.0

# An address with a port; every other one is a UNIX socket's path.
_HOST_PORT = re.compile(r"([0-9.]+|\[.*\]):[0-9]+")

# Seconds between two looks for the ready file.
_LOOK = 0.005


class EchoProcessError(Exception):
    """A service that did not start or stop; the text has its output."""


class Listener(NamedTuple):
    """One listener of the service, with its address.

    :param transport: ``tcp``, ``tls``, ``udp`` or ``unix``.
    :param host: an IP literal, or a UNIX socket's path.
    :param port: 0 for a UNIX socket.
    """

    transport: str
    host: str
    port: int

    @classmethod
    def fromLine(cls, line: str, folder: Path) -> Listener:
        """Returns the listener of a line of the ready file of a service that runs in a folder."""
        transport, _, where = line.partition(" ")
        if not _HOST_PORT.fullmatch(where):
            return cls(transport, str(folder / where), 0)
        host, _, port = where.rpartition(":")
        return cls(transport, host.strip("[]"), int(port))


class EchoProcess:
    """``twistd -n echo`` with any options, in a folder of its own, until it is stopped.

    :param options: options of ``twistd echo``; without a listener, the service listens on a free TCP port of
        127.0.0.1.
    :param reactor: a reactor's name from ``twistd --help-reactors``; None is the default.
    :param command: the command to run in place of this Python; `options` and ``--ready-file`` are appended.
    :param env: variables to add to the environment.
    :param within: the directory for the service's folder; None is the usual place of temporary files.

    :ivar listeners: the listeners, in the order of the options.
    """

    def __init__(
        self,
        *options: str,
        reactor: str | None = None,
        command: tuple[str, ...] | None = None,
        env: dict[str, str] | None = None,
        within: str | os.PathLike[str] | None = None,
    ) -> None:
        # -P: the script's imports must not find the modules beside it.
        start = (sys.executable, "-P", CHILD) if command is None else command
        self._command = start + (options if command is None else options or ("--port", "0"))
        self._isSpokenTo = command is None
        self._settings: dict[str, Any] = {"reactor": reactor}
        self._env = env
        self._within = within
        self._process: subprocess.Popen[bytes] | None = None
        self._control: ControlConnection | None = None
        self._log = ""
        self.listeners: list[Listener] = []
        self._folder: Path | None = None
        self._owner = 0

    def start(self) -> Self:
        """Starts the service; returns this object when all listeners are open.

        :raise EchoProcessError: when the service ends instead, with its output; or when it runs already.
        """
        __tracebackhide__ = True
        if self._process is not None:
            raise EchoProcessError("it runs already")
        self._owner = os.getpid()
        atexit.register(self.kill)
        try:
            # An interrupt may come at any moment, so the folder is known to kill() before it exists.
            within = os.path.abspath(self._within or tempfile.gettempdir())
            self._folder = Path(within, f"echo_app-{secrets.token_hex(8)}")
            self._folder.mkdir(0o700)
            self._control = ControlConnection()
            ready = self.folder / "ready"
            command = (*self._command, "--ready-file", str(ready))
            with open(self.folder / "log", "wb") as log, self._control.theirs as stdin:
                self._process = self._launch(command, stdin.fileno(), log)
            problem = self._hear() if self._isSpokenTo else self._see(ready)
            if problem:
                raise EchoProcessError(self._reason(problem))
            lines = ready.read_text().splitlines()
            self.listeners = [Listener.fromLine(line, self.folder) for line in lines]
        except BaseException:
            self.kill()
            raise
        return self

    def _hear(self) -> str:
        """Waits for the service's message that it listens; returns the reason if none comes, or ``""``."""
        assert self._control is not None
        try:
            self._control.begin(self._settings)
            self._control.listen(TIMEOUT)
        except ControlError as error:
            return str(error)
        return ""

    def _see(self, ready: Path) -> str:
        """Waits for the ready file; returns the reason if there is none, or ``""``."""
        assert self._process is not None
        deadline = now() + TIMEOUT
        while not ready.exists():
            if self._process.poll() is not None:
                return "it has ended"
            if now() > deadline:
                return f"no ready file within {TIMEOUT:g} s"
            time.sleep(_LOOK)
        return ""

    def _reason(self, problem: str) -> str:
        """Returns the service's output if that is one line; else the problem, with the output."""
        log = self.log().strip()
        return log if log and "\n" not in log else f"not started, {problem}:\n{log}"

    def _launch(self, command: tuple[str, ...], stdin: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            env={**os.environ, **(self._env or {})},
            # A terminal's Ctrl-C must reach only the tests, which then stop the service.
            start_new_session=True,
        )

    def address(self, transport: str | None = None, index: int = 0) -> tuple[str, int]:
        """Returns host and port of a listener.

        :param transport: ``tcp``, ``tls``, ``udp`` or ``unix``; None is any.
        :param index: the listener's index among those of that transport.
        :raise LookupError: when there is no such listener.
        """
        __tracebackhide__ = True
        found = [each for each in self.listeners if transport in (None, each.transport)]
        if index >= len(found):
            raise LookupError(f"there are {len(found)} listeners for {transport or 'anything'}")
        return found[index].host, found[index].port

    @property
    def folder(self) -> Path:
        """Returns the folder in which the service runs, and which is removed at its end.

        :raise EchoProcessError: when the service was never started.
        """
        if self._folder is None:
            raise EchoProcessError("never started")
        return self._folder

    @property
    def pid(self) -> int:
        """Returns the process id.

        :raise EchoProcessError: when the service does not run.
        """
        return self._running.pid

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise EchoProcessError("not running")
        return self._process

    def log(self) -> str:
        """Returns the service's output so far, or until its end."""
        if self._process is not None:
            self._log = (self.folder / "log").read_text(errors="replace")
        return self._log

    def signal(self, number: int) -> None:
        """Sends the service a signal; without effect if the process has ended.

        :raise EchoProcessError: when the service was not started, or is stopped.
        """
        self._running.send_signal(number)

    def wait(self, timeout: float = TIMEOUT) -> int:
        """Waits for the service's end; returns the exit status, negative for a signal's number.

        :raise EchoProcessError: when the service still runs after `timeout` seconds; it is killed then.
        """
        running = self._running
        try:
            return running.wait(timeout)
        except subprocess.TimeoutExpired:
            raise EchoProcessError(f"still running after {timeout} s:\n{self.log()}") from None
        finally:
            self.kill()

    def stop(self, timeout: float = TIMEOUT) -> int:
        """Stops the service by SIGTERM; returns its exit status, as :meth:`wait`. A second call is harmless.

        :raise EchoProcessError: when the service still runs after `timeout` seconds; it is killed then.
        """
        if self._process is None or not self._isOwn():
            return 0
        self._process.send_signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill(self) -> None:
        """Ends the service at once, and removes its folder. A second call is harmless."""
        if not self._isOwn():
            return
        try:
            self._remove()
        except BaseException:
            # Ctrl-C, or a test's time-out, has interrupted the removal.
            self._remove()
            raise

    def _isOwn(self) -> bool:
        """Says whether this process started the service, and is not a fork of the one that did."""
        return self._owner == os.getpid()

    def _remove(self) -> None:
        process = self._process
        if process is not None:
            self.log()
            process.kill()
            process.wait()
            self._process = None
        if self._control is not None:
            self._control.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        atexit.unregister(self.kill)

    def __enter__(self) -> Self:
        return self.start() if self._process is None else self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stops the service; kills it when the block failed, so that a drain does not delay the report."""
        if error is None:
            self.stop()
        else:
            self.kill()
