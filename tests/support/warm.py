"""Warm starts: forks of a process that has already imported the modules of ``twistd``, without a reactor.

Most of a start is the import of Twisted and OpenSSL, half a second of processor time. A warm process runs the
installed script, or the module, from its first line, in a process of its own. Tests call :func:`start`. As a
script, this file is the process that forks::

    the tests --- a request, and the descriptors to be its 0, 1, 2 ---> the forking process
                                                                            | fork
    the tests <--- process id, and later its status --- the one that waits for it
                                                                            | fork
                                                                        what was started

This file imports no other module of the tests: as a script it has no package.
"""

from __future__ import annotations

import atexit
import functools
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from importlib.metadata import entry_points
from tempfile import TemporaryFile
from typing import IO

# The most bytes of a request: a command line of the tests, and a folder.
_REQUEST = 65536

# The descriptors of a request: input, output, errors, and the socket that reports the end.
_DESCRIPTORS = 4


class WarmProcess:
    """A warm process, with the attributes of a :class:`subprocess.Popen` that the tests use.

    As with a child process, no other process gets its id before its exit status is known here.

    :ivar stdin: a pipe to its input; None if the caller gave the input.
    """

    def __init__(self, told: socket.socket, stdin: IO[bytes] | None) -> None:
        self._told = told
        self.stdin = stdin
        self.returncode: int | None = None
        self.pid = self._read()

    def _read(self) -> int:
        answer = self._told.recv(100)
        if not answer:
            raise ChildProcessError("who waits for it is gone")
        return int(answer)

    def poll(self) -> int | None:
        """Returns the exit status, negative for a signal's number; None while the process runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the process's end; returns the exit status.

        :raise subprocess.TimeoutExpired: when the process still runs after `timeout` seconds.
        """
        if self.returncode is None:
            self._told.settimeout(timeout)
            try:
                self.returncode = self._read()
            except (BlockingIOError, TimeoutError):
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0) from None
            self._told.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends the process a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kills the process, if it still runs."""
        self.send_signal(signal.SIGKILL)


def start(
    command: tuple[str, ...], folder: str, stdout: int, stderr: int, stdin: int | None = None
) -> WarmProcess:
    """Starts a Python program in a folder.

    :param command: this Python, ``-m`` and a module's name, or ``-P`` and a script's path; or a script's
        path; then the arguments.
    :param stdout: a descriptor, as are `stderr` and `stdin`; without `stdin` the input is a pipe.
    """
    told, tells = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    request = json.dumps({"command": command, "folder": os.path.abspath(folder)}).encode()
    ours: IO[bytes] | None = None
    with tells, ExitStack() as theirs:
        if stdin is None:
            stdin, end = os.pipe()
            theirs.callback(os.close, stdin)
            ours = os.fdopen(end, "wb", 0)
        socket.send_fds(_forking(), [request], [stdin, stdout, stderr, tells.fileno()])
    return WarmProcess(told, ours)


def run(command: tuple[str, ...], folder: str, timeout: float) -> subprocess.CompletedProcess[str]:
    """Runs a Python program in a folder to its end, with empty standard input.

    :param timeout: seconds after which the program is killed.
    :raise subprocess.TimeoutExpired: when the program was killed.
    """
    with TemporaryFile("w+") as stdout, TemporaryFile("w+") as stderr:
        with open(os.devnull) as null:
            process = start(command, folder, stdout.fileno(), stderr.fileno(), null.fileno())
        try:
            status = process.wait(timeout)
        finally:
            process.kill()
            process.wait()
        stdout.seek(0)
        stderr.seek(0)
        return subprocess.CompletedProcess(command, status, stdout.read(), stderr.read())


@functools.cache
def _forking() -> socket.socket:
    """Starts the forking process, which ends with this one; returns the socket for requests."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            # -P: imports must find the installed modules, not those beside this file.
            [sys.executable, "-P", __file__, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _readAll() -> None:
    """Imports the modules that the commands import before they choose a reactor."""
    from twisted.application.service import IServiceMaker
    from twisted.internet import posixbase  # noqa: F401
    from twisted.plugin import getPlugins

    # Without the extra, only some modules of the probe can be imported.
    with suppress(ImportError):
        import echo_app.probe.load.run
    import echo_app.cli.tap
    import echo_app.probe.cli.command
    import echo_app.testing.childservice
    import echo_app.tls.server  # noqa: F401

    for each in entry_points(group="console_scripts"):
        if each.name in ("twistd", "twist"):
            each.load()
    list(getPlugins(IServiceMaker))
    if "twisted.internet.reactor" in sys.modules:
        raise AssertionError("a reactor is installed: no other one can be chosen now")
    # The garbage collectors of forks must not write to the shared memory.
    gc.freeze()


def _become(request: bytes, descriptors: list[int]) -> None:
    """Turns this process into the program of a request; an exit of the program is an exception here."""
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    asked = json.loads(request)
    os.chdir(asked["folder"])
    _, *arguments = asked["command"]
    isModule = arguments[:1] == ["-m"]
    isPython = isModule or arguments[:1] == ["-P"]
    # In place: twist has bound the list object at its import.
    sys.argv[:] = arguments[1:] if isPython else asked["command"]
    if isModule:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")


def _begin(request: bytes, descriptors: list[int], tells: int) -> None:
    """Forks once more: the child becomes the program, and this process reports its id and its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if not pid:
        os.close(tells)
        _become(request, descriptors)
        return
    for descriptor in descriptors:
        os.close(descriptor)
    with socket.socket(fileno=tells) as told:
        told.send(b"%d" % pid)
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        # The test has ended.
        with suppress(ConnectionError):
            told.send(b"%d" % status)
            # The test closes its end when it has the status, and then sends no more signals to that id.
            told.recv(1)
    os.waitpid(pid, 0)
    os._exit(0)


def _main(requests: socket.socket) -> None:
    # A terminal sends interrupts to all processes; only the tests and their programs handle them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # No process reads the status of the waiting forks.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _readAll()
    while True:
        request, descriptors, _, _ = socket.recv_fds(requests, _REQUEST, _DESCRIPTORS)
        if not request:
            return
        if not os.fork():
            requests.close()
            *descriptors, tells = descriptors
            _begin(request, descriptors, tells)
            return
        for descriptor in descriptors:
            os.close(descriptor)


if __name__ == "__main__":
    _main(socket.socket(fileno=int(sys.argv[1])))
