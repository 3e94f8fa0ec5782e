"""Main program of the process under test, which :class:`~echo_app.testing.EchoProcess` starts.

The test runs it by its path. It imports only the standard library until it has the test's ``sys.path``. It
ends when the control connection ends, or the test's process, whose children may have inherited the socket.
"""

from __future__ import annotations

import gc
import json
import os
import re
import select
import socket
import struct
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from typing import Any

# Bytes of one read.
_CHUNK = 65536

# A value with a colon that names no code: an address with a port, or the URL of a UNIX socket.
_PLACE = re.compile(r"([^:]+|\[[^]]*\]):\d+|unix://.*")


def main() -> None:
    """Runs the service with the options of ``twistd echo`` in the arguments."""
    # A process that a responder starts must not read the control connection.
    control = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    questions = lines(control, os.getcwd())
    hello = next(questions)
    sys.path[:] = hello["path"]
    # The garbage collector finds no garbage while modules are imported.
    gc.disable()
    with withoutOpenSSL() if isPlain(sys.argv[1:]) else nullcontext():
        from echo_app.testing.childservice import ChildService
    gc.enable()

    service = ChildService(hello["settings"], partial(say, control))

    def handle() -> None:
        for question in questions:
            service.handle(question)

    threading.Thread(target=handle, daemon=True).start()
    service.run(sys.argv[1:])


def isPlain(arguments: Sequence[str]) -> bool:
    """Says whether a service with these options certainly has no TLS, and no code of users or plugins."""
    mayNeedIt = (
        each.startswith(("--tl", "--li", "-l", "--au")) or (":" in each and not _PLACE.fullmatch(each))
        for each in arguments
    )
    return not any(mayNeedIt)


@contextmanager
def withoutOpenSSL() -> Iterator[None]:
    """Hides pyOpenSSL from Twisted's imports, which saves a quarter of a start."""
    if "OpenSSL" in sys.modules:
        yield
        return
    # None means to Python that there is no such module.
    sys.modules["OpenSSL"] = None  # type: ignore[assignment]
    yield
    del sys.modules["OpenSSL"]


def say(control: int, message: dict[str, Any]) -> None:
    """Sends a message to the test; when the connection has ended, the thread that reads ends the process."""
    with suppress(OSError):
        os.write(control, json.dumps(message).encode() + b"\n")


def lines(control: int, folder: str) -> Iterator[dict[str, Any]]:
    """Yields the test's messages, and ends this process when the test's process ends.

    :param control: the descriptor of the control connection.
    :param folder: the folder of this process.
    """
    poll = select.poll()
    poll.register(control, select.POLLIN)
    starter = openStarter(control)
    if starter is not None:
        poll.register(starter, select.POLLIN)
    received = b""
    while True:
        while b"\n" in received:
            line, _, received = received.partition(b"\n")
            yield json.loads(line)
        ready = [descriptor for descriptor, _ in poll.poll()]
        chunk = b"" if starter in ready else os.read(control, _CHUNK)
        if not chunk:
            end(folder)
        received += chunk


def openStarter(control: int) -> int | None:
    """Returns a descriptor of the process that made the sockets (unix(7), SO_PEERCRED).

    :return: readable when that process has ended; None where the process is not visible.
    """
    with socket.socket(fileno=os.dup(control)) as end:
        pid, _, _ = struct.unpack("3i", end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        # The process has ended already: return a descriptor that is readable at once.
        return os.open(os.devnull, os.O_RDONLY)
    except OSError:
        # The process is in another PID namespace, or the kernel forbids such descriptors.
        return None


def end(folder: str) -> None:
    """Removes the folder of this process, whose starter is gone, and ends the process at once."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


if __name__ == "__main__":
    main()
