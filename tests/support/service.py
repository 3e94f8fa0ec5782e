"""Support for functional tests: services with the tests' reactor, and their peers."""

from __future__ import annotations

import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import IO, cast

from twisted.trial.unittest import TestCase

from echo_app.testing import EchoProcess
from tests.support import warm

# Bytes that no service and no kernel take from a peer that does not read.
ENDLESS = 1 << 30

# Seconds after which a peer gives up: long enough for the busiest machine, short enough to end a hang.
PATIENCE = 30.0

# Seconds for an event that must not wait: many for the busiest machine, half of the wait that it must not
# have, such as a drain of PATIENCE.
AT_ONCE = 15.0


def reactorName() -> str:
    """Returns the name, for ``--reactor``, of the tests' reactor."""
    from twisted.internet import reactor

    return type(reactor).__name__.lower().removesuffix("reactor").replace("asyncioselector", "asyncio")


SCRIPTS = Path(sys.executable).parent
REACTOR = f"--reactor={reactorName()}"
COMMANDS = {
    "twistd -n": (str(SCRIPTS / "twistd"), REACTOR, "-n", "--pidfile=twistd.pid", "echo"),
    "twistd": (str(SCRIPTS / "twistd"), REACTOR, "--pidfile=twistd.pid", "--logfile=twistd.log", "echo"),
    "twist": (str(SCRIPTS / "twist"), REACTOR, "echo"),
    # On the default reactor: this command has no options of twistd.
    "module": (sys.executable, "-m", "echo_app"),
}


def needs(*programs: str) -> None:
    """Skips the test if a program is missing; in CI, which installs all programs, that is a failure."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing and os.environ.get("CI"):
        raise AssertionError(f"CI must install: {', '.join(missing)}")
    if missing:
        raise unittest.SkipTest(f"not installed: {', '.join(missing)}")


class WarmEchoProcess(EchoProcess):
    """An ``EchoProcess`` that is forked from a process with the imports already done."""

    def _launch(self, command: tuple[str, ...], stdin: int, log: IO[bytes]) -> subprocess.Popen[bytes]:
        process = warm.start(command, str(self.folder), log.fileno(), log.fileno(), stdin)
        # A warm process has all members that an EchoProcess uses.
        return cast("subprocess.Popen[bytes]", process)


class ServiceTestCase(TestCase):
    """A test case with real services, which end with each test.

    :cvar process: the class that starts a service, unless it needs a command or an environment of its own.
    :cvar always: options of every service without a command of its own, before the test's options.
    """

    timeout = 120
    always: tuple[str, ...] = ()
    process: type[EchoProcess] = WarmEchoProcess

    def serve(self, *options: str, **more: object) -> EchoProcess:
        """Starts a service with these options, and kills it at the test's end if it still runs."""
        kind = EchoProcess if more.keys() & {"command", "env"} else self.process
        if self.always and "command" not in more:
            options = (*self.always, *(options or ("--port", "0")))
        server = kind(*options, **{"reactor": reactorName(), **more})  # type: ignore[arg-type]
        self.addCleanup(server.kill)
        return server.start()

    def connect(
        self, address: tuple[str, int], kind: int = socket.SOCK_STREAM, **options: int
    ) -> socket.socket:
        """Connects over TCP, or to a UNIX socket if the port is 0. The socket is closed at the test's end.

        :param kind: ``SOCK_DGRAM`` connects over UDP.
        :param options: options of SOL_SOCKET to set first, such as ``SO_RCVBUF``.
        """
        host, port = address
        family = socket.AF_UNIX if not port else socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = self.closedLater(socket.socket(family, kind))
        sock.settimeout(PATIENCE)
        for name, value in options.items():
            sock.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
        sock.connect(address if port else host)
        return sock

    def makeFolder(self) -> Path:
        """Makes a folder whose paths fit into a UNIX address; it is removed at the test's end."""
        folder = Path(tempfile.mkdtemp(prefix="echo-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        return folder

    def assertEchoes(self, sock: socket.socket, data: bytes) -> None:
        """Asserts that a few bytes, or a datagram, come back, and nothing else with them."""
        sock.sendall(data)
        self.assertEqual(sock.recv(len(data) + 1), data)

    @cached_property
    def _peers(self) -> list[socket.socket]:
        return []

    def closedLater(self, peer: socket.socket) -> socket.socket:
        """Returns a peer that :meth:`closePeers`, or the test's end, will close."""
        self._peers.append(peer)
        self.addCleanup(peer.close)
        return peer

    def closePeers(self) -> None:
        """Closes all peers, so that a stop need not wait a second until they are quiet."""
        for peer in self._peers:
            peer.close()


def receiveAll(sock: socket.socket) -> bytes:
    """Returns the bytes until the end of the stream."""
    chunks = []
    while chunk := sock.recv(1 << 20):
        chunks.append(chunk)
    return b"".join(chunks)


def receiveUpTo(sock: socket.socket, size: int) -> bytes:
    """Returns so many bytes, or fewer at the end of the stream."""
    chunks = []
    while size and (chunk := sock.recv(min(size, 1 << 20))):
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)


def sendAndEnd(sock: socket.socket, data: bytes) -> None:
    """Sends data and the end of the stream in one segment."""
    sock.send(data, socket.MSG_MORE)
    sock.shutdown(socket.SHUT_WR)


def exchanged(sock: socket.socket, data: bytes) -> bytes:
    """Sends data and the end of the stream in one segment; returns the bytes until the peer's end."""
    sendAndEnd(sock, data)
    return receiveAll(sock)


def reset(sock: socket.socket) -> None:
    """Closes a connection by a reset: SO_LINGER with a time of 0 (socket(7))."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def readAndReset(sock: socket.socket) -> None:
    """Resets after the peer's first byte: an earlier reset may come before its connect() has returned."""
    sock.recv(1)
    reset(sock)


def fill(sock: socket.socket) -> None:
    """Sends, without reading, until the kernel takes no more; from then on the socket does not block."""
    sock.setblocking(False)
    chunk = bytes(1 << 16)
    with suppress(BlockingIOError):
        for _ in range(ENDLESS // len(chunk)):
            sock.send(chunk)
        raise AssertionError("what a peer sends without reading has no end")


def startSending(sock: socket.socket, data: bytes, *, ends: bool = True) -> threading.Thread:
    """Sends data, and the end of the stream, on a thread; it ends when the kernel has taken everything."""

    def send() -> None:
        # The reader sees the error: an early end, or a reset.
        with suppress(OSError):
            sock.sendall(data)
            if ends:
                sock.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


def together(*works: Callable[[], object]) -> None:
    """Calls functions that mostly wait, each on a thread; raises the exception of one of them."""
    with ThreadPoolExecutor(len(works)) as pool:
        for done in [pool.submit(work) for work in works]:
            done.result()


def stopCounts(server: EchoProcess) -> dict[str, int]:
    """Stops a service; returns its counts, by the words of its last line, such as ``dropped``."""
    server.stop()
    line = server.log().rpartition("echo_app stopped: ")[2]
    return {what: int(count) for count, what in re.findall(r"(\d+) (\w+(?: out)?)", line)}
