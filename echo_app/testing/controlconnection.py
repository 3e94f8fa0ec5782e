"""Control connection between a test and its service.

The connection is a pair of sockets; the service's end is its standard input. Messages are lines of JSON. The
service answers each request (:mod:`echo_app.service.control`), and sends a message without a request when it
listens::

    the test    {"path": [...], "settings": {...}}
    the service {}                                                the service listens
    the test    {"do": "setFaults", "faults": ["latency=50ms"]}
    the service {"error": "..."}, or {"result": null}             the faults apply

The end of the test's process ends the connection, and so the service.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

# The program of the service's process, run by its path: it imports nothing before it has the test's sys.path.
CHILD = str(Path(__file__).with_name("child.py"))

# Returns seconds of a clock that tests do not freeze, as they may do with time.monotonic().
now = partial(time.clock_gettime, time.CLOCK_MONOTONIC)

# Bytes of one read.
_CHUNK = 65536


class ControlError(Exception):
    """A service that does not answer: it has ended, or takes too long."""


class ControlConnection:
    """The test's end of the control connection.

    :ivar theirs: the service's end, which the caller gives to the service's process and then closes.
    """

    def __init__(self) -> None:
        self._ours, self.theirs = socket.socketpair()
        self._received = b""
        self._lock = threading.Lock()

    def begin(self, settings: dict[str, Any]) -> None:
        """Sends the ``sys.path`` and the settings, which the service's process needs for its imports."""
        # Relative paths, such as the empty one, are relative to the test's folder.
        path = [os.path.abspath(each) for each in sys.path]
        self._say({"path": path, "settings": settings})

    def ask(self, question: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Sends a request, and returns the answer.

        :param timeout: seconds.
        :raise ControlError: when no answer comes.
        """
        with self._lock:
            self._say(question)
            return self.listen(timeout)

    def listen(self, timeout: float) -> dict[str, Any]:
        """Returns the service's next message.

        :param timeout: seconds.
        :raise ControlError: when no message comes.
        """
        deadline = now() + timeout
        while b"\n" not in self._received:
            self._ours.settimeout(max(0.001, deadline - now()))
            try:
                chunk = self._ours.recv(_CHUNK)
            except TimeoutError:
                raise ControlError(f"no answer within {timeout:g} s") from None
            except OSError as error:
                raise ControlError(error.strerror) from None
            if not chunk:
                raise ControlError("it has ended")
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """Closes both ends; a second call is harmless."""
        self._ours.close()
        self.theirs.close()

    def _say(self, message: dict[str, Any]) -> None:
        try:
            self._ours.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise ControlError(error.strerror) from None
