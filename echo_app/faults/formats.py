"""Formats of the values in a fault's spec.

Times, sizes, rates and probabilities are in :mod:`echo_app.quantities`.
This module has ranges of numbers, and words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from echo_app.hints import nearest
from echo_app.quantities import TIME, Quantity

_COUNT = re.compile(r"[1-9][0-9]{0,8}")
_RANGE = re.compile(r"([0-9]{1,9})(?:(-)([0-9]{1,9})?)?")


@dataclass(frozen=True, slots=True)
class _Range:
    """Whole numbers from A to B, written ``A-B``; ``A`` alone is A to A, and ``A-`` has no end."""

    description: str
    isOpen: bool = False

    def parse(self, text: str) -> tuple[int, int | None]:
        match = _RANGE.fullmatch(text)
        if match is None:
            raise ValueError(text)
        first = int(match[1])
        if match[2] and not match[3] and self.isOpen:
            last = None
        else:
            last = int(match[3] or 0) if match[2] else first
        if first < 1 or (last is not None and last < first):
            raise ValueError(text)
        return first, last

    def write(self, value: tuple[int, int | None]) -> str:
        first, last = value
        text = str(first) if first == last else f"{first}-{'' if last is None else last}"
        self.parse(text)
        return text

    def likely(self, text: str) -> list[str]:
        return []


@dataclass(frozen=True, slots=True)
class _Count:
    """A whole number, from 1 on."""

    description: str

    def parse(self, text: str) -> int:
        if not _COUNT.fullmatch(text):
            raise ValueError(text)
        return int(text)

    def write(self, value: int) -> str:
        text = str(value)
        self.parse(text)
        return text

    def likely(self, text: str) -> list[str]:
        return []


@dataclass(frozen=True, slots=True)
class _Choice:
    """One of a few words."""

    description: str
    words: tuple[str, ...]

    def parse(self, text: str) -> str:
        if text not in self.words:
            raise ValueError(text)
        return text

    write = parse

    def likely(self, text: str) -> list[str]:
        return nearest(text, self.words)


@dataclass(frozen=True, slots=True)
class _TimeOrWord:
    """A time, or one of a few words."""

    description: str
    words: tuple[str, ...]

    def parse(self, text: str) -> float | str:
        return text if text in self.words else TIME.parse(text)

    def write(self, value: float | str) -> str:
        return self.words[self.words.index(value)] if isinstance(value, str) else TIME.write(value)

    def likely(self, text: str) -> list[str]:
        return nearest(text, self.words) or TIME.likely(text)


# A format of values. ``description`` has examples, for errors. ``parse`` returns the value of a text, and
# ``write`` the shortest text of a value. Both raise ``ValueError`` when their argument is wrong. ``likely``
# returns correct texts that are like a wrong one.
Format = Quantity | _Range | _Count | _Choice | _TimeOrWord


PIECES = _Range("a number of bytes, or a range, from 1 on, such as 5 or 1-7")
CONNECTIONS = _Range("the number of a connection, or a range, from 1 on, such as 3, 1-2 or 4-", isOpen=True)
COUNT = _Count("a whole number from 1 on, such as 3")
MESSAGES = _Range("the number of a message, or a range, from 1 on, such as 3, 3-5 or 3-", isOpen=True)
DIRECTION = _Choice("'in' (from the peer) or 'out' (to the peer)", ("in", "out"))
CONNECTING = _TimeOrWord(f"{TIME.description}, or 'refused' or 'never'", ("refused", "never"))
