"""Labels: payload in which every 32 bytes name their examination, their connection and their offset.

So bytes that come back on another connection are attributed to the connection that sent them. The random
bytes mask the label, so that all bytes look random, and a part of a block occurs in one place alone. A
block::

    (magic (4) | examination (4) | connection (4) | index of the block (4)) XOR random (16) | random (16)
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

# Bytes of a block, and of the label in it.
BLOCK, LABEL = 32, 16

# Bytes of the smallest message whose owner can be told: two blocks.
MESSAGE = 2 * BLOCK

# Marks the labels of all examinations, of other processes too.
_MAGIC = b"echo"

_FIELDS = struct.Struct(">4s4sII")


@dataclass(frozen=True, slots=True)
class Label:
    """The origin of a block.

    :param examination: four random bytes.
    :param connection: the connection's number in that examination.
    :param offset: of the block, in the labelled bytes of the connection.
    """

    examination: bytes
    connection: int
    offset: int


class LabelledBytes:
    """The labelled bytes of one connection, of any length.

    :param examination: four random bytes.
    :param random: the source of the random bytes.
    """

    def __init__(self, examination: bytes, connection: int, random: Random) -> None:
        self._head = _MAGIC + examination + struct.pack(">I", connection)
        self._random = random
        self._next = 0
        self._rest = b""

    def take(self, size: int) -> bytes:
        """Returns the next bytes."""
        self.prepare(size)
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def prepare(self, size: int) -> None:
        """Makes the next bytes ahead."""
        missing = size - len(self._rest)
        if missing > 0:
            self._rest += self._blocks(-(-missing // BLOCK))

    def _blocks(self, count: int) -> bytes:
        """Makes blocks, each column of them by one assignment: 24 ms a MiB."""
        first, self._next = self._next, self._next + count
        labels = bytearray(LABEL * count)
        for column, value in enumerate(self._head):
            labels[column::LABEL] = bytes([value]) * count
        numbers = b"".join(struct.pack(">I", each) for each in range(first, first + count))
        for column in range(4):
            labels[len(self._head) + column :: LABEL] = numbers[column::4]
        mask = self._random.randbytes(LABEL * count)
        masked = (int.from_bytes(labels) ^ int.from_bytes(mask)).to_bytes(LABEL * count)
        blocks = bytearray(BLOCK * count)
        for column in range(LABEL):
            blocks[column::BLOCK] = masked[column::LABEL]
            blocks[LABEL + column :: BLOCK] = mask[column::LABEL]
        return bytes(blocks)


def labelsIn(data: bytes) -> Iterator[Label]:
    """Finds the whole blocks in some bytes, at any place; yields their labels in order."""
    position = 0
    while position + BLOCK <= len(data):
        label = _labelAt(data, position)
        if label is not None:
            yield label
        position += 1 if label is None else BLOCK


def _labelAt(data: bytes, position: int) -> Label | None:
    # The magic alone first: this is done for every byte.
    middle = position + LABEL
    masked, mask = data[position : position + 4], data[middle : middle + 4]
    if bytes(a ^ b for a, b in zip(masked, mask, strict=True)) != _MAGIC:
        return None
    masked, mask = data[position:middle], data[middle : position + BLOCK]
    plain = (int.from_bytes(masked) ^ int.from_bytes(mask)).to_bytes(LABEL)
    _, examination, connection, index = _FIELDS.unpack(plain)
    return Label(examination, connection, index * BLOCK)
