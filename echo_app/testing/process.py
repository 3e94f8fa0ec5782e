"""A real echo service, in a process of its own, for tests.

It needs no reactor and no event loop on the caller's side, so that it serves plain sockets, threads,
asyncio and Twisted alike::

    with EchoProcess("--port", "0", "--udp", "0") as server:
        with socket.create_connection(server.address("tcp")) as client:
            ...

The process ends with the block; and if the test's own process is killed before that, it notices the end
of its standard input, and ends too.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple

# Seconds that a start or a stop may take on a busy machine; it takes about half of one.
PATIENCE = 20.0

# Seconds between two looks for the ready file.
_LOOK = 0.005


class EchoProcessError(Exception):
    """The service did not start, or did not stop; the text has what it printed."""


class Listener(NamedTuple):
    """Where the service listens.

    :param transport: ``tcp``, ``tls``, ``udp`` or ``unix``.
    :param host: an IP literal, or a UNIX socket's path.
    :param port: 0 for a UNIX socket.
    """

    transport: str
    host: str
    port: int

    @classmethod
    def fromLine(cls, line: str) -> Listener:
        """Reads a line of the ready file."""
        transport, _, where = line.partition(" ")
        if transport == "unix":
            return cls(transport, where, 0)
        host, _, port = where.rpartition(":")
        return cls(transport, host.strip("[]"), int(port))


class EchoProcess:
    """``twistd -n echo`` with any options, in a folder of its own, until it is stopped.

    :param options: of ``twistd echo``; without any it takes a free TCP port on 127.0.0.1.
    :param reactor: a reactor's name as ``twistd --help-reactors`` lists them; None is the default.
    :param command: what to run in place of this Python; `options` and ``--ready-file`` are appended.
    :param env: added to the environment.

    :ivar listeners: where it listens, in the order asked for.
    """

    def __init__(
        self,
        *options: str,
        reactor: str | None = None,
        command: tuple[str, ...] | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        chosen = ("--reactor", reactor) if reactor is not None else ()
        start = (sys.executable, "-m", "echo_app.testing", *chosen, "-n", "--pidfile=", "echo")
        self._command = (start if command is None else command) + (options or ("--port", "0"))
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None
        self._log = ""
        self.listeners: list[Listener] = []
        self._folder: Path | None = None

    def start(self) -> EchoProcess:
        """Starts it; returns itself when everything listens.

        :raise EchoProcessError: when it ends instead, with what it printed.
        """
        self._folder = Path(tempfile.mkdtemp(prefix="echo_app-"))
        ready = self.folder / "ready"
        try:
            with open(self.folder / "log", "wb") as log:
                self._process = self._launch((*self._command, "--ready-file", str(ready)), log)
            deadline = time.monotonic() + PATIENCE
            while not ready.exists():
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise EchoProcessError(f"not started:\n{self.log()}")
                time.sleep(_LOOK)
            lines = ready.read_text().splitlines()
            self.listeners = [self._absolute(Listener.fromLine(line)) for line in lines]
        except BaseException:
            self.kill()
            raise
        return self

    def _launch(self, command: tuple[str, ...], log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            env={**os.environ, **(self._env or {})},
        )

    def address(self, transport: str = "tcp", index: int = 0) -> tuple[str, int]:
        """Returns host and port of the first listener of that kind, or of the one at the index.

        :raise LookupError: when there is none.
        """
        found = [(each.host, each.port) for each in self.listeners if each.transport == transport]
        return found[index]

    def _absolute(self, listener: Listener) -> Listener:
        if listener.transport != "unix":
            return listener
        return listener._replace(host=str(self.folder / listener.host))

    @property
    def folder(self) -> Path:
        """Where it runs; removed at its end.

        :raise EchoProcessError: when it was never started.
        """
        if self._folder is None:
            raise EchoProcessError("never started")
        return self._folder

    @property
    def pid(self) -> int:
        """Its process id.

        :raise EchoProcessError: when it does not run.
        """
        if self._process is None:
            raise EchoProcessError("not running")
        return self._process.pid

    def log(self) -> str:
        """Returns what it has printed so far, or until its end."""
        if self._process is not None:
            self._log = (self.folder / "log").read_text(errors="replace")
        return self._log

    def signal(self, number: int) -> None:
        """Sends it a signal."""
        os.kill(self.pid, number)

    def wait(self, timeout: float = PATIENCE) -> int:
        """Waits for its end; returns the exit status, negative for a signal's number.

        :raise EchoProcessError: when it still runs after `timeout` seconds; it is killed then.
        """
        if self._process is None:
            raise EchoProcessError("not running")
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise EchoProcessError(f"still running after {timeout} s:\n{self.log()}") from None
        finally:
            self.kill()

    def stop(self, timeout: float = PATIENCE) -> int:
        """Stops it by SIGTERM; returns the exit status, as :meth:`wait` does. A second call is harmless.

        :raise EchoProcessError: when it still runs after `timeout` seconds; it is killed then.
        """
        if self._process is None:
            return 0
        self._process.send_signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill(self) -> None:
        """Ends it at once, and removes its folder. A second call is harmless."""
        process = self._process
        if process is not None:
            self.log()
            process.kill()
            process.wait()
            assert process.stdin is not None
            process.stdin.close()
            self._process = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> EchoProcess:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stops it; kills it when the block failed, so that a drain does not hold up the report."""
        if error is None:
            self.stop()
        else:
            self.kill()
