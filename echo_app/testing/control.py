"""Control connection between a test and its service.

They speak over a pair of sockets, of which the service's end is its standard input: lines of JSON, one
answer to each question, and a line without a question when the service listens::

    the test    {"path": [...], "settings": {...}}
    the service {}                                      it listens
    the test    {"faults": ["latency=50ms"]}
    the service {"error": "..."}, or {}                 they apply

The end of the test's process is the end of the conversation, and so of the service.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

# What the service's process runs: by its path, so that nothing is imported before sys.path is the test's.
CHILD = str(Path(__file__).with_name("child.py"))

# Bytes of one read.
_CHUNK = 65536


class ControlError(Exception):
    """The service does not answer: it has ended, or takes too long."""


class Control:
    """The test's end.

    :ivar theirs: the other end, to be closed by whoever gives it to the service's process.
    """

    def __init__(self) -> None:
        self._ours, self.theirs = socket.socketpair()
        self._received = b""
        self._lock = threading.Lock()

    def begin(self, settings: dict[str, Any]) -> None:
        """Says what the service's process needs before it imports anything."""
        # Relative ones, such as the empty one, are of the test's folder.
        path = [os.path.abspath(each) for each in sys.path]
        self._say({"path": path, "settings": settings})

    def ask(self, question: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Says something, and returns the answer.

        :param timeout: seconds.
        :raise ControlError: when there is none.
        """
        with self._lock:
            self._say(question)
            return self.listen(timeout)

    def listen(self, timeout: float) -> dict[str, Any]:
        """Returns what the service says next.

        :param timeout: seconds.
        :raise ControlError: when it says nothing.
        """
        deadline = time.monotonic() + timeout
        while b"\n" not in self._received:
            self._ours.settimeout(max(0.001, deadline - time.monotonic()))
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
        """Ends the conversation; a second call is harmless."""
        self._ours.close()
        self.theirs.close()

    def _say(self, message: dict[str, Any]) -> None:
        try:
            self._ours.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise ControlError(error.strerror) from None
