"""Main program of the process under test, which :class:`~echo_app.testing.EchoProcess` starts.

It is run by its path, imports nothing but Python's own until it knows the test's ``sys.path``, and ends when
whoever started it is gone: when the conversation ends, or the process on its other end, whose children may
have inherited the socket.
"""

from __future__ import annotations

import gc
import json
import os
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


def main() -> None:
    """Runs the service that the arguments, which are those of ``twistd echo``, ask for."""
    # Nobody who is started by a responder is to read it.
    control = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    questions = lines(control, os.getcwd())
    hello = next(questions)
    sys.path[:] = hello["path"]
    # What collects garbage has nothing to find while modules are imported.
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
    """Says whether a service with these options surely has no TLS, and no code of somebody else."""
    return not any(":" in each or each.startswith(("--tl", "--li", "-l", "--au")) for each in arguments)


@contextmanager
def withoutOpenSSL() -> Iterator[None]:
    """Has Twisted import what it does where pyOpenSSL is not installed: a start takes a quarter less time."""
    if "OpenSSL" in sys.modules:
        yield
        return
    # None is how Python says that there is no such module.
    sys.modules["OpenSSL"] = None  # type: ignore[assignment]
    yield
    del sys.modules["OpenSSL"]


def say(control: int, message: dict[str, Any]) -> None:
    """Sends a line to the test; where the test is gone, the thread that reads ends this process."""
    with suppress(OSError):
        os.write(control, json.dumps(message).encode() + b"\n")


def lines(control: int, folder: str) -> Iterator[dict[str, Any]]:
    """Yields what the test says, and ends this process with the test's.

    :param control: the descriptor of the conversation.
    :param folder: the one of this process.
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

    :return: readable when that process has ended; None where it is not to be seen.
    """
    with socket.socket(fileno=os.dup(control)) as end:
        pid, _, _ = struct.unpack("3i", end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        # It has ended already: so has what is behind this descriptor, in effect.
        return os.open(os.devnull, os.O_RDONLY)
    except OSError:
        # It is of another PID namespace, or this is no place for such descriptors.
        return None


def end(folder: str) -> None:
    """Ends this process at once, with its folder, which nobody else will remove."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


if __name__ == "__main__":
    main()
