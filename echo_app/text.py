"""Text for people: untrusted text escaped, sizes, and errors in one line."""

from __future__ import annotations

import os
import re

from twisted.internet.error import CannotListenError

# The beginning of Python's error for a missing, unknown or surplus argument: a function's name, which means
# nothing to a user.
_SIGNATURE = re.compile(r"^[\w.]+\(\):? ")
_NUMBER = re.compile(r"^invalid literal for int\(\) with base \d+: (.*)$")


def escaped(text: str) -> str:
    """Returns a text with every character escaped that a terminal or a log reader could act upon."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def quoted(data: bytes) -> str:
    """Returns bytes in quotes, with every byte escaped that a terminal could act upon."""
    return repr(data)[1:]


def binarySize(size: int) -> str:
    """Returns a size in binary units: ``1 B``, ``6.2 MiB``.

    :param size: bytes.
    """
    value, unit = float(size), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.1f}".removesuffix(".0") + f" {unit}"


def plural(count: int, noun: str) -> str:
    """Returns a count with its noun, in the plural unless the count is 1."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def reasonOf(error: object) -> str:
    """Returns an error's reason in one line, for a user."""
    if isinstance(error, CannotListenError):
        return reasonOf(error.socketError)
    if isinstance(error, OSError) and error.strerror:
        name = os.fsdecode(error.filename) if error.filename else ""
        return f"{name}: {error.strerror}" if name else error.strerror
    if number := _NUMBER.match(str(error)):
        return f"{number[1]} is not a number"
    return _SIGNATURE.sub("", str(error))
