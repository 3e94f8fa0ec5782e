"""The service's own process: what an :class:`~echo_app.testing.EchoProcess` starts, and speaks to.

It is run by its path, imports nothing but Python's own until it knows the test's ``sys.path``, and ends when
whoever started it is gone: when the conversation ends, or the process on its other end, whose children may
have inherited the socket.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

# The conversation: our standard input, a socket.
_CONTROL = 0

# Bytes of one read.
_CHUNK = 65536


def main() -> None:
    """Runs the service that the arguments, which are those of ``twistd echo``, ask for."""
    questions = _lines(os.getcwd())
    hello = next(questions)
    sys.path[:] = hello["path"]
    from echo_app.testing.spoken import SpokenService

    service = SpokenService(hello["settings"], _say)

    def obey() -> None:
        for question in questions:
            service.obey(question)

    threading.Thread(target=obey, daemon=True).start()
    service.run(sys.argv[1:])


def _say(message: dict[str, Any]) -> None:
    # Nobody is there to hear it: the other thread will know.
    with suppress(OSError):
        os.write(_CONTROL, json.dumps(message).encode() + b"\n")


def _lines(folder: str) -> Iterator[dict[str, Any]]:
    """Yields what the test says, and ends this process with the test's.

    :param folder: the one of this process.
    """
    poll = select.poll()
    poll.register(_CONTROL, select.POLLIN)
    starter = _starter()
    if starter is not None:
        poll.register(starter, select.POLLIN)
    received = b""
    while True:
        while b"\n" in received:
            line, _, received = received.partition(b"\n")
            yield json.loads(line)
        ready = [descriptor for descriptor, _ in poll.poll()]
        chunk = b"" if starter in ready else os.read(_CONTROL, _CHUNK)
        if not chunk:
            _end(folder)
        received += chunk


def _starter() -> int | None:
    """Returns a descriptor of who made the sockets (unix(7), SO_PEERCRED); None if it is gone."""
    with socket.socket(fileno=os.dup(_CONTROL)) as control:
        pid = int.from_bytes(control.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 4), sys.byteorder)
    with suppress(OSError):
        return os.pidfd_open(pid)
    return None


def _end(folder: str) -> None:
    """Ends this process at once, with its folder, which nobody else will remove."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


if __name__ == "__main__":
    main()
