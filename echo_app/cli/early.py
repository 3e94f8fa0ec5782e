"""Preparation of a command-line process before its imports, which take most of a start.

This module imports only the standard library.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise
from types import FrameType
from typing import TextIO

# The command that needs no script, as it stands in its help.
MODULE_COMMAND = "python -m echo_app"

# The signals that a service handles.
_HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

# The SIGHUPs of the start.
_hangups: list[int] = []


def prepare() -> None:
    """Prepares the signals and the standard streams of the process."""
    _endOnSignals()
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
        signal.signal(signal.SIGHUP, _holdHangup)
    # A parent may have blocked them, also so that none gets lost before there are handlers.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANDLED)
    _fillStandardDescriptors()
    # An ASCII terminal would lose each line of the log that has another character.
    if sys.stdout is not None and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")


def valueOf(option: str, arguments: Sequence[str]) -> str:
    """Returns the last value of an option of a command line that is not parsed yet; empty without one."""
    value = ""
    for argument, following in pairwise([*arguments, ""]):
        name, equals, rest = argument.partition("=")
        if name == option:
            value = rest if equals else following
    return value


def endAtOnce(number: int, frame: FrameType | None) -> None:
    """Ends the process by a signal; the kernel ignores that for the process with the id 1 of a container."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    os._exit(128 + number)


def tookHangup() -> bool:
    """Returns whether SIGHUP came during the start, once."""
    took = bool(_hangups)
    _hangups.clear()
    return took


def _holdHangup(number: int, frame: FrameType | None) -> None:
    _hangups.append(number)


def _endOnSignals() -> None:
    """Ends the process at SIGTERM and SIGINT without a traceback, also one that has the id 1."""
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, endAtOnce)


def lostStream() -> str | None:
    """Returns the name of a closed standard stream whose descriptor is in use; None without one.

    A reactor that ``twistd --reactor`` installs is there before :func:`prepare`.
    """
    null = os.stat(os.devnull).st_rdev
    for number, (name, stream) in enumerate(_standardStreams()):
        if stream is None and os.fstat(number).st_rdev != null:
            return f"standard {name}"
    return None


def _fillStandardDescriptors() -> None:
    """Opens ``/dev/null`` in place of each standard stream that is closed.

    Otherwise a socket would get the descriptor, and its bytes would go where others write; or a daemon, which
    redirects all three, would close it.
    """
    for number, (_, stream) in enumerate(_standardStreams()):
        if stream is None and (opened := os.open(os.devnull, os.O_RDWR)) != number:
            os.close(opened)


def _standardStreams() -> Iterator[tuple[str, TextIO | None]]:
    """Yields the name of each standard stream, and the stream; None if it was closed at the start."""
    yield "input", sys.__stdin__
    yield "output", sys.__stdout__
    yield "error", sys.__stderr__
