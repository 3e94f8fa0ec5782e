"""Opens paths over streams: a correct service, with relays before it."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from echo_app.testing import EchoProcess
from tests.support.crooked import Address
from tests.zoo.path import Place
from tests.zoo.stream import Connection, StreamRelay

Opening = Callable[[], AbstractContextManager[Place]]

# Seconds in which a program listens.
_LISTENS = 10.0


def at(address: Address, scheme: str = "tcp") -> str:
    """Returns the target of an address."""
    return f"{scheme}://{address[0]}:{address[1]}"


def direct(*options: str, scheme: str = "tcp") -> Opening:
    """Returns the opening of a path to ``twistd echo``, with options of its own."""

    @contextmanager
    def opening() -> Iterator[Place]:
        with EchoProcess(*options) as service:
            yield Place(at(service.address(), scheme))

    return opening


def relayed(*makers: Callable[..., Connection], options: tuple[str, ...] = (), **fields: Any) -> Opening:
    """Returns the opening of a path through relays.

    :param makers: a class of connections for each relay, from the service to the client.
    :param options: options of ``twistd echo``.
    :param fields: the fields of the connections of the last relay, which has the fault.
    """

    @contextmanager
    def opening() -> Iterator[Place]:
        with ExitStack() as stack:
            address: Address = stack.enter_context(EchoProcess(*options)).address()
            chain: list[Callable[..., Connection]] = [*makers[:-1], partial(makers[-1], **fields)]
            for make in chain:
                relay = StreamRelay(address, make).start()
                stack.callback(relay.stop)
                address = relay.address
            yield Place(at(address))

    return opening


def unix() -> AbstractContextManager[Place]:
    """Opens a path to a UNIX socket."""

    @contextmanager
    def opening() -> Iterator[Place]:
        with (
            tempfile.TemporaryDirectory() as folder,
            EchoProcess("--listen", f"unix:{folder}/echo.sock"),
        ):
            yield Place(f"unix://{folder}/echo.sock")

    return opening()


@contextmanager
def refused() -> Iterator[Place]:
    """Opens a path to a port that is bound and does not listen."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield Place(at(sock.getsockname()))


@contextmanager
def busyCore() -> Iterator[Place]:
    """Opens a good path on a machine with one busy core."""
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        with direct()() as place:
            yield place
    finally:
        busy.kill()
        busy.wait()


@contextmanager
def program(command: Callable[[Address, int, Path], list[str]]) -> Iterator[Place]:
    """Opens a path through a program that relays.

    :param command: returns its command line, for the service's address, its own port, and a folder.
    """
    with EchoProcess() as service, tempfile.TemporaryDirectory() as folder:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        running = subprocess.Popen(command(service.address(), port, Path(folder)), stderr=subprocess.PIPE)
        try:
            _awaitPort(port, running)
            yield Place(at(("127.0.0.1", port)))
        finally:
            running.kill()
            running.communicate()


def socat(service: Address, port: int, folder: Path) -> list[str]:
    """Returns the command line of socat as a relay."""
    # -t: seconds that one direction may go on after the other one's end.
    listening = f"TCP-LISTEN:{port},bind=127.0.0.1,fork,backlog=1024,nodelay,reuseaddr"
    return ["socat", "-t", "60", listening, f"TCP:{service[0]}:{service[1]},nodelay"]


def haproxy(service: Address, port: int, folder: Path) -> list[str]:
    """Returns the command line of HAProxy as a relay."""
    (folder / "haproxy.cfg").write_text(
        "defaults\n mode tcp\n timeout connect 10s\n timeout client 10m\n timeout server 10m\n"
        f"listen echo\n bind 127.0.0.1:{port}\n server echo {service[0]}:{service[1]}\n"
    )
    return ["haproxy", "-db", "-f", str(folder / "haproxy.cfg")]


def _awaitPort(port: int, running: subprocess.Popen[bytes]) -> None:
    # A connection to the port would be one of the path: the kernel's table says whether it listens.
    deadline = time.monotonic() + _LISTENS
    while running.poll() is None and time.monotonic() < deadline:
        rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        if any(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows):
            return
        time.sleep(0.02)
    raise RuntimeError(f"{running.args!r} does not listen")
