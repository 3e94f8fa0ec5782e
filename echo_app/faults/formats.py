"""Formats of the values in a fault's spec.

Times are in ms, s or min; sizes in B, kB, MB, KiB or MiB; rates in a size a second (``/s``). Probabilities
are numbers, or in %.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

# An exponent has at most three digits, as in a float.
_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]+)?(?:e-?[0-9]{1,3})?)([A-Za-z/%]*)")
_RANGE = re.compile(r"([0-9]{1,9})(?:(-)([0-9]{1,9})?)?")


# The size of each unit, in the first one.
_Units = Mapping[str, Fraction | int]


def _digits(value: float) -> str:
    """Returns the shortest digits for a number, in the form of a spec."""
    digits = repr(value).removesuffix(".0").replace("e+", "e")
    return re.sub("e(-?)0", r"e\1", digits)


@dataclass(frozen=True, slots=True)
class _Quantity:
    """A number with a unit; values are in the first unit."""

    description: str
    units: _Units
    least: Fraction | int
    most: Fraction | int
    isWhole: bool = False

    def parse(self, text: str) -> float:
        match = _NUMBER.fullmatch(text)
        if match is None or match[2] not in self.units:
            raise ValueError(text)
        exact = Fraction(match[1]) * self.units[match[2]]
        if not self.least <= exact <= self.most or (self.isWhole and exact.denominator != 1):
            raise ValueError(text)
        return int(exact) if self.isWhole else float(exact)

    def write(self, value: float) -> str:
        exact = Fraction(value)
        texts = (_digits(float(exact / size)) + unit for unit, size in self.units.items())
        return min((text for text in texts if self._means(text, value)), key=len)

    def _means(self, text: str, value: float) -> bool:
        try:
            return self.parse(text) == value
        except ValueError:
            return False


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


# A format of values. ``description`` has examples, for errors. ``parse`` returns the value of a text, and
# ``write`` the shortest text of a value. Both raise ``ValueError`` when their argument is wrong.
Format = _Quantity | _Range | _Choice


_TIMES: _Units = {"s": 1, "ms": Fraction(1, 1000), "min": 60}
_SIZES: _Units = {"B": 1, "kB": 1000, "KiB": 1 << 10, "MB": 10**6, "MiB": 1 << 20}
_RATIOS: _Units = {"": 1, "%": Fraction(1, 100)}
_DAY = 24 * 60 * 60
_TIB = 1 << 40

TIME = _Quantity("a time up to a day, such as 50ms, 1.5s or 2min", _TIMES, 0, _DAY)
SPAN = _Quantity("a time from 1ms to a day, such as 50ms, 1.5s or 2min", _TIMES, Fraction(1, 1000), _DAY)
SIZE = _Quantity("a whole number of bytes up to 1 TiB, such as 100B, 64KiB or 1MB", _SIZES, 0, _TIB, True)
RATE = _Quantity(
    "a rate from 1 B/s to 1 TiB/s, such as 64KiB/s or 1MB/s",
    {unit + "/s": size for unit, size in _SIZES.items()},
    1,
    _TIB,
)
PROBABILITY = _Quantity("a probability from 0 to 1, such as 1%, 0.01 or 1e-6", _RATIOS, 0, 1)
PIECES = _Range("a number of bytes, or a range, from 1 on, such as 5 or 1-7")
CONNECTIONS = _Range("the number of a connection, or a range, from 1 on, such as 3, 1-2 or 4-", isOpen=True)
DIRECTION = _Choice("'in' (from the peer) or 'out' (to the peer)", ("in", "out"))
