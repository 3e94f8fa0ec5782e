"""The random numbers of faults: the same seed draws the same numbers.

A draw depends on the seed, the fault, the connection's number, the direction and the byte's offset in the
stream, never on the boundaries of reads. A number for one byte is computed from its offset. A sequence of
numbers, such as the distances between corrupt bytes, is drawn in the order of the offsets; one that begins
within the stream, with a change of its faults, is another sequence for each offset. It uses only
``random.Random.random``: Python promises for no other method that a seed gives the same numbers in every
version.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from math import log, log1p
from random import Random

# An offset beyond the last byte of any stream: 146 years at 1 GB/s.
_NEVER = 1 << 62


class Draws:
    """Draws the numbers of one fault for one purpose.

    :param seed: the seed of the service.
    :param place: distinguishes these draws from others: the fault, a connection's number, a direction.
    """

    __slots__ = ("_key",)

    def __init__(self, seed: int, *place: object) -> None:
        self._key = blake2b("\n".join(map(str, (seed, *place))).encode(), digest_size=32).digest()

    def at(self, offset: int) -> float:
        """Returns the number of an offset, from 0 up to 1, always the same one."""
        digest = blake2b(offset.to_bytes(8, "big"), key=self._key, digest_size=8).digest()
        # A float has 53 bits: all 64 could be rounded to 1.
        return (int.from_bytes(digest, "big") >> 11) / (1 << 53)

    def inOrder(self, origin: int = 0) -> Callable[[], float]:
        """Returns a function that returns the next number, from 0 up to 1, of always the same sequence.

        :param origin: the offset at which the sequence begins.
        """
        key = self._key
        if origin:
            key = blake2b(origin.to_bytes(8, "big"), key=key, digest_size=32).digest()
        return Random(int.from_bytes(key, "big")).random

    def sizes(self, smallest: int, largest: int, origin: int = 0) -> Callable[[], int]:
        """Returns a function that returns the next size, with a uniform distribution between these two.

        :param origin: the offset of the first byte.
        """
        draw, count = self.inOrder(origin), largest - smallest + 1
        return lambda: smallest + int(draw() * count)


class Corruption:
    """Replaces each byte by another one with the same probability, independently.

    One number is drawn for the distance between two corrupt bytes, which has a geometric distribution, and
    one for the new value. A byte that stays the same costs nothing.

    :param probability: the probability for each byte.
    :param draws: the draws of the fault.
    :param origin: the offset of the first byte.
    """

    __slots__ = ("_draw", "_mask", "_next", "_probability")

    def __init__(self, probability: float, draws: Draws, origin: int = 0) -> None:
        self._probability = probability
        self._draw = draws.inOrder(origin)
        self._next, self._mask = origin, 0
        self._advance()

    def apply(self, data: bytes, offset: int, isOn: Callable[[int], bool]) -> bytes:
        """Returns the bytes with some of them replaced.

        :param offset: the offset of the first byte, where the bytes of the last call ended.
        :param isOn: says whether the byte at an offset may be replaced.
        """
        end = offset + len(data)
        if self._next >= end:
            return data
        if self._probability >= 1 and isOn(offset):
            return self._replaceAll(data)
        changed = bytearray(data)
        # As _advance() does. A call and attributes for each byte would take three times as long, and a
        # probability near 1 changes nearly all bytes.
        draw, at, mask = self._draw, self._next, self._mask
        isEach = self._probability >= 1
        scale = 1.0 if isEach else log1p(-self._probability)
        while at < end:
            if isOn(at):
                changed[at - offset] ^= mask
            at += 1
            if not isEach:
                at += int(min(log(1 - draw()) / scale, _NEVER))
            mask = 1 + int(draw() * 255)
        self._next, self._mask = min(at, _NEVER), mask
        return bytes(changed)

    def _replaceAll(self, data: bytes) -> bytes:
        """Returns the bytes, each replaced. The numbers are those of single bytes, the change is a block."""
        draw, size = self._draw, len(data)
        # The first mask is drawn already; the last one is for the byte after these.
        masks = bytes([self._mask, *[1 + int(draw() * 255) for _ in range(size)]])
        self._mask = masks[size]
        self._next += size
        block = int.from_bytes(data, "big") ^ int.from_bytes(masks[:size], "big")
        return block.to_bytes(size, "big")

    def _advance(self) -> None:
        """Draws offset and mask of the next corrupt byte; the offset is at least ``_next``."""
        if self._probability <= 0:
            self._next = _NEVER
        elif self._probability < 1:
            distance = log(1 - self._draw()) / log1p(-self._probability)
            self._next = min(self._next + int(min(distance, _NEVER)), _NEVER)
        # Never 0, which would not change the byte.
        self._mask = 1 + int(self._draw() * 255)
