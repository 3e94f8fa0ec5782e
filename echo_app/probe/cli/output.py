"""Standard streams of a command: an error of one of them ends the work at the most, and is one line."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from echo_app.text import escaped


def openStreams() -> None:
    """Opens ``/dev/null`` in place of each standard stream that is closed.

    Otherwise a socket would get its descriptor, and Python has None in its place.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            # open(2) returns the lowest descriptor that is free.
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))


def writeLine(line: str, stream: TextIO) -> OSError | None:
    """Writes a line, or several, now; returns the error if that fails, and then the stream takes no more.

    What a peer chose may be anywhere in it: no character is written that a terminal could act upon.
    """
    said = "\n".join(map(escaped, line.split("\n")))
    encoding = stream.encoding or "utf-8"
    try:
        print(said.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)
    except OSError as error:
        _toNowhere(stream)
        return error
    return None


def _toNowhere(stream: TextIO) -> None:
    """Sends what is written from now on to ``/dev/null``: Python's flush at its exit would fail again."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
    with suppress(OSError):
        stream.flush()


class Output:
    """Standard output. After its first error nothing more is written, and no caller of it fails.

    :ivar error: the first error; None before.
    :ivar failed: called at the first error.
    """

    def __init__(self) -> None:
        self.error: OSError | None = None
        self.failed: Callable[[], object] = lambda: None

    def say(self, line: str) -> None:
        """Writes a line, now."""
        if self.error is None:
            self._end(writeLine(line, sys.stdout))

    def end(self, error: OSError | None = None) -> None:
        """Writes what others have printed and is buffered still.

        :param error: of a write of theirs.
        """
        try:
            sys.stdout.flush()
        except OSError as found:
            error = error or found
            _toNowhere(sys.stdout)
        self._end(error)

    def _end(self, error: OSError | None) -> None:
        if error is not None and self.error is None:
            self.error = error
            self.failed()


def printable(reason: str) -> str:
    """Returns a reason as a line, escaped for a terminal."""
    return f"echo-probe: {escaped(reason)}"


def written(option: str, path: object, write: Callable[[], object], complain: Callable[[str], None]) -> bool:
    """Writes the file of an option, and reports an error; returns whether the file is written."""
    try:
        write()
    except OSError as error:
        complain(printable(f"--{option} {str(path)!r}: {error.strerror}"))
        return False
    return True


def emptied(option: str, path: object, complain: Callable[[str], None]) -> bool:
    """Empties a file, so that an earlier result does not look like this one's; returns whether it could."""
    isFile = path is not None and Path(str(path)).is_file() and not str(path).startswith(("/dev/", "/proc/"))
    return not isFile or written(option, path, lambda: Path(str(path)).write_bytes(b""), complain)
