"""The random numbers of faults: the same seed draws the same ones again.

A draw depends on the seed, the fault, the connection's number, the direction and the byte's offset in the
stream, never on how reads happened to fall. A number for one byte is computed from its offset; a row of
numbers, such as the distances between corrupt bytes, is drawn in the order of the offsets. Only
``random.Random.random`` is used for that: of its methods, Python promises for this one alone that a seed
means the same numbers in every version.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from math import log, log1p
from random import Random

# Beyond the last byte of any stream: 146 years at 1 GB/s.
_NEVER = 1 << 62


class Draws:
    """Draws the numbers of one fault in one place.

    :param seed: the seed of the service.
    :param place: distinguishes this place from others: the fault, a connection's number, a direction.
    """

    __slots__ = ("_key",)

    def __init__(self, seed: int, *place: object) -> None:
        self._key = blake2b("\n".join(map(str, (seed, *place))).encode(), digest_size=32).digest()

    def at(self, offset: int) -> float:
        """Returns the number of an offset, from 0 up to 1, always the same one."""
        digest = blake2b(offset.to_bytes(8, "big"), key=self._key, digest_size=8).digest()
        # 53 bits, as many as a float has: with all 64 it could become 1.
        return (int.from_bytes(digest, "big") >> 11) / (1 << 53)

    def inOrder(self) -> Callable[[], float]:
        """Returns a function that returns the next number, from 0 up to 1, of always the same row."""
        return Random(int.from_bytes(self._key, "big")).random


class Corruption:
    """Replaces each byte by another one with the same probability, independently.

    One number is drawn for a corrupt byte's distance from the one before (which is distributed
    geometrically), and one for its new value: a byte that stays whole costs nothing.

    :param probability: of a byte to be replaced.
    :param draws: the fault's own.
    """

    __slots__ = ("_draw", "_mask", "_next", "_probability")

    def __init__(self, probability: float, draws: Draws) -> None:
        self._probability = probability
        self._draw = draws.inOrder()
        self._next = 0
        self._advance()

    def apply(self, data: bytes, offset: int, isOn: Callable[[int], bool]) -> bytes:
        """Returns the bytes as they become.

        :param offset: the first one's; each call begins where the one before ended.
        :param isOn: says whether a byte at an offset is to be touched at all.
        """
        end = offset + len(data)
        if self._next >= end:
            return data
        changed = bytearray(data)
        while self._next < end:
            if isOn(self._next):
                changed[self._next - offset] ^= self._mask
            self._next += 1
            self._advance()
        return bytes(changed)

    def _advance(self) -> None:
        """Draws the next one, at the earliest where `_next` is."""
        if self._probability <= 0:
            self._next = _NEVER
        elif self._probability < 1:
            distance = log(1 - self._draw()) / log1p(-self._probability)
            self._next = min(self._next + int(min(distance, _NEVER)), _NEVER)
        # Never 0: it would leave the byte as it is.
        self._mask = 1 + int(self._draw() * 255)


class Sizes:
    """Sizes in a row, uniformly from one to another.

    :param smallest: the smallest.
    :param largest: the largest.
    :param draws: the fault's own.
    """

    __slots__ = ("_draw", "_range", "_smallest")

    def __init__(self, smallest: int, largest: int, draws: Draws) -> None:
        self._smallest = smallest
        self._range = largest - smallest + 1
        self._draw = draws.inOrder()

    def next(self) -> int:
        """Returns the next one."""
        return self._smallest + int(self._draw() * self._range)
