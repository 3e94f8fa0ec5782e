"""The grammar of times, sizes and rates that users type: a number, and its unit without a space between.

The options of the service and of the probe, and the specs of faults, have the same units. Each option has
its own limits, and may take a number without a unit. docs/quantities.rst has the table of all forms.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from echo_app.hints import LONGEST_CORRECTED, didYouMean, nearest

# A number as float() takes it, with as many digits as a float has, and a unit.
_NUMBER = re.compile(
    r"(\+?(?:[0-9]{1,400}\.?[0-9]{0,400}|\.[0-9]{1,400})(?:[eE][+-]?[0-9]{1,3})?)([A-Za-z/%]*)"
)

# Forms that an error suggests, at most.
_SUGGESTED = 3

# The size of each unit. Values are in the unit of size 1; the name "" is a number without a unit.
Units = Mapping[str, Fraction | int]

_TIMES: Units = {"s": 1, "ms": Fraction(1, 1000), "us": Fraction(1, 10**6), "min": 60, "m": 60, "h": 3600}
_DECIMAL = {"k": 10**3, "M": 10**6, "G": 10**9}
_BINARY = {"Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}
_SIZES: Units = {
    "B": 1,
    **{prefix + "B": size for prefix, size in (_DECIMAL | _BINARY).items()},
    **_DECIMAL,
}
_BITS = {prefix + "bit": Fraction(size, 8) for prefix, size in ({"": 1} | _DECIMAL).items()}
_RATES: Units = {unit + "/s": size for unit, size in (*_SIZES.items(), *_BITS.items())}
_COUNTS: Units = {prefix + each: size for each in ("", "/s") for prefix, size in ({"": 1} | _DECIMAL).items()}
_PARTS: Units = {"": 1, "%": Fraction(1, 100)}

DAY = 24 * 3600
_TIB = 1 << 40
_UNLIMITED = int(sys.float_info.max)


def _digits(value: float) -> str:
    """Returns the shortest digits for a number."""
    digits = repr(value).removesuffix(".0").replace("e+", "e")
    return re.sub("e(-?)0", r"e\1", digits)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A format of numbers with units.

    :param description: the values in words, with examples, for errors.
    :param units: all units.
    :param written: the units that :meth:`write` uses, and that an error suggests if there is none.
    :param least: the lowest value.
    :param most: the highest value.
    :param isWhole: whether values are whole numbers.
    """

    description: str
    units: Units
    written: Sequence[str]
    least: Fraction | int = 0
    most: Fraction | int = _UNLIMITED
    isWhole: bool = False

    def parse(self, text: str) -> float:
        """Returns the value of a text.

        :raise ValueError: says which values there are, and what the user may have meant.
        """
        value = self._valueOf(text)
        if value is None:
            raise ValueError(f"not {self.description}{didYouMean(self.likely(text))}")
        return value

    def parsePositive(self, text: str) -> float:
        """Returns the value of a text, which is not 0.

        :raise ValueError: as by :meth:`parse`.
        """
        value = self.parse(text)
        if not value:
            raise ValueError(f"not {self.description}, and more than 0")
        return value

    def write(self, value: float) -> str:
        """Returns the shortest text of a value."""
        exact = Fraction(value)
        texts = (_digits(float(exact / self.units[unit])) + unit for unit in self.written)
        return min((text for text in texts if self._valueOf(text) == value), key=len)

    def likely(self, text: str) -> list[str]:
        """Returns correct texts that the user may have meant by a wrong one."""
        text = "".join(text.split())
        match = _NUMBER.fullmatch(text)
        if match is None or len(text) > LONGEST_CORRECTED:
            return []
        number, unit = match.groups()
        texts = [number + each for each in (self._near(unit) if unit else self.written)]
        return [each for each in texts if self._valueOf(each) is not None][:_SUGGESTED]

    def withoutUnit(self, unit: str, description: str) -> Quantity:
        """Returns the same format, in which a number without a unit is in this one."""
        units = {"": self.units[unit], **self.units}
        return replace(self, description=description, units=units, written=["", *self.written])

    def _near(self, unit: str) -> list[str]:
        """Returns the units that are like a wrong one: of other letter case, longer, like it, or shorter."""
        lower = unit.lower()
        beginning = [each for each in self.units if each.lower().startswith(lower)]
        same = [each for each in beginning if each.lower().removesuffix("/s") == lower]
        byLower = {each.lower(): each for each in self.units}
        shorter = sorted((each for each in byLower if each and lower.startswith(each)), key=len, reverse=True)
        # "sec" and "hours" are long forms; a slip in a short unit, such as "mx", is like several.
        likely = shorter[:1] if len(lower) > 2 and shorter else nearest(lower, byLower, 0.5)
        return same or beginning or [byLower[each] for each in likely]

    def _valueOf(self, text: str) -> float | None:
        """Returns the value of a text; None if the text is wrong."""
        match = _NUMBER.fullmatch(text)
        if match is None or match[2] not in self.units:
            return None
        exact = Fraction(match[1]) * self.units[match[2]]
        if not self.least <= exact <= self.most or (self.isWhole and exact.denominator != 1):
            return None
        return int(exact) if self.isWhole else float(exact)


# Times in seconds. Those of faults need a unit, and last a day at the most.
TIME = Quantity("a time up to a day, such as 50ms, 1.5s, 2min or 1h", _TIMES, ("s", "ms", "min"), most=DAY)
SPAN = replace(
    TIME, description="a time from 1ms to a day, such as 50ms, 1.5s, 2min or 1h", least=Fraction(1, 1000)
)
SECONDS = replace(TIME, most=_UNLIMITED).withoutUnit("s", "a time, such as 90, 50ms, 1.5s, 5min or 2h")
WHOLE_SECONDS = replace(SECONDS, description="a time in whole seconds, such as 90, 5min or 2h", isWhole=True)

# Sizes in bytes.
SIZE = Quantity(
    "a whole number of bytes up to 1 TiB, such as 100B, 64KiB or 1MB",
    _SIZES,
    ("B", "kB", "KiB", "MB", "MiB"),
    most=_TIB,
    isWhole=True,
)
BYTES = SIZE.withoutUnit("B", "a whole number of bytes up to 1 TiB, such as 100, 64KiB, 5k or 1MB")

# Rates in bytes a second, and in messages a second.
RATE = Quantity(
    "a rate from 1 B/s to 1 TiB/s, such as 64KiB/s, 1MB/s or 10Mbit/s",
    _RATES,
    ("B/s", "kB/s", "KiB/s", "MB/s", "MiB/s"),
    least=1,
    most=_TIB,
)
MESSAGES = Quantity("a number a second, such as 500, 0.5, 5k or 5k/s", _COUNTS, ("", "k", "M"))

PROBABILITY = Quantity("a probability from 0 to 1, such as 1%, 0.01 or 1e-6", _PARTS, ("", "%"), most=1)
