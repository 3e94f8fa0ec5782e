"""What a process of the command line needs before all imports, which take most of a start.

This module imports only the standard library.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from itertools import pairwise
from types import FrameType

_NAMES = ("input", "output", "error")


def prepare() -> None:
    """Prepares the signals and the standard streams of the process.

    :raise SystemExit: when a standard stream was closed and its descriptor is in use.
    """
    _endOnSignals()
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


def _endOnSignals() -> None:
    """Ends the process at SIGTERM and SIGINT without a traceback, also one that has the id 1."""
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, endAtOnce)


def _fillStandardDescriptors() -> None:
    """Opens ``/dev/null`` in place of each standard stream that is closed.

    Otherwise a socket would get the descriptor, and its bytes would go where others write; or a daemon, which
    redirects all three, would close it.
    """
    for number, stream in enumerate((sys.__stdin__, sys.__stdout__, sys.__stderr__)):
        if stream is None and os.open(os.devnull, os.O_RDWR) != number:
            name = _NAMES[number]
            raise SystemExit(f"echo: standard {name} is closed, and descriptor {number} is in use: open it")
